//! What a reviewer should not have to say.

use crate::step::{Step, run_all};
use crate::tidy;
use crate::workspace::Workspace;

/// What a test may do, also in the functions that it shares with others: clippy's own exception knows only `#[test]`.
const MAY_IN_TESTS: [&str; 6] = [
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::print_stdout",
    "clippy::print_stderr",
];

/// `cargo xtask lint`
pub(crate) fn lint(workspace: &Workspace) -> anyhow::Result<()> {
    let clippy = ["clippy", "--workspace", "--all-features", "--", "-D", "warnings"];
    let mut clippy_of_tests = workspace.cargo(["clippy", "--workspace", "--all-features", "--all-targets"]);
    clippy_of_tests.args(["--", "-D", "warnings"]).args(MAY_IN_TESTS.iter().flat_map(|lint| ["-A", *lint]));
    let mut documentation = workspace.cargo(["doc", "--no-deps", "--workspace", "--all-features"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    // Alone, since features unify across a workspace: another crate's chrono could lend the core a clock.
    let alone = |package, features: &[&str]| {
        let mut check = workspace.cargo(["check", "--package", package, "--no-default-features"]);
        check.args(features);
        check
    };
    // What is left out can only be missed in a build without it.
    let stores_left_out = workspace.cargo(["test", "--package", "quota-stores", "--no-default-features", "--tests"]);
    let steps = vec![
        Step::command("formatting", workspace.cargo(["fmt", "--all", "--check"])),
        Step::check("tidy", || tidy::tidy(workspace)),
        Step::command("the core alone", alone("quota-core", &[])),
        Step::command("the core alone, with serde", alone("quota-core", &["--features", "serde"])),
        Step::command("the stores: memory alone", alone("quota-stores", &["--features", "memory"])),
        Step::command("the stores: sqlite alone", alone("quota-stores", &["--features", "sqlite"])),
        Step::command("the stores: postgres alone", alone("quota-stores", &["--features", "postgres"])),
        Step::command("the stores: mysql alone", alone("quota-stores", &["--features", "mysql"])),
        Step::command("the stores: mysql alone, encrypted", alone("quota-stores", &["--features", "mysql,tls"])),
        Step::command("the stores: none, tested", stores_left_out),
        Step::command("HTTP without the service", alone("quota-http", &[])),
        Step::command("clippy", workspace.cargo(clippy)),
        Step::command("clippy, tests too", clippy_of_tests),
        Step::command("documentation", documentation),
    ];
    run_all("lint", steps)
}
