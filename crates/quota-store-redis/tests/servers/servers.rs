//! Servers, keys on them for one test alone, and commands beside the store's.

use std::error::Error;
use std::time::Duration;

use quota_core::Detail;
use quota_servers::{Node, PrivateServer, Server};
use quota_store_redis::{ConnectError, KeyPrefix, RedisBuilder, RedisStore};
use redis::{RedisError, Value};

/// Stands before the account in its text, and before each text beside it.
const AND: char = '\u{4}';

/// How many digits stand before who waits.
const VERSION: usize = 32;

/// No answer of a server that works takes so long, however busy the machine is.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A server, and what the names of this test's keys begin with.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) prefix: KeyPrefix,
}

impl Place {
    pub(crate) fn at(url: impl Into<String>) -> Self {
        let prefix = KeyPrefix::new(&format!("t{}", quota_servers::own_name())).unwrap();
        Self { url: url.into(), prefix }
    }

    /// On the server that all tests share; none where none was declared.
    pub(crate) fn shared() -> Option<Self> {
        quota_servers::url(Server::Redis).map(Self::at)
    }

    pub(crate) fn builder(&self) -> RedisBuilder {
        RedisStore::builder(&self.url)
            .with_prefix(self.prefix.clone())
            .with_connect_timeout(PATIENT)
            .with_response_timeout(PATIENT)
    }

    pub(crate) async fn store(&self, detail: Detail) -> RedisStore {
        self.builder().with_detail(detail).connect().await.unwrap()
    }

    pub(crate) async fn refused(&self) -> ConnectError {
        self.builder().connect().await.unwrap_err()
    }

    /// The name of a key of this test.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// A command whose words hold no blank.
    pub(crate) async fn tell(&self, command: &str) -> Value {
        tell(&self.url, command).await.unwrap()
    }

    /// The texts that a client's account is kept in, the head first.
    pub(crate) async fn account(&self, name: &str) -> Vec<String> {
        let Value::Array(texts) = self.tell(&format!("LRANGE {} 0 -1", self.key(&format!("{{{name}}}:a")))).await
        else {
            panic!("no list")
        };
        texts.iter().map(text_of).collect()
    }

    /// Writes another head of it.
    pub(crate) async fn set_head(&self, name: &str, head: &str) {
        let key = self.key(&format!("{{{name}}}:a"));
        tell_words(&self.url, &["LSET", &key, "0", head]).await.unwrap();
    }

    /// Who waits for a turn at an account.
    pub(crate) async fn queue(&self, name: &str) -> String {
        let head = self.account(name).await.into_iter().next().unwrap_or_default();
        head.split_once(AND).map(|(told, _)| told[VERSION..].to_owned()).unwrap_or_default()
    }

    /// Lets somebody wait for a turn at it.
    pub(crate) async fn set_queue(&self, name: &str, queue: &str) {
        let head = self.account(name).await.remove(0);
        let (told, rest) = head.split_once(AND).unwrap();
        self.set_head(name, &[&told[..VERSION], queue, "\u{4}", rest].concat()).await;
    }

    /// The texts of what stands beside the account, as they were when it was written down whole: as the README has them.
    pub(crate) async fn beside(&self, name: &str) -> Vec<String> {
        let texts = self.account(name).await;
        let whole = texts.iter().find(|text| text.matches(AND).count() > 1).unwrap();
        whole.split(AND).skip(2).map(str::to_owned).collect()
    }
}

/// A server of the test's own; none where it is not installed.
pub(crate) fn private() -> Option<(PrivateServer, Place)> {
    let server = quota_servers::private(Server::Redis)?;
    let place = Place::at(server.url());
    Some((server, place))
}

/// A server of the test's own, and another one that follows it.
pub(crate) async fn private_pair() -> Option<(PrivateServer, Place, PrivateServer)> {
    let ((primary, place), (replica, beside)) = (private()?, private()?);
    beside.tell(&format!("REPLICAOF 127.0.0.1 {}", primary.nodes()[0].port())).await;
    while !text_of(&beside.tell("INFO replication").await).contains("master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some((primary, place, replica))
}

/// A cluster of the test's own.
pub(crate) fn private_cluster() -> Option<(PrivateServer, Place)> {
    let server = quota_servers::private(Server::RedisCluster)?;
    let place = Place::at(server.url());
    Some((server, place))
}

/// A command to one server.
pub(crate) async fn tell(url: &str, command: &str) -> Result<Value, RedisError> {
    tell_words(url, &command.split_whitespace().collect::<Vec<_>>()).await
}

/// The same, where words may hold blanks.
pub(crate) async fn tell_words(url: &str, words: &[&str]) -> Result<Value, RedisError> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut asked = redis::cmd(words[0]);
    asked.arg(&words[1..]).query_async(&mut connection).await
}

/// How often a command was called since the server's statistics began.
pub(crate) async fn calls(place: &Place, command: &str) -> u64 {
    let stats = text_of(&place.tell("INFO commandstats").await);
    let (_, behind) = stats.split_once(&format!("cmdstat_{command}:calls=")).unwrap_or(("", "0"));
    behind.split(',').next().unwrap().parse().unwrap()
}

pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn url_of(node: &Node) -> String {
    format!("redis://127.0.0.1:{}/0", node.port())
}

/// Whether others may follow it.
pub(crate) async fn is_primary(node: &Node) -> bool {
    let role = tell(&url_of(node), "ROLE").await.unwrap();
    matches!(&role, Value::Array(role) if role[0] == Value::BulkString(b"master".to_vec()))
}

/// The URLs of a cluster's primaries.
pub(crate) async fn primaries(server: &PrivateServer) -> Vec<String> {
    let mut primaries = Vec::new();
    for node in server.nodes() {
        if is_primary(node).await {
            primaries.push(url_of(node));
        }
    }
    primaries
}

/// What the README says that an access list has to grant.
pub(crate) fn granted(prefix: &KeyPrefix) -> String {
    let (_, behind) = include_str!("../../README.md").split_once("access list has to grant:\n  `").unwrap();
    let (rights, _) = behind.split_once('`').unwrap();
    rights.replace("PREFIX", prefix.as_str())
}

/// From now on a busy server of a cluster is no dead one: each keeps the part that it has.
pub(crate) async fn keep_parts(server: &PrivateServer) {
    for node in server.nodes() {
        tell(&url_of(node), "CONFIG SET cluster-node-timeout 60000").await.unwrap();
    }
}

/// From now on each primary of a cluster serves its part, also where nobody serves another one for a while.
pub(crate) async fn serve_parts(server: &PrivateServer) {
    for node in server.nodes() {
        tell(&url_of(node), "CONFIG SET cluster-require-full-coverage no").await.unwrap();
    }
}

/// The URL with a user and a password.
pub(crate) fn as_user(url: &str, user: &str, password: &str) -> String {
    url.replacen("://", &format!("://{user}:{password}@"), 1)
}

/// An error as anybody may log it.
pub(crate) fn shown(error: &dyn Error) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}
