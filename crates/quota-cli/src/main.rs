#![doc = include_str!("../README.md")]

mod arguments;
mod causes;
mod chart;
mod delete;
mod import;
mod moment;
mod mongo;
mod mysql;
mod output;
mod place;
mod postgres;
mod prefix;
mod prune;
mod shown;
mod status;
mod target;
mod usage;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

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

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return arguments::refuse(error),
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format!("error: the program cannot run: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // It ends with the process: MongoDB's driver panics where its tasks are taken away one after the other.
    Box::leak(Box::new(runtime)).block_on(run(cli))
}

async fn run(Cli { json, command }: Cli) -> ExitCode {
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
        Err(error) if error.is::<output::Gone>() => ExitCode::SUCCESS,
        Err(error) => {
            let told = arguments::without_arguments(&causes::causes(&error));
            output::complain(format!("error: {}", shown::escape(&told)));
            ExitCode::FAILURE
        }
    }
}
