//! `rust-version` is the lowest that the dependencies allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, semver};

use super::layers::{Layer, Member};

/// A Rust version, without what follows the patch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64, u64, u64);

/// What the published libraries are built from.
#[derive(Debug, Default)]
pub(super) struct Graph {
    roots: Vec<String>,
    packages: BTreeMap<String, Package>,
}

#[derive(Debug)]
struct Package {
    /// Name and version.
    shown: String,
    rust_version: Option<Version>,
    is_ours: bool,
    /// Keys of what it is built from, tests aside.
    dependencies: Vec<String>,
}

impl Version {
    /// Without what follows the patch number.
    pub(super) const fn of(version: &semver::Version) -> Self {
        Self(version.major, version.minor, version.patch)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        if *patch == 0 { write!(f, "{major}.{minor}") } else { write!(f, "{major}.{minor}.{patch}") }
    }
}

impl Graph {
    /// As cargo resolved it, with all features.
    pub(super) fn of(metadata: &Metadata, members: &[Member]) -> anyhow::Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
        let mut graph = Self::default();
        for package in &metadata.packages {
            let is_library = |member: &&Member| member.layer.is_some_and(Layer::is_library);
            let is_ours = metadata.workspace_members.contains(&package.id);
            if is_ours && members.iter().filter(is_library).any(|member| member.name == *package.name) {
                graph.roots.push(package.id.repr.clone());
            }
            let node = resolve.nodes.iter().find(|node| node.id == package.id);
            let built = node
                .into_iter()
                .flat_map(|node| &node.deps)
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
            let entry = Package {
                shown: format!("{} {}", package.name, package.version),
                rust_version: package.rust_version.as_ref().map(Version::of),
                is_ours,
                dependencies: built.map(|dependency| dependency.pkg.repr.clone()).collect(),
            };
            graph.packages.insert(package.id.repr.clone(), entry);
        }
        Ok(graph)
    }

    /// The greatest version that a package of others needs, and which that is.
    fn greatest(&self) -> Option<(Version, &str)> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = self.roots.iter().collect();
        let mut greatest: Option<(Version, &str)> = None;
        while let Some(key) = open.pop() {
            let Some(package) = self.packages.get(key).filter(|_| seen.insert(key)) else { continue };
            open.extend(&package.dependencies);
            let needed =
                package.rust_version.filter(|_| !package.is_ours).map(|version| (version, package.shown.as_str()));
            greatest = greatest.max(needed);
        }
        greatest
    }
}

/// The workspace's version, where it is not that of its dependencies.
pub(super) fn faults(declared: &Version, graph: &Graph) -> Vec<String> {
    match graph.greatest() {
        Some((needed, by)) if needed != *declared => {
            vec![format!("rust-version is {declared}, but the lowest that the dependencies allow is {needed} ({by})")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(packages: &[(&str, Option<Version>, bool, &[&str])]) -> Graph {
        let package = |&(name, rust_version, is_ours, dependencies): &(&str, Option<Version>, bool, &[&str])| {
            let dependencies = dependencies.iter().map(ToString::to_string).collect();
            (name.to_owned(), Package { shown: name.to_owned(), rust_version, is_ours, dependencies })
        };
        Graph { roots: vec!["ours".to_owned()], packages: packages.iter().map(package).collect() }
    }

    #[test]
    fn the_greatest_version_that_is_reached_counts() {
        let graph = graph(&[
            ("ours", Some(Version(1, 95, 0)), true, &["near", "silent"]),
            ("near", Some(Version(1, 70, 0)), false, &["far"]),
            ("far", Some(Version(1, 88, 1)), false, &["near"]),
            ("silent", None, false, &[]),
            ("unreached", Some(Version(1, 94, 0)), false, &[]),
        ]);
        assert_eq!(graph.greatest(), Some((Version(1, 88, 1), "far")));
        assert_eq!(faults(&Version(1, 88, 1), &graph), Vec::<String>::new());
        for wrong in [Version(1, 88, 0), Version(1, 89, 0)] {
            let faults = faults(&wrong, &graph);
            assert_eq!(faults.len(), 1);
            assert!(faults[0].ends_with("1.88.1 (far)"), "{faults:?}");
        }
    }

    #[test]
    fn minor_versions_are_compared_as_numbers() {
        assert!(Version(1, 100, 0) > Version(1, 99, 9));
        assert_eq!(Version(1, 89, 0).to_string(), "1.89");
    }
}
