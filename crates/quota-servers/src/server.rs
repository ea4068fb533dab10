//! The kinds of server that stores are tested on.

use std::fmt;

/// The variable that lists, with commas, the servers without which a run fails: `postgres,redis-cluster`.
pub const REQUIRED: &str = "QUOTA_TEST_REQUIRED";

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, or a MySQL of the user's.
    Mysql,
    /// One Redis, or a Valkey of the user's.
    Redis,
    /// A Redis Cluster of three primaries, each with a replica.
    RedisCluster,
    /// MongoDB, or a server that speaks its protocol.
    Mongodb,
}

impl Server {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Redis, Self::RedisCluster, Self::Mongodb];

    /// As it stands in [`REQUIRED`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::Mongodb => "mongodb",
        }
    }

    /// The variable that holds the URL of the server to test on.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "QUOTA_TEST_POSTGRES_URL",
            Self::Mysql => "QUOTA_TEST_MYSQL_URL",
            Self::Redis => "QUOTA_TEST_REDIS_URL",
            Self::RedisCluster => "QUOTA_TEST_REDIS_CLUSTER_URL",
            Self::Mongodb => "QUOTA_TEST_MONGODB_URL",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
