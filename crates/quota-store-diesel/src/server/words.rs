//! What servers say.

/// The server's own words: a message without the names and values that it repeats between quotation marks, which are
/// whatever somebody chose. A mark that is not closed ends nothing.
pub(crate) fn own_words(message: &str) -> String {
    let mut own = String::with_capacity(message.len());
    let (mut rest, mut before) = (message, None);
    while let Some(next) = rest.chars().next() {
        let after = rest.get(next.len_utf8()..).unwrap_or_default();
        // An apostrophe within a word is none: doesn't.
        let opens = matches!(next, '"' | '`' | '\'') && !before.is_some_and(char::is_alphanumeric);
        rest = match after.split_once(next).filter(|_| opens) {
            Some((_, behind)) => behind,
            None => {
                own.push(next);
                after
            }
        };
        before = Some(next);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_not_the_servers_words() {
        for (message, own) in [
            ("Table 'backend.commit_accounts' doesn't exist", "Table  doesn't exist"),
            ("relation \"pooler\" does not exist", "relation  does not exist"),
            ("Unknown column `killed` in 'field list'", "Unknown column  in "),
            ("Got error 28 \"No space left on device\" during COMMIT", "Got error 28  during COMMIT"),
            ("Lost connection to backend server 'one'", "Lost connection to backend server "),
            ("can't tell, it's é'", "can't tell, it's é'"),
            ("an open 'commit", "an open 'commit"),
            ("''", ""),
            ("", ""),
        ] {
            assert_eq!(own_words(message), own);
        }
    }
}
