//! Which servers a URL names.

use percent_encoding::percent_decode_str;
use quota_core::Detail;
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::connect_error::ConnectError;
use crate::keys::KeyPrefix;
#[cfg(feature = "tls")]
use crate::trust::is_encrypted;

/// Which servers a URL names, and what else it chooses. Never shown: it may hold a password.
pub(crate) struct Target {
    pub(crate) servers: Servers,
    pub(crate) detail: Option<Detail>,
    pub(crate) prefix: Option<KeyPrefix>,
    /// The `maxmemory-policy` that is allowed beside `noeviction`.
    pub(crate) allowed_eviction: Option<String>,
}

pub(crate) enum Servers {
    Single(Box<ConnectionInfo>),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        /// With the user and the password that they want.
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// How to connect to the servers that the sentinels name: database, user, password, encryption.
        server: Box<ConnectionInfo>,
    },
}

impl Servers {
    /// Whether what is said to them is encrypted: to all of them, or to none.
    #[cfg(feature = "tls")]
    pub(crate) fn are_encrypted(&self) -> bool {
        match self {
            Self::Single(server) | Self::Sentinel { server, .. } => is_encrypted(server),
            Self::Cluster(nodes) => nodes.iter().any(is_encrypted),
        }
    }

    /// # Errors
    /// [`ConnectError::Unsupported`]: a cluster has one database.
    pub(crate) fn check_database(&self) -> Result<(), ConnectError> {
        match self {
            Self::Cluster(nodes) if nodes.iter().any(|node| node.redis_settings().db() != 0) => {
                let message = "a cluster has one database only: leave the number out of the URL".to_owned();
                Err(ConnectError::Unsupported { message })
            }
            _ => Ok(()),
        }
    }
}

/// What stands in a URL.
struct Parts<'a> {
    /// `redis`, or `rediss` for an encrypted connection.
    scheme: &'static str,
    /// With the `@`.
    credentials: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

const FORM: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, \
    redis+cluster://HOST:PORT,HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER[/DATABASE], or valkey for redis and valkeys for rediss; \
    ?detail=entries or ?detail=quarters, ?prefix=PREFIX, ?allowed_eviction=POLICY, for sentinels ?sentinel_password=PASSWORD, \
    ?sentinel_user=USER";

impl Target {
    /// # Errors
    /// [`ConnectError::Url`]; it does not repeat the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectError> {
        // An option that can be read may hold an @: the sentinels' password.
        if is_cut_short(url.split('?').next().unwrap_or_default()) {
            return Err(cut_short());
        }
        Self::read(url).map_err(|error| if is_cut_short(url) { cut_short() } else { error })
    }

    fn read(url: &str) -> Result<Self, ConnectError> {
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        if url.contains('#') {
            return Err(malformed());
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = authority.rfind('@').map_or(0, |place| place.saturating_add(1));
        let (credentials, hosts) = authority.split_at_checked(place).ok_or_else(malformed)?;
        let (kind, encrypted) = match scheme {
            "redis" | "valkey" => ("", false),
            "rediss" | "valkeys" => ("", true),
            "redis+cluster" | "valkey+cluster" => ("cluster", false),
            "rediss+cluster" | "valkeys+cluster" => ("cluster", true),
            "redis+sentinel" | "valkey+sentinel" => ("sentinel", false),
            "rediss+sentinel" | "valkeys+sentinel" => ("sentinel", true),
            _ => return Err(malformed()),
        };
        let scheme = if encrypted { "rediss" } else { "redis" };
        let parts = Parts { scheme, credentials, hosts: hosts.split(',').collect(), path };
        let servers = match kind {
            "cluster" => Servers::Cluster(parts.each(credentials, path)?),
            "sentinel" => parts.sentinel().ok_or_else(malformed)??,
            _ => Servers::Single(Box::new(parts.one(hosts, credentials, path)?)),
        };
        let mut target = Self { servers, detail: None, prefix: None, allowed_eviction: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(malformed)?;
            target.choose(name, value)?;
        }
        Ok(target)
    }

    /// Takes an option in.
    fn choose(&mut self, name: &str, value: &str) -> Result<(), ConnectError> {
        match (name, value) {
            ("detail", "entries") => self.detail = Some(Detail::Entries),
            ("detail", "quarters") => self.detail = Some(Detail::Quarters),
            ("prefix", prefix) => {
                let prefix = KeyPrefix::new(prefix);
                self.prefix = Some(prefix.map_err(|error| ConnectError::Url { message: error.to_string() })?);
            }
            ("allowed_eviction", policy) if is_policy(policy) => self.allowed_eviction = Some(policy.to_owned()),
            ("sentinel_user" | "sentinel_password", text) => {
                let Servers::Sentinel { sentinels, .. } = &mut self.servers else { return Err(malformed()) };
                let text = percent_decode_str(text).decode_utf8().map_err(|_| malformed())?;
                for sentinel in sentinels {
                    let settings = sentinel.redis_settings().clone();
                    let settings = match name {
                        "sentinel_user" => settings.set_username(&text),
                        _ => settings.set_password(&text),
                    };
                    *sentinel = sentinel.clone().set_redis_settings(settings);
                }
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }
}

fn is_policy(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn malformed() -> ConnectError {
    ConnectError::Url { message: format!("it is {FORM}") }
}

fn cut_short() -> ConnectError {
    let message = "the user or the password holds one of / ? # @: write %2F %3F %23 %40".to_owned();
    ConnectError::Url { message }
}

/// Whether a user or a password seems to hold what ends it, so that a part of it is taken for the host, the path or an option.
fn is_cut_short(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, behind) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    authority.matches('@').count() > 1 || behind.contains('@')
}

impl Parts<'_> {
    fn sentinel(&self) -> Option<Result<Servers, ConnectError>> {
        let (master, database) = self.path.split_once('/').unwrap_or((self.path, ""));
        if master.is_empty() {
            return None;
        }
        let servers = || {
            // The user and the password are the servers'; the sentinels have their own.
            let sentinels = self.each("", "")?;
            let server = self.one(self.hosts.first().copied().unwrap_or_default(), self.credentials, database)?;
            Ok(Servers::Sentinel { sentinels, master: master.to_owned(), server: Box::new(server) })
        };
        Some(servers())
    }

    fn each(&self, credentials: &str, path: &str) -> Result<Vec<ConnectionInfo>, ConnectError> {
        self.hosts.iter().map(|host| self.one(host, credentials, path)).collect()
    }

    fn one(&self, host: &str, credentials: &str, path: &str) -> Result<ConnectionInfo, ConnectError> {
        let url = format!("{}://{credentials}{host}/{path}", self.scheme);
        // What the driver says is about the form and does not repeat it.
        let info = url.as_str().into_connection_info();
        let info = info.map_err(|error| ConnectError::Url { message: error.to_string() })?;
        // It tells when a connection is lost.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(info.set_redis_settings(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        match Target::parse(url) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{url}"),
        }
    }

    #[test]
    fn a_url_names_a_server_a_cluster_or_sentinels() {
        let Servers::Single(one) = Target::parse("redis://u:p%40@h:7/3").unwrap().servers else { panic!() };
        assert_eq!((one.addr().to_string(), one.redis_settings().db()), ("h:7".to_owned(), 3));
        assert_eq!(one.redis_settings().password(), Some("p@"));
        let Servers::Cluster(nodes) = Target::parse("redis+cluster://:p@a:1,b:2").unwrap().servers else { panic!() };
        let addresses: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(addresses, ["a:1", "b:2"]);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("p")));
        let target = Target::parse("redis+sentinel://:p@a:1,b:2/main/4?&detail=entries&prefix=x&").unwrap();
        assert_eq!((target.detail, target.prefix.unwrap().as_str()), (Some(Detail::Entries), "x"));
        let Servers::Sentinel { sentinels, master, server } = target.servers else { panic!() };
        assert_eq!((sentinels.len(), master.as_str(), server.redis_settings().db()), (2, "main", 4));
        assert_eq!(sentinels[0].redis_settings().password(), None);
        let url = "redis+sentinel://a:1,b:2/main?sentinel_user=u&sentinel_password=p@";
        let Servers::Sentinel { sentinels, server: open, .. } = Target::parse(url).unwrap().servers else { panic!() };
        for sentinel in &sentinels {
            let settings = sentinel.redis_settings();
            assert_eq!((settings.username(), settings.password()), (Some("u"), Some("p@")));
        }
        assert_eq!(open.redis_settings().password(), None);
        assert_eq!(server.redis_settings().password(), Some("p"));
    }

    #[test]
    fn a_valkey_is_named_by_its_own_schemes_as_well() {
        let Servers::Single(one) = Target::parse("valkey://u:p@h:7/3").unwrap().servers else { panic!() };
        assert_eq!((one.addr().to_string(), one.redis_settings().db()), ("h:7".to_owned(), 3));
        let target = Target::parse("valkey+cluster://a:1,b:2?prefix=x").unwrap();
        assert!(matches!(target.servers, Servers::Cluster(nodes) if nodes.len() == 2));
        let target = Target::parse("valkey+sentinel://a:1,b:2/main").unwrap();
        assert!(matches!(target.servers, Servers::Sentinel { master, .. } if master == "main"));
        #[cfg(feature = "tls")]
        for url in ["valkeys://h", "valkeys+cluster://h", "valkeys+sentinel://h/main"] {
            assert!(Target::parse(url).unwrap().servers.are_encrypted(), "{url}");
        }
        assert!(!refused("valkeyss://:hunter2@h").contains("hunter2"));
    }

    #[test]
    fn a_malformed_url_is_refused_and_its_password_never_shown() {
        for url in [
            "redis:",
            "http://:hunter2@h",
            "redis://:hunter2@h:x",
            "redis://:hunter2@h/x",
            "redis+sentinel://:hunter2@h:1",
            "redis://:hunter2@h?detail=all",
            "redis://:hunter2@h?prefix={",
            "redis://h?sentinel_password=hunter2",
            "redis+sentinel://h/main?sentinel_password=hunter2%ff",
            "redis://:hunter2@",
            "redis://:hunter2@h/0?allowed_eviction=",
        ] {
            assert!(!refused(url).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn what_chooses_nothing_is_refused_with_the_options_that_there_are() {
        for url in
            ["redis://h/0?entries", "redis://h?detail", "redis://h?detail=entries&quarters", "redis://h/0#entries"]
        {
            let error = refused(url);
            for option in
                ["?detail=entries or ?detail=quarters", "?prefix=", "?allowed_eviction=", "?sentinel_password="]
            {
                assert!(error.contains(option), "{url}: {error}");
            }
        }
        assert!(Target::parse("redis://h?").is_ok());
    }

    #[test]
    fn a_password_that_ends_early_is_refused_with_what_to_write_instead() {
        for url in [
            "redis://u:1?hunter2@h",
            "redis://u:1?prefix=hunter2@h",
            "redis://u:1?detail=hunter2@h",
            "redis://u:1?allowed_eviction=hunter2@h",
            "redis://u:1#hunter2?detail=entries@h",
            "redis://u:1?sentinel_password=hunter2@h",
            "redis://u:hunter?2hunter2@h",
            "redis://u:1#hunter2@h",
            "redis://u:1/hunter2@h",
            "redis://u:1@hunter2@h",
            "redis://hunter2@u:1@h",
            "redis://:/hunter2@h/0?detail=entries",
            "redis+cluster://u:1?hunter2@a:1,b:2",
            "redis+sentinel://u:1/hunter2@a:1/0",
            "redis+sentinel://u:1?hunter2@a:1/main",
        ] {
            let error = refused(url);
            assert!(error.ends_with("write %2F %3F %23 %40"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
        let Servers::Single(one) = Target::parse("redis://u:1%2F%3F%23%40@h").unwrap().servers else { panic!() };
        assert_eq!(one.redis_settings().password(), Some("1/?#@"));
    }

    #[test]
    fn a_policy_of_eviction_is_allowed_by_its_name() {
        let target = Target::parse("redis://h/0?allowed_eviction=allkeys-lru&prefix=x").unwrap();
        assert_eq!(target.allowed_eviction.as_deref(), Some("allkeys-lru"));
        assert_eq!(Target::parse("redis://h/0").unwrap().allowed_eviction, None);
    }
}
