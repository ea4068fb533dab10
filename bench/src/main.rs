#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measures")]
#![expect(clippy::float_arithmetic, reason = "ratios of times; no credits are counted in floats")]

mod callers;
mod contest;
mod effort;
mod growth;
mod http;
mod idle;
mod list;
mod memory;
mod number;
mod ours;
mod process;
mod reading;
mod rivals;
mod row;
mod servers;
mod sqlite;
mod windows;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::effort::{Effort, ServerPart};
use crate::row::Row;

/// Speed and memory, as ratios in one run.
#[derive(Debug, Parser)]
struct Cli {
    /// Fewer and shorter rounds: the same rows, with more noise.
    #[arg(long)]
    quick: bool,
    /// Only groups whose name holds this text: windows, memory, growth, idle, list, sqlite, http-axum, http-actix,
    /// http-rocket, redis-single, redis-cluster, postgres, mysql, mongodb.
    filter: Option<String>,
    /// Only this part of the rows of redis, postgres, mysql and mongodb.
    #[arg(long)]
    part: Option<ServerPart>,
    /// Be the process whose idle memory is measured.
    #[arg(long, hide = true)]
    child_idle: bool,
    /// Be one of several processes that charge a client: a URL, the client, milliseconds, how.
    #[arg(long, hide = true, num_args = 4)]
    child_charge: Option<Vec<String>>,
    /// Be one of the applications that the quickstarts are compared with.
    #[arg(long, hide = true, requires = "child_port")]
    child_app: Option<http::apps::App>,
    /// Where it listens.
    #[arg(long, hide = true)]
    child_port: Option<u16>,
}

type Group = (&'static str, fn(&Effort) -> anyhow::Result<Vec<Row>>);

const GROUPS: [Group; 14] = [
    ("windows", windows::rows),
    ("memory", memory::rows),
    ("growth", growth::rows),
    ("idle", |_| idle::rows()),
    ("list", list::rows),
    ("sqlite", sqlite::rows),
    ("http-axum", |effort| http::rows(http::Framework::Axum, effort)),
    ("http-actix", |effort| http::rows(http::Framework::Actix, effort)),
    ("http-rocket", |effort| http::rows(http::Framework::Rocket, effort)),
    ("redis-single", servers::redis),
    ("redis-cluster", servers::redis_cluster),
    ("postgres", servers::postgres),
    ("mysql", servers::mysql),
    ("mongodb", servers::mongodb),
];

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.child_idle {
        return idle::child();
    }
    if let Some(arguments) = cli.child_charge {
        return servers::child(&arguments);
    }
    if let Some((app, port)) = cli.child_app.zip(cli.child_port) {
        return app.serve(port);
    }
    let effort = Effort { part: cli.part, ..if cli.quick { Effort::QUICK } else { Effort::FULL } };
    let filter = cli.filter.unwrap_or_default();
    let chosen: Vec<&Group> = GROUPS.iter().filter(|(name, _)| name.contains(&filter)).collect();
    if chosen.is_empty() {
        anyhow::bail!("no group's name holds {filter:?}: there are {}", GROUPS.map(|(name, _)| name).join(", "));
    }
    let mut rows = Vec::new();
    for (index, (name, measure)) in chosen.iter().enumerate() {
        let began = std::time::Instant::now();
        eprint!("[{}/{}] {name} ...", index + 1, chosen.len());
        rows.extend(measure(&effort).with_context(|| format!("{name} could not be measured"))?);
        eprintln!(" {:.0} s", began.elapsed().as_secs_f64());
    }
    println!("{}", row::table(&rows));
    for row in &rows {
        println!("{}", row.to_json());
    }
    let judged = rows.iter().filter(|row| row.goal.is_some()).count();
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    println!("\n{} rows; {} of {judged} goals met", rows.len(), judged - missed);
    Ok(())
}

/// Where files are made: beside the program, since a temporary folder may be kept in memory only.
fn scratch() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().map(std::path::Path::to_path_buf).context("this program has no folder")
}
