//! URLs of stores.

/// The URL of a store that keeps every entry: stores in memory and on Redis keep sums alone unless they are told otherwise.
/// One that says which of them is wanted stays as it is.
///
/// ```
/// use quota_testkit::with_entries;
///
/// assert_eq!(with_entries("redis://h/0?prefix=p"), "redis://h/0?prefix=p&detail=entries");
/// assert_eq!(with_entries("valkeys+cluster://h"), "valkeys+cluster://h?detail=entries");
/// assert_eq!(with_entries("memory:"), "memory:?detail=entries");
/// assert_eq!(with_entries("memory:?detail=quarters"), "memory:?detail=quarters");
/// assert_eq!(with_entries("sqlite:quota.db"), "sqlite:quota.db");
/// ```
#[must_use]
pub fn with_entries(url: &str) -> String {
    let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
    let (kind, _) = scheme.split_once('+').unwrap_or((scheme, ""));
    let keeps_sums = matches!(kind, "memory" | "redis" | "rediss" | "valkey" | "valkeys");
    let query = url.split_once('?').map(|(_, query)| query);
    match query {
        _ if !keeps_sums => url.to_owned(),
        None => format!("{url}?detail=entries"),
        Some(query) if query.split('&').any(|choice| choice.starts_with("detail=")) => url.to_owned(),
        Some(_) => format!("{url}&detail=entries"),
    }
}
