//! What a reviewer should not have to say.

use crate::step::{Step, run_all};
use crate::tidy;
use crate::workspace::Workspace;

/// `cargo xtask lint`
pub(crate) fn lint(workspace: &Workspace) -> anyhow::Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    let mut documentation = workspace.cargo(["doc", "--no-deps", "--workspace", "--all-features"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    // Alone, since features unify across a workspace: another crate's chrono could lend the core a clock.
    let core = ["check", "--package", "quota-core", "--no-default-features"];
    let core_with_serde = ["check", "--package", "quota-core", "--no-default-features", "--features", "serde"];
    let steps = vec![
        Step::command("formatting", workspace.cargo(["fmt", "--all", "--check"])),
        Step::check("tidy", || tidy::tidy(workspace)),
        Step::command("the core alone", workspace.cargo(core)),
        Step::command("the core alone, with serde", workspace.cargo(core_with_serde)),
        Step::command("clippy", workspace.cargo(clippy)),
        Step::command("documentation", documentation),
    ];
    run_all("lint", steps)
}
