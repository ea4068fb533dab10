//! What servers need and is not installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quota_servers::{MongoReplacement, Server, ServerError, missing};
use rustix::process::geteuid;

use crate::step::{Step, run_all};
use crate::workspace::Workspace;

/// What MongoDB's replacement is built with beside Rust and a C compiler: programs, and Debian's packages of them.
const BUILT_WITH: [(&str, &str); 3] = [("cmake", "cmake"), ("make", "make"), ("c++", "g++")];

/// Not optimised: it is built once, for tests, and would take a quarter of an hour else.
const BUILT_QUICKLY: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "false"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

/// Installs what is missing: from Debian's packages where this may be done, and MongoDB's replacement from crates.io.
pub(crate) fn install(workspace: &Workspace, wanted: &[Server]) -> anyhow::Result<()> {
    let mut packages = BTreeSet::new();
    let mut steps = Vec::new();
    for server in wanted {
        let absent = missing(*server);
        if *server == Server::Mongodb && !absent.is_empty() {
            steps.push(mongo_replacement(workspace));
            packages.extend(BUILT_WITH.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package));
            continue;
        }
        packages.extend(absent.iter().filter_map(|error| match error {
            ServerError::Missing { package, .. } => Some(*package),
            _ => None,
        }));
    }
    if !packages.is_empty() {
        steps.splice(0..0, debian(workspace, &packages, "name servers of yours by QUOTA_TEST_…_URL")?);
    }
    if steps.is_empty() { Ok(()) } else { run_all("install servers", steps) }
}

/// Where a program is that Debian has a package of: it is installed, unless it is there.
/// `or` says what else a developer can do.
pub(crate) fn program(workspace: &Workspace, name: &str, package: &'static str, or: &str) -> anyhow::Result<PathBuf> {
    if found(name).is_none() {
        run_all(&format!("install {name}"), debian(workspace, &BTreeSet::from([package]), or)?.into())?;
    }
    found(name).with_context(|| format!("{package} is installed, and has no program {name}"))
}

fn debian(workspace: &Workspace, packages: &BTreeSet<&'static str>, or: &str) -> anyhow::Result<[Step<'static>; 2]> {
    let names: Vec<&str> = packages.iter().copied().collect();
    let command = format!("apt-get install --no-install-recommends {}", names.join(" "));
    if !Path::new("/etc/debian_version").exists() || !has("apt-get") {
        bail!("install what Debian packs as {}, or {or}", names.join(", "));
    }
    if !geteuid().is_root() {
        bail!("run `sudo {command}`, or {or}");
    }
    let mut update = workspace.command("apt-get");
    update.args(["update", "-qq"]);
    let mut install = workspace.command("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&names);
    // A server that a package starts would serve nobody. A system for one user starts none; one that runs systemd may.
    for (name, value) in [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1"), ("SYSTEMD_OFFLINE", "1")] {
        install.env(name, value);
    }
    Ok([Step::command("package lists", update), Step::command(format!("packages: {}", names.join(", ")), install)])
}

/// Alone, since it takes minutes and all processors.
fn mongo_replacement(workspace: &Workspace) -> Step<'static> {
    let mut cargo = workspace.cargo(["install", MongoReplacement::PACKAGE, "--version", MongoReplacement::VERSION]);
    cargo.args(["--locked", "--ignore-rust-version", "--root"]).arg(MongoReplacement::folder());
    cargo.envs(BUILT_QUICKLY);
    Step::command("MongoDB's replacement, once: some minutes", cargo)
}

fn has(program: &str) -> bool {
    found(program).is_some()
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
