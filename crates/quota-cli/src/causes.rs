//! An error with what led to it.

use std::error::Error;

use crate::{mongo, mysql};

/// An error and its causes in one line, each said once: some drivers repeat their causes' words, and MongoDB's tells
/// everything that it knows.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let driver = words(cause);
        let is_whole = driver.is_some();
        let words = driver.unwrap_or_else(|| cause.to_string());
        if told.is_empty() {
            told = words;
        } else if !told.ends_with(&words) {
            told = format!("{told}: {words}");
        }
        if is_whole {
            break;
        }
    }
    told
}

/// What a driver's error and its causes come to; none of an error that is no driver's.
fn words(cause: &(dyn Error + 'static)) -> Option<String> {
    let mongodb = cause.downcast_ref().map(mongo::words);
    let mysql = || cause.downcast_ref().map(mysql::words);
    let postgres =
        || cause.downcast_ref::<tokio_postgres::Error>()?.as_db_error().map(|refused| refused.message().to_owned());
    mongodb.or_else(mysql).or_else(postgres)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_cause_is_said_once_and_no_driver_dumps_what_it_knows() {
        let repeated = anyhow!("no way there").context("it failed: no way there").context("nothing was done");
        assert_eq!(causes(&repeated), "nothing was done: it failed: no way there");
        let driver = mongodb::error::Error::from(std::io::Error::other("no way there"));
        assert!(driver.to_string().contains("labels"));
        assert_eq!(causes(&anyhow::Error::new(driver).context("nothing was done")), "nothing was done: no way there");
    }
}
