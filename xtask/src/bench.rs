//! Builds what is measured, and measures it.

use crate::step::{Step, run_all};
use crate::workspace::Workspace;

/// How `cargo xtask bench` is called.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer and shorter rounds: the same rows, with more noise.
    #[arg(long)]
    quick: bool,
    /// Only groups whose name holds this text: windows, memory, growth, idle, list, sqlite, http-axum, http-actix,
    /// http-rocket, redis-single, redis-cluster, postgres, mysql, mongodb.
    filter: Option<String>,
    /// Only this part of the rows of redis, postgres, mysql and mongodb: throughput, one-caller, processes, reading, list.
    #[arg(long)]
    part: Option<String>,
}

/// `cargo xtask bench`
pub(crate) fn bench(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let packages = ["quota-bench", "quickstart-axum", "quickstart-actix", "quickstart-rocket"];
    let mut build = workspace.cargo(["build", "--release"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    let mut measure = workspace.command(workspace.program("release", "quota-bench"));
    if options.quick {
        measure.arg("--quick");
    }
    if let Some(part) = &options.part {
        measure.args(["--part", part]);
    }
    measure.args(&options.filter);
    run_all("bench", vec![Step::command("build, optimised", build), Step::command("measure", measure)])
}
