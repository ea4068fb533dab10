//! A terminal, as the program `script` makes one.

use std::io::{ErrorKind, Write};
use std::iter::once;
use std::process::{Command, Stdio};

/// What a terminal has shown, with what was typed there, and what the command ended with.
pub(crate) struct Shown {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// Calls the command as [`line`] wrote it, with a terminal where the line says nothing else, on which this is typed and
/// then nothing more.
///
/// Where no `script` is installed, this says on standard error that the test is skipped, and gives none.
pub(crate) fn on_terminal(line: &str, typed: &str) -> Option<Shown> {
    let started = Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        // A terminal that can go back in a line, which a bar asks for.
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut script = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip();
            return None;
        }
        started => started.unwrap(),
    };
    script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "of script itself");
    let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
    Some(Shown { code: output.status.code(), text })
}

/// The command with these arguments, for a shell.
pub(crate) fn line(arguments: &[&str]) -> String {
    let words = once(env!("CARGO_BIN_EXE_quota")).chain(arguments.iter().copied());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

/// One word for a shell, whatever it holds.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Not by `eprintln!`, which test harnesses hide where a test passes.
fn skip() {
    let thread = std::thread::current();
    let line = format!("SKIP {}: there is no program script\n", thread.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
