//! Runs worked vectors on a store of one's choice.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever runs it")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quota_testkit::vectors::{Lines, Report, run_accounts, run_windows};
use quota_testkit::with_entries;

/// Runs worked vectors, one JSON object a line.
#[derive(Debug, Parser)]
#[command(name = "quota-testkit", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds the windows of the file.
    Windows {
        /// Lines of `{period, every, anchor, tz, now, start, end}`.
        file: PathBuf,
    },
    /// Plays the scenarios of the file on a store, each in a namespace of its own.
    Accounts {
        /// Lines of `{name, steps: [{op, at, client, …, expect}]}`.
        file: PathBuf,
        /// `memory:`, `sqlite:PATH`, or a server by its URL.
        #[arg(long, value_name = "URL", default_value = "memory:")]
        store: String,
        /// The variable that holds the store's URL: an argument is seen by everyone on the machine, and a URL may hold a
        /// password.
        #[arg(long, value_name = "VARIABLE", conflicts_with = "store")]
        store_in: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(report) => {
            println!("{report}");
            if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprint!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<Report, Box<dyn Error>> {
    match command {
        Command::Windows { file } => {
            let lines = Lines::read(&file)?;
            let progress = progress(lines.len())?;
            let report = run_windows(&lines, || progress.inc(1))?;
            progress.finish_and_clear();
            Ok(report)
        }
        Command::Accounts { file, store, store_in } => {
            let lines = Lines::read(&file)?;
            let store = match store_in {
                Some(variable) => std::env::var(&variable).map_err(|error| format!("{variable}: {error}"))?,
                None => store,
            };
            // Vectors read ranges that end at any instant, so entries are needed.
            let url = with_entries(&store);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let store = runtime.block_on(quota_stores::connect(&url))?;
            let progress = progress(lines.len())?;
            let report = runtime.block_on(run_accounts(&lines, store, || progress.inc(1)))?;
            progress.finish_and_clear();
            Ok(report)
        }
    }
}

/// Drawn on the error stream, and only where that is a terminal.
fn progress(length: usize) -> Result<ProgressBar, Box<dyn Error>> {
    let bar = ProgressBar::with_draw_target(Some(u64::try_from(length)?), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed}")?);
    Ok(bar)
}
