//! Where programs are.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::ServerError;
use crate::server::Server;

/// What stands in for MongoDB where no `mongod` is installed: a server of crates.io that speaks its protocol.
///
/// Debian has no package of MongoDB's.
#[derive(Clone, Copy, Debug)]
pub struct MongoReplacement;

impl MongoReplacement {
    /// The crate.
    pub const PACKAGE: &str = "secantus-mdb";
    /// The version.
    pub const VERSION: &str = "0.5.3-beta.196";
    /// The program.
    pub const PROGRAM: &str = "secantusd-rs";

    /// Where `cargo install --root` puts it: outside `target`, so that it is built once.
    #[must_use]
    pub fn folder() -> PathBuf {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || env::home_dir().unwrap_or_else(env::temp_dir).join(".cache");
        cache.unwrap_or_else(home).join("quota").join(format!("{}-{}", Self::PACKAGE, Self::VERSION))
    }

    pub(crate) fn program() -> Option<PathBuf> {
        Some(Self::folder().join("bin").join(Self::PROGRAM)).filter(|path| path.is_file())
    }
}

/// The programs that a server needs and that are not installed, each as an error that names its package.
#[must_use]
pub fn missing(server: Server) -> Vec<ServerError> {
    let looked_up: Vec<Result<PathBuf, ServerError>> = match server {
        Server::Postgres => vec![postgres("postgres"), postgres("initdb")],
        Server::Mysql => vec![mariadbd(), mariadb_install_db()],
        Server::Redis | Server::RedisCluster => vec![redis_server()],
        Server::Mongodb => vec![mongodb().map(|(path, _)| path)],
    };
    looked_up.into_iter().filter_map(Result::err).collect()
}

pub(crate) fn redis_server() -> Result<PathBuf, ServerError> {
    on_path("redis-server").ok_or(ServerError::Missing { program: "redis-server", package: "redis-server" })
}

pub(crate) fn mariadbd() -> Result<PathBuf, ServerError> {
    on_path("mariadbd").ok_or(ServerError::Missing { program: "mariadbd", package: "mariadb-server" })
}

pub(crate) fn mariadb_install_db() -> Result<PathBuf, ServerError> {
    let package = "mariadb-server";
    on_path("mariadb-install-db").ok_or(ServerError::Missing { program: "mariadb-install-db", package })
}

/// On the path, or in the newest of the folders in which Debian puts each version of PostgreSQL.
pub(crate) fn postgres(program: &'static str) -> Result<PathBuf, ServerError> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(program))).filter(|(_, path)| path.is_file())
        })
        .collect();
    versions.sort();
    // Debian's first: on the path may be a link to one version of one program.
    let newest = versions.pop().map(|(_, path)| path);
    newest.or_else(|| on_path(program)).ok_or(ServerError::Missing { program, package: "postgresql" })
}

/// The program, and whether it is MongoDB's own.
pub(crate) fn mongodb() -> Result<(PathBuf, bool), ServerError> {
    let own = on_path("mongod").map(|path| (path, true));
    let package = "MongoDB";
    own.or_else(|| MongoReplacement::program().map(|path| (path, false)))
        .ok_or(ServerError::Missing { program: "mongod", package })
}

/// Whether MongoDB's own server is installed; else another one stands in for it.
#[must_use]
pub fn has_mongod() -> bool {
    on_path("mongod").is_some()
}

/// On the path, or where servers are that only root's path names.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
