//! Builds what is measured, and measures it.

use crate::step::{Step, run_all};
use crate::workspace::Workspace;

/// How `cargo xtask bench` is called.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer and shorter rounds: the same rows, with more noise.
    #[arg(long)]
    quick: bool,
    /// Only groups whose name holds this text: windows, memory, growth, idle, sqlite, http, redis, postgres, mysql,
    /// mongodb.
    filter: Option<String>,
}

/// `cargo xtask bench`
pub(crate) fn bench(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let build = workspace.cargo(["build", "--release", "--package", "quota-bench", "--package", "quickstart-axum"]);
    let mut measure = workspace.command(workspace.program("release", "quota-bench"));
    if options.quick {
        measure.arg("--quick");
    }
    measure.args(&options.filter);
    run_all("bench", vec![Step::command("build, optimised", build), Step::command("measure", measure)])
}
