//! The rules of the repository that no compiler knows.

mod documents;
mod layers;
mod msrv;
mod sources;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::workspace::Workspace;

/// `cargo xtask tidy`
///
/// # Errors
/// Every rule that is broken, with the place.
pub(crate) fn tidy(workspace: &Workspace) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.root().join("Cargo.toml"))
        .features(cargo_metadata::CargoOpt::AllFeatures)
        .exec()
        .context("cargo metadata")?;
    let members = layers::members(&metadata);
    let files = sources::read(workspace.root())?;
    let mut faults = layers::faults(&members);
    faults.extend(layers::core_faults(&core_tree(workspace)?));
    faults.extend(msrv::faults(&declared_rust_version(&metadata)?, &msrv::Graph::of(&metadata, &members)?));
    faults.extend(sources::faults(&files));
    faults.extend(documents::faults(&members, &files));
    if faults.is_empty() {
        println!("tidy: {} crates, {} files", members.len(), files.len());
        return Ok(());
    }
    for fault in &faults {
        println!("tidy: {fault}");
    }
    bail!("{} things are untidy", faults.len())
}

/// What the core needs when it is built on its own, a package and its features a line.
fn core_tree(workspace: &Workspace) -> anyhow::Result<String> {
    let arguments = [
        "tree",
        "--package",
        "quota-core",
        "--all-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p} [{f}]",
    ];
    let output = workspace.cargo(arguments).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn declared_rust_version(metadata: &Metadata) -> anyhow::Result<msrv::Version> {
    let core =
        metadata.packages.iter().find(|package| package.name == "quota-core").context("there is no quota-core")?;
    core.rust_version.as_ref().map(msrv::Version::of).context("the workspace declares no rust-version")
}
