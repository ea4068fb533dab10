//! What is said to whoever called: answers on the output, everything else on the error stream.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;
use thiserror::Error;

use crate::shown;

/// Whoever read the output has gone (`quota … | head`): there is nobody to tell, and nothing is wrong.
#[derive(Debug, Error)]
#[error("nobody reads the output")]
pub(crate) struct Gone;

/// Answers with a text and the end of its line.
///
/// # Errors
/// [`Gone`], or what kept it from being written, such as a full disk.
pub(crate) fn say(text: impl Display) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let said = writeln!(output, "{text}").and_then(|()| output.flush());
    match said {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Gone.into()),
        said => said.context("the answer cannot be written"),
    }
}

/// Answers in JSON, in one line that a terminal does not act on.
///
/// # Errors
/// As for [`say`].
pub(crate) fn say_json(answer: &impl Serialize) -> anyhow::Result<()> {
    say(without_unseen(&serde_json::to_string(answer)?))
}

/// Says something on the error stream. Where even that is closed, there is nowhere to tell.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks something on the error stream, whose line stays open.
pub(crate) fn ask(text: impl Display) -> io::Result<()> {
    let mut errors = io::stderr().lock();
    write!(errors, "{text}")?;
    errors.flush()
}

/// JSON has such characters in its texts only, where each may be written by its number.
fn without_unseen(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for character in json.chars() {
        if !shown::is_unseen(character) {
            plain.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing into a text cannot go wrong.
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_value_and_shows_all_of_it() {
        let text = "Zoë\u{202e}\u{7f}\u{e0041}\n\"\\";
        let json = without_unseen(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""Zoë\u202e\u007f\udb40\udc41\n\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
