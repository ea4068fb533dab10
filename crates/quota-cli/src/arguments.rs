//! What the command was called with, kept out of what is said about it.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{output, shown};

/// What stands in a URL's place.
const HIDDEN: &str = "(a URL)";

/// Says what is wrong with the arguments, or the help that was asked for.
pub(crate) fn refuse(error: clap::Error) -> ExitCode {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    if error.use_stderr() {
        output::complain(told(error).trim_end());
        return code;
    }
    match output::say(error.render().to_string().trim_end()) {
        Ok(()) => code,
        Err(error) if error.is::<output::Gone>() => code,
        Err(error) => {
            output::complain(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn told(mut error: clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error.render().to_string();
    }
    let escaped = |text: &String| shown::escape(text).into_owned();
    let typed: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(escaped(text)))),
            ContextValue::Strings(texts) => Some((kind, ContextValue::Strings(texts.iter().map(escaped).collect()))),
            _ => None,
        })
        .collect();
    for (kind, value) in typed {
        error.insert(kind, value);
    }
    let text = without_addresses(&without_arguments(&error.render().to_string()));
    let lines: Vec<_> = text.split('\n').map(shown::escape).collect();
    lines.join("\n")
}

/// The text without the URLs that the command was called with: they may hold a password, and one at the wrong place may be
/// told as what it is not.
pub(crate) fn without_arguments(text: &str) -> String {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    without(text, &arguments)
}

fn without(text: &str, arguments: &[String]) -> String {
    let mut text = text.to_owned();
    let values = arguments.iter().flat_map(|word| [Some(word.as_str()), word.split_once('=').map(|(_, value)| value)]);
    for value in values.flatten().filter(|value| may_hold_password(value)) {
        let quoted = format!("{value:?}");
        for spelled in [&quoted, value, shown::escape(value).as_ref()] {
            text = text.replace(spelled, HIDDEN);
        }
    }
    text
}

fn may_hold_password(value: &str) -> bool {
    value.contains("://") || (value.contains(':') && value.contains('@'))
}

/// The text without every word that looks like a URL, also one that was cut short.
fn without_addresses(text: &str) -> String {
    let ends = |character: char| character.is_whitespace() || matches!(character, '\'' | '"' | '`');
    text.split_inclusive(ends)
        .map(|word| {
            let bare = word.trim_end_matches(ends);
            if may_hold_password(bare) { word.replace(bare, HIDDEN) } else { word.to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_never_told_again() {
        let arguments = ["--before=postgres://u:p w@h", "usage", "u:'p@h"].map(str::to_owned);
        assert_eq!(without("\"postgres://u:p w@h\" is no day", &arguments), "(a URL) is no day");
        assert_eq!(without("error: u:'p@h, usage", &arguments), "error: (a URL), usage");
        assert_eq!(without_addresses("'postgres://u:p@' is\nno --unit"), "'(a URL)' is\nno --unit");
        assert_eq!(without_addresses("Usage: quota usage <CLIENT>"), "Usage: quota usage <CLIENT>");
    }
}
