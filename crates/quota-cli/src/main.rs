#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever calls it")]

mod chart;
mod delete;
mod import;
mod moment;
mod prune;
mod shown;
mod status;
mod target;
mod usage;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Usage and quotas in any store.
#[derive(Debug, Parser)]
#[command(name = "quota", version)]
struct Cli {
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a client used, day by day.
    Usage(usage::Usage),
    /// What a client has used and has left of each quota.
    Status(status::Status),
    /// When a quota renews.
    Windows(windows::Windows),
    /// Deletes a client's usage in a range.
    Delete(delete::Delete),
    /// Folds old entries into sums for quarters of an hour.
    Prune(prune::Prune),
    /// Takes usage over from the predecessor's table or collection.
    ImportFrappy(import::ImportFrappy),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { json, command } = Cli::parse();
    let done = match command {
        Command::Usage(command) => command.run(json).await,
        Command::Status(command) => command.run(json).await,
        Command::Windows(command) => command.run(json),
        Command::Delete(command) => command.run(json).await,
        Command::Prune(command) => command.run(json).await,
        Command::ImportFrappy(command) => command.run(json).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", shown::escape(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
