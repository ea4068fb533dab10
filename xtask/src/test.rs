//! Everything that can fail is run.

use std::path::Path;

use quota_servers::Server;

use crate::page;
use crate::servers::Servers;
use crate::step::{Step, run_all};
use crate::workspace::Workspace;

/// The files of worked cases, in the repository.
const VECTORS: &str = "crates/quota-core/tests/vectors";

/// Cases that a property test tries in a soak, where it does not fix its own number.
const SOAK_PROPERTY_CASES: &str = "5000";

/// `cargo xtask test`: builds everything, then runs it.
pub(crate) fn test(workspace: &Workspace, filter: Option<&str>) -> anyhow::Result<()> {
    Servers::during(workspace, &Server::ALL, |servers| {
        let profile = Profile::Debug;
        // What is soon over comes first.
        let mut steps = if filter.is_none() { page::steps(workspace) } else { Vec::new() };
        steps.extend([build(workspace, profile), tests(workspace, profile, filter, servers)]);
        let scratch = tempfile::tempdir()?;
        if filter.is_none() {
            steps.push(Step::command(
                "documentation examples",
                workspace.cargo(["test", "--doc", "--workspace", "--all-features"]),
            ));
            steps.extend(vectors(workspace, profile, scratch.path(), servers));
            steps.extend(page::looks(workspace));
        }
        run_all("test", steps)
    })
}

/// A server by its name; none for `none`.
pub(crate) fn server(name: &str) -> Result<Option<Server>, String> {
    let names = || Server::ALL.map(Server::name).join(", ");
    match Server::ALL.into_iter().find(|server| server.name() == name) {
        None if name != "none" => Err(format!("servers are {}; none is none", names())),
        found => Ok(found),
    }
}

/// `cargo xtask soak`: the same with large counts, optimised.
pub(crate) fn soak(workspace: &Workspace, only: Option<&str>, wanted: &[Server]) -> anyhow::Result<()> {
    Servers::during(workspace, wanted, |servers| {
        let profile = Profile::Soak;
        let mut steps = vec![build(workspace, profile), tests(workspace, profile, only, servers)];
        let scratch = tempfile::tempdir()?;
        if only.is_none() {
            steps.extend(vectors(workspace, profile, scratch.path(), servers));
        }
        run_all("soak", steps)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Debug,
    Soak,
}

impl Profile {
    const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Soak => "soak",
        }
    }

    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Soak => &["--profile", "soak"],
        }
    }
}

/// How many tests cargo-nextest runs at the same time.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// Half as many more than there are cores: most tests wait for servers.
fn at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    cores.saturating_add(cores.div_ceil(2))
}

/// What is built and run. Not `--all-targets`: that leaves documentation examples out, but runs benchmarks as if they were
/// tests.
const TARGETS: [&str; 4] = ["--lib", "--bins", "--tests", "--examples"];

/// Builds the programs too: tests that span crates start them, and cargo builds for a test only those of its own crate.
/// With the tests, whose dependencies turn features of others on: apart, tokio and what needs it would be built twice.
fn build(workspace: &Workspace, profile: Profile) -> Step<'static> {
    let mut cargo = workspace.cargo(["build", "--workspace", "--all-features"]);
    cargo.args(TARGETS).args(profile.flags());
    Step::command("build libraries, programs and tests", cargo)
}

fn tests(workspace: &Workspace, profile: Profile, filter: Option<&str>, servers: &Servers) -> Step<'static> {
    let nextest = workspace.has_nextest();
    let mut cargo = if nextest {
        workspace.cargo(["nextest", "run", "--workspace", "--all-features"])
    } else {
        let mut cargo = workspace.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
        cargo.args(TARGETS);
        cargo
    };
    match (profile, nextest) {
        // Its own `--profile` names settings of nextest.
        (Profile::Soak, true) => cargo.args(["--cargo-profile", profile.folder()]),
        _ => cargo.args(profile.flags()),
    };
    if profile == Profile::Debug && nextest && std::env::var_os(THREADS).is_none() {
        cargo.env(THREADS, at_once().to_string());
    }
    if profile == Profile::Soak {
        cargo.env("QUOTA_SOAK", "1").env("PROPTEST_CASES", SOAK_PROPERTY_CASES);
        if nextest {
            cargo.args(["--profile", "soak"]);
        }
    }
    cargo.envs(servers.variables());
    if let Some(filter) = filter {
        if !nextest {
            cargo.arg("--");
        }
        cargo.arg(filter);
    }
    let with = if nextest { "cargo-nextest" } else { "cargo test, as cargo-nextest is not installed" };
    Step::command(format!("unit, property, conformance and examples' tests ({with})"), cargo)
}

/// The runner that anyone can give more vectors to, on the ones that we have.
fn vectors(workspace: &Workspace, profile: Profile, scratch: &Path, servers: &Servers) -> Vec<Step<'static>> {
    let runner = workspace.program(profile.folder(), "quota-testkit");
    let mut windows = workspace.command(&runner);
    windows.args(["windows", &format!("{VECTORS}/windows.jsonl")]);
    let mut steps = vec![Step::command("vectors: windows", windows)];
    let embedded = [
        ("memory", "--store", "memory:?detail=entries".to_owned()),
        ("sqlite", "--store", format!("sqlite:{}", scratch.join("vectors.db").display())),
    ];
    // By their variables: a developer's URL is not to be printed.
    let with_server = Server::ALL.into_iter().filter(|server| servers.has(*server));
    let with_server = with_server.map(|server| (server.name(), "--store-in", server.variable().to_owned()));
    for (name, option, store) in embedded.into_iter().chain(with_server) {
        let mut accounts = workspace.command(&runner);
        accounts.args(["accounts", &format!("{VECTORS}/accounts.jsonl"), option, &store]).envs(servers.variables());
        steps.push(Step::command(format!("vectors: accounts on {name}"), accounts));
    }
    steps
}
