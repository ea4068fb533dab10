//! What a command does, one step after the other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::servers::Interruptible;

/// A named piece of work.
pub(crate) struct Step<'a> {
    name: String,
    work: Work<'a>,
}

enum Work<'a> {
    Command(Box<Command>),
    Check(Box<dyn FnOnce() -> anyhow::Result<()> + 'a>),
}

impl<'a> Step<'a> {
    /// Succeeds if the command does.
    pub(crate) fn command(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), work: Work::Command(Box::new(command)) }
    }

    /// Succeeds if the function does.
    pub(crate) fn check(name: impl Into<String>, check: impl FnOnce() -> anyhow::Result<()> + 'a) -> Self {
        Self { name: name.into(), work: Work::Check(Box::new(check)) }
    }
}

/// Runs steps in order and prints how long each took.
///
/// # Errors
/// The first step that fails, by its name; those after it do not run.
pub(crate) fn run_all(title: &str, steps: Vec<Step<'_>>) -> anyhow::Result<()> {
    let count = steps.len();
    let mut done: Vec<(String, Duration)> = Vec::with_capacity(count);
    for (index, step) in steps.into_iter().enumerate() {
        let Step { name, work } = step;
        eprintln!("\n=== [{}/{count}] {name}", index + 1);
        let began = Instant::now();
        let outcome = match work {
            Work::Command(mut command) => run(&mut command),
            Work::Check(check) => check(),
        };
        let took = began.elapsed();
        if let Err(error) = outcome {
            summary(title, &done);
            eprintln!("  FAILED {:>8.1} s  {name}", took.as_secs_f64());
            return Err(error.context(format!("{title} stopped at step {} of {count}, {name}", index + 1)));
        }
        done.push((name, took));
    }
    summary(title, &done);
    eprintln!("{title}: all {count} steps passed");
    Ok(())
}

fn summary(title: &str, done: &[(String, Duration)]) {
    let total: Duration = done.iter().map(|(_, took)| *took).sum();
    eprintln!("\n=== {title}: {:.1} s", total.as_secs_f64());
    for (name, took) in done {
        eprintln!("  passed {:>8.1} s  {name}", took.as_secs_f64());
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command.run()?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

/// The command as one would type it, with the variables that it sets; those that name servers end with the run.
fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("QUOTA_TEST_"))
        .filter_map(|(name, value)| value.map(|value| format!("{}={:?} ", name.display(), value.to_string_lossy())));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        if word.contains([' ', '(', '&', '?']) { format!("{word:?}") } else { word.into_owned() }
    });
    variables.collect::<String>() + &words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_first_failure_stops_and_is_named() {
        let ran = Cell::new(0);
        let steps = vec![
            Step::check("one", || {
                ran.set(ran.get() + 1);
                Ok(())
            }),
            Step::check("two", || bail!("broken")),
            Step::check("three", || {
                ran.set(ran.get() + 1);
                Ok(())
            }),
        ];
        let error = run_all("trial", steps).unwrap_err();
        assert_eq!(format!("{error:#}"), "trial stopped at step 2 of 3, two: broken");
        assert_eq!(ran.get(), 1);
    }

    #[test]
    fn a_command_fails_with_its_exit_status_and_when_it_is_missing() {
        let mut failing = Command::new(std::env::current_exe().unwrap());
        failing.arg("--no-such-flag-of-the-test-harness").stderr(std::process::Stdio::null());
        assert!(run(&mut failing).unwrap_err().to_string().contains("ended with"));
        assert!(run(&mut Command::new("no-such-program-here")).unwrap_err().to_string().contains("could not start"));
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("cargo");
        command.args(["doc", "--no-deps", "a b"]).env("RUSTDOCFLAGS", "-D warnings");
        command.env("QUOTA_TEST_MYSQL_URL", "mysql://quota:secret@127.0.0.1/quota");
        assert_eq!(shown(&command), r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps "a b""#);
    }
}
