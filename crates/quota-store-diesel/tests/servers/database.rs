//! A database, tables in it for one test alone, and statements beside the store's.

use std::future::Future;

use mysql_async::prelude::Queryable;
use quota_servers::{PrivateServer, Server};
use quota_service::{PlanStore, UsageStore};
use quota_store_diesel::{ConnectError, MysqlStore, PostgresStore, TablePrefix};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Of both engines.
pub(crate) trait Database: Send + Sync + Sized + 'static {
    type Store: UsageStore + PlanStore + std::fmt::Debug;
    /// A connection beside the store's.
    type Connection: Send;

    const SERVER: Server;
    /// What holds the account of the client `{c}` until the transaction ends.
    const LOCK: &'static str;
    /// How many encrypted connections of stores there are, or were.
    const ENCRYPTED: &'static str;
    /// Lets new connections begin with other settings: of transactions, of what is an error, of time.
    const OTHER_DEFAULTS: &'static str;
    /// Makes a database whose texts are not ordered by their bytes, and removes it.
    const COLLATED: [&'static str; 2];
    /// What the server says of a column whose values are compared by their bytes.
    const BYTEWISE: &'static str;
    /// What makes a database, or the whole server, one that a store cannot work with; the database's name in a URL; and
    /// what is said of it.
    const UNSUITED: &'static [[&'static str; 3]];
    /// Lets the whole server only read, but for who may write all the same; and what ends that.
    const READ_ONLY: [&'static str; 2];
    /// Lets the server end connections after an idle second, where they are not told otherwise; how many of the store's
    /// there are.
    const IDLE: [&'static str; 2];

    fn at(url: String) -> Self;
    fn url(&self) -> &str;
    fn prefix(&self) -> &TablePrefix;

    /// Connects to the URL with this test's tables.
    fn connect(&self, url: &str) -> impl Future<Output = Result<Self::Store, ConnectError>> + Send;
    /// Connects to the same, and waits only a second for an account that somebody else holds.
    fn connect_impatient(&self) -> impl Future<Output = Result<Self::Store, ConnectError>> + Send;

    /// Connects to the same, and waits only some seconds for an answer.
    fn connect_hasty(&self) -> impl Future<Output = Result<Self::Store, ConnectError>> + Send;

    /// The same, and trusts servers for whom one of these authorities (PEM) has signed.
    fn connect_trusting(&self, url: &str, pem: &[u8])
    -> impl Future<Output = Result<Self::Store, ConnectError>> + Send;

    fn connection(&self) -> impl Future<Output = Self::Connection> + Send;
    fn execute_on(&self, connection: &mut Self::Connection, sql: &str) -> impl Future<Output = ()> + Send;
    fn number(&self, sql: &str) -> impl Future<Output = i64> + Send;

    /// What the server says of its version, and as many bytes of one that is too old.
    fn versions(&self) -> impl Future<Output = (Vec<u8>, Vec<u8>)> + Send;
    /// Makes a user who may read our tables and no more, and gives a URL of theirs.
    fn reader(&self) -> impl Future<Output = String> + Send;
    /// Makes a user who may read and write all tables that are made from now on and makes none, on a server of the test's
    /// own; gives a URL of theirs.
    fn writer(&self) -> impl Future<Output = String> + Send;
    /// Ends every other connection; they have ended when this returns.
    fn end_connections(&self) -> impl Future<Output = ()> + Send;

    async fn store(&self) -> Self::Store {
        self.connect(self.url()).await.unwrap()
    }

    /// Runs statements in which `{p}` is the prefix.
    async fn execute(&self, sql: &str) {
        let mut connection = self.connection().await;
        self.execute_on(&mut connection, &self.fill(sql)).await;
    }

    /// Sets something for a whole server, of the test's own.
    async fn set(&self, statement: &str) {
        self.execute(statement).await;
        if Self::SERVER == Server::Postgres {
            self.execute("SELECT pg_reload_conf()").await;
        }
    }

    fn fill(&self, sql: &str) -> String {
        sql.replace("{p}", self.prefix().as_str())
    }
}

/// A test on the server that all share, unless there is none.
pub(crate) fn run<D: Database>(new: impl Fn(String) -> D, test: impl AsyncFnOnce(&D)) {
    let Some(url) = quota_servers::url(D::SERVER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = new(url);
        test(&database).await;
        let tables = ["schema", "accounts", "entries", "quarters", "plans"];
        database.execute(&tables.map(|table| format!("DROP TABLE IF EXISTS {{p}}{table}")).join("; ")).await;
    });
}

/// The same engine on a server of the test's own.
pub(crate) fn private<D: Database>() -> Option<(PrivateServer, D)> {
    let server = quota_servers::private(D::SERVER)?;
    let database = D::at(server.url().to_owned());
    Some((server, database))
}

fn prefix() -> TablePrefix {
    TablePrefix::new(&format!("t{}_", quota_servers::own_name())).unwrap()
}

/// The URL of another user.
fn url_of(url: &str, name: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    format!("{scheme}://{name}:{password}@{place}")
}

const ONE_SECOND: std::time::Duration = std::time::Duration::from_secs(1);
const TWO_SECONDS: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) struct Postgres {
    url: String,
    prefix: TablePrefix,
}

impl Postgres {
    pub(crate) fn new(url: String) -> Self {
        Self { url, prefix: prefix() }
    }
}

impl Database for Postgres {
    type Store = PostgresStore;
    type Connection = tokio_postgres::Client;

    const SERVER: Server = Server::Postgres;
    const LOCK: &'static str = "BEGIN; SELECT 1 FROM {p}accounts WHERE client = '{c}' FOR UPDATE";
    const ENCRYPTED: &'static str = "SELECT COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE ssl AND application_name = 'quota'";
    const OTHER_DEFAULTS: &'static str = "ALTER DATABASE quota SET default_transaction_isolation = 'serializable'; \
         ALTER DATABASE quota SET TimeZone = 'Asia/Kathmandu'";
    const COLLATED: [&'static str; 2] = [
        "CREATE DATABASE {p}collated TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
        "DROP DATABASE {p}collated WITH (FORCE)",
    ];
    const BYTEWISE: &'static str = "collation_name = 'C'";
    const UNSUITED: &'static [[&'static str; 3]] = &[
        [
            "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
            "ascii",
            "cannot be used: the database's encoding is SQL_ASCII: create one with the encoding UTF8",
        ],
        [
            "DROP SCHEMA public",
            "quota",
            "lacks a right: no schema of its search_path exists or may be used: create one, or set search_path",
        ],
        [
            "CREATE SCHEMA public",
            "quota?options=-csearch_path%3Dabsent",
            "lacks a right: no schema of its search_path exists or may be used: create one, or set search_path",
        ],
    ];
    const READ_ONLY: [&'static str; 2] =
        ["ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET default_transaction_read_only"];
    const IDLE: [&'static str; 2] = [
        "ALTER SYSTEM SET idle_session_timeout = '1s'",
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'quota'",
    ];

    fn at(url: String) -> Self {
        Self::new(url)
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn prefix(&self) -> &TablePrefix {
        &self.prefix
    }

    async fn connect(&self, url: &str) -> Result<PostgresStore, ConnectError> {
        PostgresStore::builder(url).with_prefix(self.prefix.clone()).connect().await
    }

    async fn connect_impatient(&self) -> Result<PostgresStore, ConnectError> {
        PostgresStore::builder(&self.url).with_prefix(self.prefix.clone()).with_lock_timeout(ONE_SECOND).connect().await
    }

    async fn connect_hasty(&self) -> Result<PostgresStore, ConnectError> {
        let builder = PostgresStore::builder(&self.url).with_prefix(self.prefix.clone());
        builder.with_statement_timeout(TWO_SECONDS).with_connect_timeout(TWO_SECONDS).connect().await
    }

    async fn connect_trusting(&self, url: &str, pem: &[u8]) -> Result<PostgresStore, ConnectError> {
        PostgresStore::builder(url).with_prefix(self.prefix.clone()).with_root_certificates(pem).connect().await
    }

    async fn connection(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn execute_on(&self, connection: &mut tokio_postgres::Client, sql: &str) {
        connection.batch_execute(sql).await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        let rows = self.connection().await.simple_query(&self.fill(sql)).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        row.unwrap().parse().unwrap()
    }

    /// A number, as the protocol has it.
    async fn versions(&self) -> (Vec<u8>, Vec<u8>) {
        let number = self.number("SELECT current_setting('server_version_num')").await;
        (number.to_be_bytes().to_vec(), 110_022_i64.to_be_bytes().to_vec())
    }

    async fn reader(&self) -> String {
        let name = format!("{}reader", self.prefix);
        self.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA public TO {name}"))
            .await;
        for table in ["schema", "accounts", "entries", "quarters", "plans"] {
            self.execute(&format!("GRANT SELECT ON {{p}}{table} TO {name}")).await;
        }
        url_of(&self.url, &name, "reader")
    }

    async fn writer(&self) -> String {
        self.execute(
            "CREATE ROLE writer LOGIN PASSWORD 'writer'; GRANT USAGE ON SCHEMA public TO writer; \
             REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO writer",
        )
        .await;
        url_of(&self.url, "writer", "writer")
    }

    async fn end_connections(&self) {
        self.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        .await;
    }
}

pub(crate) struct Mysql {
    url: String,
    prefix: TablePrefix,
}

impl Mysql {
    pub(crate) fn new(url: String) -> Self {
        Self { url, prefix: prefix() }
    }
}

impl Database for Mysql {
    type Store = MysqlStore;
    type Connection = mysql_async::Conn;

    const SERVER: Server = Server::Mysql;
    const LOCK: &'static str = "BEGIN; SELECT 1 FROM {p}accounts WHERE client = '{c}' FOR UPDATE";
    const ENCRYPTED: &'static str = "SELECT CAST(VARIABLE_VALUE AS INTEGER) FROM information_schema.GLOBAL_STATUS \
         WHERE VARIABLE_NAME = 'SSL_ACCEPTS'";
    const OTHER_DEFAULTS: &'static str = "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE; \
         SET GLOBAL sql_mode = ''; SET GLOBAL time_zone = '+05:45'";
    const COLLATED: [&'static str; 2] =
        ["CREATE DATABASE {p}collated CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "DROP DATABASE {p}collated"];
    const BYTEWISE: &'static str = "data_type = 'varbinary'";
    const UNSUITED: &'static [[&'static str; 3]] = &[[
        "SET GLOBAL max_allowed_packet = 1048576",
        "quota",
        "cannot be used: its max_allowed_packet is 1048576: set it to 16777216 at least",
    ]];
    const READ_ONLY: [&'static str; 2] = ["SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"];
    const IDLE: [&'static str; 2] = [
        "SET GLOBAL wait_timeout = 1",
        "SELECT CAST(VARIABLE_VALUE AS INTEGER) - 1 FROM information_schema.GLOBAL_STATUS \
         WHERE VARIABLE_NAME = 'THREADS_CONNECTED'",
    ];

    fn at(url: String) -> Self {
        Self::new(url)
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn prefix(&self) -> &TablePrefix {
        &self.prefix
    }

    async fn connect(&self, url: &str) -> Result<MysqlStore, ConnectError> {
        MysqlStore::builder(url).with_prefix(self.prefix.clone()).connect().await
    }

    async fn connect_impatient(&self) -> Result<MysqlStore, ConnectError> {
        MysqlStore::builder(&self.url).with_prefix(self.prefix.clone()).with_lock_timeout(ONE_SECOND).connect().await
    }

    async fn connect_hasty(&self) -> Result<MysqlStore, ConnectError> {
        let builder = MysqlStore::builder(&self.url).with_prefix(self.prefix.clone());
        builder.with_statement_timeout(TWO_SECONDS).with_connect_timeout(TWO_SECONDS).connect().await
    }

    async fn connect_trusting(&self, url: &str, pem: &[u8]) -> Result<MysqlStore, ConnectError> {
        MysqlStore::builder(url).with_prefix(self.prefix.clone()).with_root_certificates(pem).connect().await
    }

    async fn connection(&self) -> mysql_async::Conn {
        mysql_async::Conn::from_url(&self.url).await.unwrap()
    }

    async fn execute_on(&self, connection: &mut mysql_async::Conn, sql: &str) {
        connection.query_drop(sql).await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        self.connection().await.query_first(self.fill(sql)).await.unwrap().unwrap()
    }

    /// The numbers of MariaDB have two digits, those of MySQL one.
    async fn versions(&self) -> (Vec<u8>, Vec<u8>) {
        let version: String = self.connection().await.query_first("SELECT VERSION()").await.unwrap().unwrap();
        let (major, rest) = version.split_once('.').unwrap();
        let (minor, rest) = rest.split_once('.').unwrap();
        let older = format!("{}.{}.{rest}", if major.len() > 1 { "10" } else { "5" }, "0".repeat(minor.len()));
        (version.into_bytes(), older.into_bytes())
    }

    async fn reader(&self) -> String {
        let name = format!("{}reader", self.prefix);
        self.execute(&format!("CREATE USER {name} IDENTIFIED BY 'reader'")).await;
        for table in ["schema", "accounts", "entries", "quarters", "plans"] {
            self.execute(&format!("GRANT SELECT ON {{p}}{table} TO {name}")).await;
        }
        url_of(&self.url, &name, "reader")
    }

    async fn writer(&self) -> String {
        self.execute(
            "CREATE USER writer IDENTIFIED BY 'writer'; GRANT SELECT, INSERT, UPDATE, DELETE ON quota.* TO writer",
        )
        .await;
        url_of(&self.url, "writer", "writer")
    }

    async fn end_connections(&self) {
        let mut connection = self.connection().await;
        let own = connection.id();
        let others: Vec<u32> = connection.query("SELECT id FROM information_schema.processlist").await.unwrap();
        for id in others.into_iter().filter(|id| *id != own) {
            // It may have ended by itself, and the server's own cannot be ended.
            let _ = connection.query_drop(format!("KILL {id}")).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
