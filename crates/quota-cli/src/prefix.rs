//! What the names of a store's tables or collections begin with.

use anyhow::bail;
use quota_stores::split_prefix;

/// Looks whether a store could be made with the prefix that its URL names, as opening does before all else. (Redis' own store looks at its
/// own.)
///
/// # Errors
/// It is none.
pub(crate) fn check(url: &str) -> anyhow::Result<()> {
    let (_, Some(prefix)) = split_prefix(url) else { return Ok(()) };
    let shown: String = prefix.chars().take(100).collect();
    if url.starts_with("mongodb:") {
        if !is_of_collections(prefix) {
            bail!("{shown:?} is no prefix of collections: 1 to 64 of a-z, A-Z, 0-9, _ and -");
        }
    } else if !is_of_tables(prefix) {
        bail!("{shown:?} is no prefix of table names: a lower-case letter, then at most 30 of a-z, 0-9 and _");
    }
    Ok(())
}

fn is_of_collections(prefix: &str) -> bool {
    (1..=64).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_of_tables(prefix: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    prefix.starts_with(|first: char| first.is_ascii_lowercase()) && prefix.len() <= 31 && prefix.bytes().all(inner)
}
