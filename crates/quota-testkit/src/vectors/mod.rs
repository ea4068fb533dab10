//! Worked vectors, run on a store of one's choice.

mod accounts;
mod input;
mod lines;
mod report;
mod windows;

pub use self::accounts::run_accounts;
pub use self::lines::{Lines, LinesError};
pub use self::report::{Failure, Report};
pub use self::windows::run_windows;
