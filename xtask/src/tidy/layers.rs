//! Arrows between crates point one way.

use cargo_metadata::{DependencyKind, Metadata};

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Its folder, relative to the root.
    pub(super) folder: String,
    pub(super) layer: Option<Layer>,
    /// What it needs to be built, tests aside.
    dependencies: Vec<String>,
}

/// What a crate is for, which says what it may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Core,
    Service,
    Http,
    /// Whom encrypted connections trust.
    Trust,
    Store,
    /// Every store by its URL.
    Stores,
    Adapter,
    /// The page that shows quotas and usage.
    Dashboard,
    Testkit,
    /// The command line.
    Cli,
    /// Database servers for tests.
    Servers,
    /// An application that shows how.
    Example,
    /// Of this repository: xtask, benchmarks, tests that span crates.
    Tool,
}

const WEB: [&str; 9] =
    ["actix-http", "actix-web", "axum", "axum-core", "http", "hyper", "rocket", "tower", "tower-http"];
const FRAMEWORKS: [&str; 6] = ["actix-http", "actix-web", "axum", "axum-core", "hyper", "rocket"];
const DRIVERS: [&str; 12] = [
    "diesel",
    "diesel-async",
    "fred",
    "libsqlite3-sys",
    "mongodb",
    "mysqlclient-sys",
    "postgres",
    "pq-sys",
    "redis",
    "rusqlite",
    "sqlx",
    "tokio-postgres",
];
/// What the core must not see: other tasks and the present.
const NOT_PURE: [&str; 7] =
    ["async-trait", "futures", "futures-core", "futures-util", "mio", "tokio", "iana-time-zone"];

impl Layer {
    fn of(name: &str, folder: &str) -> Option<Self> {
        match (folder.split('/').next()?, name) {
            ("crates", "quota-core") => Some(Self::Core),
            ("crates", "quota-service") => Some(Self::Service),
            ("crates", "quota-http") => Some(Self::Http),
            ("crates", "quota-trust") => Some(Self::Trust),
            ("crates", "quota-stores") => Some(Self::Stores),
            ("crates", "quota-testkit") => Some(Self::Testkit),
            ("crates", "quota-dashboard") => Some(Self::Dashboard),
            ("crates", "quota-cli") => Some(Self::Cli),
            ("crates", "quota-servers") => Some(Self::Servers),
            ("crates", "quota-axum" | "quota-actix" | "quota-rocket") => Some(Self::Adapter),
            ("crates", store) if store.starts_with("quota-store-") => Some(Self::Store),
            ("examples", _) => Some(Self::Example),
            ("xtask" | "bench" | "tests", _) => Some(Self::Tool),
            _ => None,
        }
    }

    /// The crates of ours that it may name.
    const fn may_use(self) -> &'static [Self] {
        match self {
            Self::Core | Self::Dashboard | Self::Servers | Self::Trust => &[],
            Self::Service => &[Self::Core],
            Self::Http => &[Self::Core, Self::Service, Self::Dashboard],
            Self::Store => &[Self::Core, Self::Service, Self::Trust],
            Self::Stores => &[Self::Core, Self::Service, Self::Store],
            Self::Adapter => &[Self::Core, Self::Service, Self::Http],
            Self::Testkit => &[Self::Core, Self::Service, Self::Http, Self::Store, Self::Stores, Self::Servers],
            Self::Cli => &[Self::Core, Self::Service, Self::Trust, Self::Store, Self::Stores],
            Self::Example => &[
                Self::Core,
                Self::Service,
                Self::Http,
                Self::Dashboard,
                Self::Store,
                Self::Stores,
                Self::Adapter,
                Self::Example,
            ],
            Self::Tool => &[
                Self::Core,
                Self::Service,
                Self::Http,
                Self::Store,
                Self::Stores,
                Self::Adapter,
                Self::Testkit,
                Self::Servers,
                Self::Tool,
            ],
        }
    }

    /// The crates of others that it must not name.
    const fn must_not_use(self) -> &'static [&'static str] {
        match self {
            Self::Core => &NOT_PURE,
            Self::Store | Self::Stores | Self::Cli => &WEB,
            // Which driver a test uses is the test's business; whom to trust is the same for every driver.
            Self::Adapter | Self::Servers | Self::Trust => &DRIVERS,
            Self::Dashboard => &FRAMEWORKS,
            Self::Service | Self::Http | Self::Testkit | Self::Example | Self::Tool => &[],
        }
    }

    /// Whether it is published for others to depend on.
    pub(super) const fn is_library(self) -> bool {
        matches!(
            self,
            Self::Core
                | Self::Service
                | Self::Http
                | Self::Dashboard
                | Self::Trust
                | Self::Store
                | Self::Stores
                | Self::Adapter
        )
    }
}

/// The crates of the workspace.
pub(super) fn members(metadata: &Metadata) -> Vec<Member> {
    let root = &metadata.workspace_root;
    let member = |package: &cargo_metadata::Package| {
        let folder = package.manifest_path.parent().and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder.map(ToString::to_string).unwrap_or_default();
        let built = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        Member {
            name: package.name.to_string(),
            layer: Layer::of(&package.name, &folder),
            folder,
            dependencies: built.map(|dependency| dependency.name.clone()).collect(),
        }
    };
    metadata.workspace_packages().into_iter().map(member).collect()
}

/// Arrows that point the wrong way.
pub(super) fn faults(members: &[Member]) -> Vec<String> {
    let mut faults = Vec::new();
    for member in members {
        let Some(layer) = member.layer else {
            faults.push(format!(
                "{} in {:?} has no layer: name it in xtask/src/tidy/layers.rs",
                member.name, member.folder
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let ours = members.iter().find(|other| other.name == *dependency).and_then(|other| other.layer);
            let wrong_layer = ours.is_some_and(|ours| !layer.may_use().contains(&ours));
            let forbidden = layer.must_not_use().contains(&dependency.as_str());
            let service_or_http = matches!(layer, Layer::Service | Layer::Http)
                && (DRIVERS.contains(&dependency.as_str()) || FRAMEWORKS.contains(&dependency.as_str()));
            if wrong_layer || forbidden || service_or_http {
                faults.push(format!("{} ({layer:?}) must not depend on {dependency}", member.name));
            }
        }
    }
    faults
}

/// What the core must not be built with, in the output of `cargo tree`: a package and its features a line.
pub(super) fn core_faults(tree: &str) -> Vec<String> {
    let fault = |line: &str| {
        let name = line.split(' ').next()?;
        let features = line.rsplit_once('[').map_or("", |(_, features)| features.trim_end_matches(']'));
        let reads_a_clock = name == "chrono" && features.split(',').any(|one| matches!(one, "clock" | "now"));
        if NOT_PURE.contains(&name) {
            return Some(format!("quota-core must not be built with {name}"));
        }
        reads_a_clock.then(|| format!("quota-core must not be built with a clock: chrono has the features {features}"))
    };
    tree.lines().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Member {
        /// A crate that is named as its folder is.
        pub(in crate::tidy) fn named(folder: &str) -> Self {
            let name = folder.rsplit('/').next().unwrap_or_default().to_owned();
            Self { layer: Layer::of(&name, folder), name, folder: folder.to_owned(), dependencies: Vec::new() }
        }
    }

    fn member(folder: &str, dependencies: &[&str]) -> Member {
        Member { dependencies: dependencies.iter().map(ToString::to_string).collect(), ..Member::named(folder) }
    }

    fn workspace() -> Vec<Member> {
        vec![
            member("crates/quota-core", &["chrono"]),
            member("crates/quota-service", &["quota-core", "tokio"]),
            member("crates/quota-http", &["quota-core", "http"]),
            member("crates/quota-store-memory", &["quota-service", "quota-core"]),
            member("crates/quota-axum", &["quota-http", "quota-service", "axum"]),
            member("crates/quota-trust", &["rustls"]),
            member("crates/quota-store-redis", &["quota-service", "quota-core", "quota-trust", "redis"]),
            member("crates/quota-store-mongo", &["quota-service", "quota-core", "mongodb"]),
            member("crates/quota-dashboard", &["http"]),
            member("crates/quota-servers", &["rustix", "tempfile"]),
            member("crates/quota-cli", &["quota-core", "quota-service", "quota-trust", "quota-stores"]),
            member("crates/quota-testkit", &["quota-service", "quota-store-memory", "quota-servers"]),
            member("examples/quickstart", &["quota-axum", "quota-store-memory", "axum"]),
            member("tests/kill", &["quota-testkit"]),
            member("xtask", &["quota-servers"]),
        ]
    }

    #[test]
    fn arrows_of_the_design_are_allowed() {
        assert_eq!(faults(&workspace()), Vec::<String>::new());
    }

    #[test]
    fn arrows_against_the_design_are_faults() {
        for (folder, dependency) in [
            ("crates/quota-core", "quota-service"),
            ("crates/quota-core", "tokio"),
            ("crates/quota-service", "quota-store-memory"),
            ("crates/quota-service", "diesel"),
            ("crates/quota-http", "axum"),
            ("crates/quota-http", "quota-axum"),
            ("crates/quota-store-redis", "axum"),
            ("crates/quota-store-redis", "quota-http"),
            ("crates/quota-store-redis", "quota-testkit"),
            ("crates/quota-store-redis", "quota-servers"),
            ("crates/quota-store-mongo", "quota-servers"),
            ("crates/quota-store-mongo", "quota-cli"),
            ("crates/quota-trust", "quota-service"),
            ("crates/quota-trust", "redis"),
            ("crates/quota-http", "quota-trust"),
            ("crates/quota-servers", "quota-core"),
            ("crates/quota-servers", "mongodb"),
            ("crates/quota-dashboard", "axum"),
            ("crates/quota-dashboard", "quota-http"),
            ("crates/quota-cli", "axum"),
            ("crates/quota-cli", "quota-servers"),
            ("crates/quota-actix", "diesel"),
            ("crates/quota-actix", "quota-store-memory"),
            ("crates/quota-testkit", "quota-axum"),
            ("examples/quickstart", "quota-testkit"),
        ] {
            let mut members = workspace();
            members.retain(|member| member.folder != folder && member.layer != Some(Layer::Tool));
            members.push(member(folder, &[dependency]));
            assert_eq!(faults(&members).len(), 1, "{folder} -> {dependency}: {:?}", faults(&members));
        }
    }

    #[test]
    fn a_crate_outside_the_layers_is_a_fault() {
        assert_eq!(faults(&[member("crates/helpers", &[])]).len(), 1);
    }

    #[test]
    fn a_clock_in_the_core_is_a_fault() {
        assert_eq!(core_faults("quota-core v0.1.0 (/a/b) [serde]\nchrono v0.4.45 [std]\n"), Vec::<String>::new());
        assert_eq!(core_faults("chrono v0.4.45 [alloc,clock,std]\n").len(), 1);
        assert_eq!(core_faults("tokio v1.0.0 []\nchrono v0.4.45 [now]\n").len(), 2);
    }
}
