//! The prefix that a URL names.

/// A store's URL without its option `prefix`, and what that says: how the names of its tables or collections begin. A URL of Redis
/// is left as it is: its store reads the option itself.
///
/// ```
/// use quota_stores::split_prefix;
///
/// let url = "postgres://h/app?prefix=billing_&sslmode=require";
/// assert_eq!(split_prefix(url), ("postgres://h/app?sslmode=require".to_owned(), Some("billing_")));
/// assert_eq!(split_prefix("sqlite:app.db?prefix=billing_"), ("sqlite:app.db".to_owned(), Some("billing_")));
/// ```
#[must_use]
pub fn split_prefix(url: &str) -> (String, Option<&str>) {
    let scheme = url.split(':').next().unwrap_or_default();
    let is_taken = ["sqlite", "postgres", "postgresql", "mysql", "mongodb"].contains(&scheme);
    let Some((before, options)) = url.split_once('?').filter(|_| is_taken) else { return (url.to_owned(), None) };
    let (named, others): (Vec<&str>, Vec<&str>) = options.split('&').partition(|option| option.starts_with("prefix="));
    let Some(prefix) = named.last().and_then(|option| option.strip_prefix("prefix=")) else {
        return (url.to_owned(), None);
    };
    let url = if others.is_empty() { before.to_owned() } else { format!("{before}?{}", others.join("&")) };
    (url, Some(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_prefix_is_left_as_it_is() {
        for url in [
            "memory:?detail=entries",
            "redis://h?prefix=p",
            "mysql://h/d?require_ssl=true&no_prefix=p",
            "sqlite:odd?name.db",
            "mongodb://h/d",
            "",
        ] {
            assert_eq!(split_prefix(url), (url.to_owned(), None));
        }
    }

    #[test]
    fn the_last_prefix_counts_and_none_is_left() {
        let (url, prefix) = split_prefix("mongodb://h/d?prefix=a&replicaSet=r&prefix=b");
        assert_eq!((url.as_str(), prefix), ("mongodb://h/d?replicaSet=r", Some("b")));
    }
}
