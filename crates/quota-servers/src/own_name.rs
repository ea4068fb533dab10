//! Names that no other test has.

/// Eight hexadecimal digits for what a test makes on a server that others use as well.
///
/// Two processes that begin in the same nanosecond draw the same numbers by chance: their own numbers tell them apart.
#[must_use]
pub fn own_name() -> String {
    format!("{:08x}", fastrand::u32(..) ^ std::process::id().rotate_left(10))
}
