#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a developer")]

mod bench;
mod lint;
mod page;
mod servers;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quota_servers::Server;

use crate::workspace::Workspace;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds everything and runs every test, documentation example, example and vector.
    Test {
        /// Only tests whose name holds this text; documentation examples and vectors are left out.
        filter: Option<String>,
    },
    /// The page that the quickstarts serve, in a browser.
    Page {
        /// Take the READMEs' pictures of it instead.
        #[arg(long)]
        pictures: bool,
    },
    /// Starts every server that tests need, prints the variables that name them, and waits for Ctrl-C.
    Servers,
    /// Formatting, clippy, documentation, crates without their features, tidy.
    Lint,
    /// Layers, file sizes, READMEs, lints, rust-version, changelog.
    Tidy,
    /// Speed and memory, as ratios in one run.
    Bench(bench::Options),
    /// The tests with their large counts, optimised.
    Soak {
        /// Only tests whose name holds this text.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Only these servers, with commas: suites of others are skipped, and say so. All by default; `none` for stores
        /// without a server.
        #[arg(long, value_name = "SERVERS", value_delimiter = ',', value_parser = test::server)]
        servers: Option<Vec<Option<Server>>>,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Test { filter } => test::test(&workspace, filter.as_deref()),
        Command::Page { pictures } => page::page(&workspace, *pictures),
        Command::Servers => servers::serve(&workspace),
        Command::Lint => lint::lint(&workspace),
        Command::Tidy => tidy::tidy(&workspace),
        Command::Bench(options) => bench::bench(&workspace, options),
        Command::Soak { only, servers } => {
            let wanted = servers.as_ref().map(|servers| servers.iter().copied().flatten().collect::<Vec<_>>());
            test::soak(&workspace, only.as_deref(), wanted.as_deref().unwrap_or(&Server::ALL))
        }
    }
}
