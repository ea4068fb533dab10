//! Where a database is, however its URL spells it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use mongodb::options::{ConnectionString, HostInfo, ServerAddress};
use quota_stores::split_prefix;
use tokio_postgres::config::Host;

use crate::target;

/// The database of a store in MongoDB whose URL names none.
const MONGO_DATABASE: &str = "quota";

/// A database. Two URLs that differ in their options, in the user, or in how the host is spelled, name one place. No name is
/// looked up: a server that goes by two names is two.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Server { engine: Engine, hosts: BTreeSet<(String, u16)>, database: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Postgres,
    Mysql,
    Mongo,
}

/// # Errors
/// Where the source is the database that the store is kept in. `database` is the one that is chosen beside the source's URL.
pub(crate) fn refuse_same(source: &str, database: Option<&str>, store: &str) -> anyhow::Result<()> {
    let from = Place::of(source, database);
    let same = from.zip(Place::of(&split_prefix(store).0, None)).is_some_and(|(from, to)| from.is(&to));
    if same || (source == store && database.is_none()) {
        bail!("the source and the target are the same database: name another with --to");
    }
    Ok(())
}

impl Place {
    /// None where the URL is malformed, which is told when it is opened.
    fn of(url: &str, database: Option<&str>) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        match scheme {
            "sqlite" => Some(Self::File(std::fs::canonicalize(target::file(url)?).ok()?)),
            "postgres" | "postgresql" => postgres(url),
            "mysql" => mysql(url),
            "mongodb" => mongo(url, database),
            _ => None,
        }
    }

    /// A server is the same if any of its addresses is: a replica set may be named by some of its members.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => is_same_file(one, other),
            (
                Self::Server { engine, hosts, database },
                Self::Server { engine: other, hosts: others, database: another },
            ) => engine == other && database == another && !hosts.is_disjoint(others),
            _ => false,
        }
    }
}

/// Also where a file has two names.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let inode = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        if inode(one).is_some_and(|known| inode(other) == Some(known)) {
            return true;
        }
    }
    one == other
}

fn postgres(url: &str) -> Option<Place> {
    let config: tokio_postgres::Config = url.parse().ok()?;
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(_) => "localhost".to_owned(),
        };
        (named(&name), ports.get(place).or(ports.first()).copied().unwrap_or(5_432))
    });
    let database = config.get_dbname().or(config.get_user())?.to_owned();
    Some(Place::Server { engine: Engine::Postgres, hosts: hosts.collect(), database })
}

fn mysql(url: &str) -> Option<Place> {
    let options = mysql_async::Opts::from_url(url).ok()?;
    let hosts = BTreeSet::from([(named(options.ip_or_hostname()), options.tcp_port())]);
    Some(Place::Server { engine: Engine::Mysql, hosts, database: options.db_name()?.to_owned() })
}

fn mongo(url: &str, database: Option<&str>) -> Option<Place> {
    let parsed = ConnectionString::parse(url).ok()?;
    let HostInfo::HostIdentifiers(addresses) = &parsed.host_info else { return None };
    let hosts = addresses.iter().filter_map(|address| match address {
        ServerAddress::Tcp { host, port } => Some((named(host), port.unwrap_or(27_017))),
        _ => None,
    });
    let database = database.or(parsed.default_database.as_deref()).unwrap_or(MONGO_DATABASE).to_owned();
    Some(Place::Server { engine: Engine::Mongo, hosts: hosts.collect(), database })
}

/// The names of this machine are one.
fn named(host: &str) -> String {
    match host.trim_matches(['[', ']']).to_ascii_lowercase().as_str() {
        "localhost" | "127.0.0.1" | "::1" => "localhost".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(source: &str, database: Option<&str>, store: &str) -> bool {
        refuse_same(source, database, store).is_err()
    }

    #[test]
    fn one_database_is_told_however_it_is_spelled() {
        for (source, store) in [
            ("postgres://u:p@localhost/d", "postgresql://v@127.0.0.1:5432/d?connect_timeout=3"),
            ("postgres://h/d?application_name=x", "postgres://H:5432/d"),
            ("mysql://u:p@[::1]:3306/d", "mysql://localhost/d?prefer_socket=false"),
            ("postgres://h/d", "postgres://h/d?prefix=other_"),
            ("mongodb://a:1,b:2/d", "mongodb://u:p@b:2/d?replicaSet=r&authSource=admin"),
            ("mongodb://localhost/quota", "mongodb://127.0.0.1:27017"),
        ] {
            assert!(is_refused(source, None, store), "{source} {store}");
        }
        assert!(is_refused("mongodb://h/other", Some("d"), "mongodb://h/d"));
    }

    #[test]
    fn other_databases_are_others() {
        for (source, store) in [
            ("postgres://h/d", "postgres://h/e"),
            ("postgres://h:5433/d", "postgres://h/d"),
            ("postgres://h/d", "mysql://h/d"),
            ("mysql://h/d", "mysql://g/d"),
            ("mongodb://h/d", "mongodb://h/e"),
            ("sqlite:/absent/a", "sqlite:/absent/b"),
            ("sqlite:/absent/a", "redis://h"),
        ] {
            assert!(!is_refused(source, None, store), "{source} {store}");
        }
        assert!(!is_refused("mongodb://h/d", Some("other"), "mongodb://h/d"));
    }

    #[test]
    fn a_file_with_two_names_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.db"), "").unwrap();
        std::fs::hard_link(path("a.db"), path("b.db")).unwrap();
        let url = |name: &str| format!("sqlite:{}", path(name).display());
        assert!(is_refused(&url("a.db"), None, &url("./a.db")));
        assert!(is_refused(&url("a.db"), None, &url("b.db")));
        assert!(!is_refused(&url("a.db"), None, &url("c.db")));
    }
}
