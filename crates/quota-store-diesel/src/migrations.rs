//! What the tables look like, version by version.

/// One step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    /// Counts from 1 without gaps.
    pub(crate) version: i64,
    /// What is run, in order, in one transaction with the note of its version. `{p}` is the prefix.
    pub(crate) statements: &'static [&'static str],
}

/// Everything that a store owns but [`SCHEMA`]; each of them exists at the newest version.
pub(crate) const OBJECTS: [&str; 5] = ["{p}accounts", "{p}entries", "{p}entries_by_id", "{p}quarters", "{p}plans"];

/// Notes which migrations were run. Not Diesel's own table, so an application's migrations are left alone.
pub(crate) const SCHEMA: &str = "{p}schema";

/// The version that this crate writes and knows.
pub(crate) fn newest(migrations: &[Migration]) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// SQLite. Every table is one b-tree keyed by the client, so a charge touches four leaves: its account, its entry,
/// its id and its quarter. The index by id begins with the id and not with the client: the ids that are made are
/// ordered by time, so a batch of any clients appends to one leaf.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        statements: &[
            "CREATE TABLE {p}schema (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
            "CREATE TABLE {p}accounts (
            client TEXT NOT NULL PRIMARY KEY,
            document TEXT NOT NULL,
            folded_until INTEGER NOT NULL DEFAULT 0,
            labels TEXT NOT NULL DEFAULT ''
        ) STRICT, WITHOUT ROWID",
            "CREATE TABLE {p}entries (
            client TEXT NOT NULL,
            at INTEGER NOT NULL,
            id TEXT NOT NULL,
            credits INTEGER NOT NULL CHECK (credits >= 0),
            label TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (client, at, id)
        ) STRICT, WITHOUT ROWID",
            "CREATE UNIQUE INDEX {p}entries_by_id ON {p}entries (id, client)",
            "CREATE TABLE {p}quarters (
            client TEXT NOT NULL,
            quarter INTEGER NOT NULL,
            label TEXT NOT NULL DEFAULT '',
            credits INTEGER NOT NULL CHECK (credits >= 0),
            entries INTEGER NOT NULL CHECK (entries >= 0),
            PRIMARY KEY (client, quarter, label)
        ) STRICT, WITHOUT ROWID",
            "CREATE TABLE {p}plans (
            client TEXT NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL,
            quotas TEXT NOT NULL
        ) STRICT, WITHOUT ROWID",
        ],
    },
    Migration {
        version: 2,
        statements: &[
            "ALTER TABLE {p}accounts ADD COLUMN deleted_from INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE {p}accounts ADD COLUMN deleted_to INTEGER NOT NULL DEFAULT 0",
        ],
    },
    Migration {
        version: 3,
        statements: &["ALTER TABLE {p}accounts ADD COLUMN deleted_sums INTEGER NOT NULL DEFAULT 0"],
    },
];

/// PostgreSQL. Texts are compared by their bytes. Accounts and quarters are written again and again: their pages keep
/// room for it, so that no index has to be touched.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        statements: &[
            "CREATE TABLE {p}schema (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
            "CREATE TABLE {p}accounts (
            client TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
            document TEXT NOT NULL,
            folded_until BIGINT NOT NULL DEFAULT 0,
            labels TEXT NOT NULL DEFAULT ''
        ) WITH (fillfactor = 50)",
            "CREATE TABLE {p}entries (
            client TEXT COLLATE \"C\" NOT NULL,
            at BIGINT NOT NULL,
            id TEXT COLLATE \"C\" NOT NULL,
            credits BIGINT NOT NULL CHECK (credits >= 0),
            label TEXT COLLATE \"C\" NOT NULL DEFAULT '',
            PRIMARY KEY (client, at, id)
        )",
            "CREATE UNIQUE INDEX {p}entries_by_id ON {p}entries (id, client)",
            "CREATE TABLE {p}quarters (
            client TEXT COLLATE \"C\" NOT NULL,
            quarter BIGINT NOT NULL,
            label TEXT COLLATE \"C\" NOT NULL DEFAULT '',
            credits BIGINT NOT NULL CHECK (credits >= 0),
            entries BIGINT NOT NULL CHECK (entries >= 0),
            PRIMARY KEY (client, quarter, label)
        ) WITH (fillfactor = 80)",
            "CREATE TABLE {p}plans (
            client TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
            version BIGINT NOT NULL,
            quotas TEXT NOT NULL
        )",
        ],
    },
    Migration {
        version: 2,
        statements: &[
            "ALTER TABLE {p}accounts ADD COLUMN deleted_from BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE {p}accounts ADD COLUMN deleted_to BIGINT NOT NULL DEFAULT 0",
        ],
    },
    Migration {
        version: 3,
        statements: &["ALTER TABLE {p}accounts ADD COLUMN deleted_sums BIGINT NOT NULL DEFAULT 0"],
    },
];

/// MySQL and MariaDB. Names are bytes: no collation makes two of them one. A table is one b-tree keyed by the client,
/// as on SQLite. Each statement can be run again, for MySQL commits after each of them.
#[cfg(feature = "mysql")]
pub(crate) const MYSQL: &[Migration] = &[
    Migration {
        version: 1,
        statements: &[
            "CREATE TABLE IF NOT EXISTS {p}schema (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL) ENGINE = InnoDB",
            "CREATE TABLE IF NOT EXISTS {p}accounts (
            client VARBINARY(255) NOT NULL PRIMARY KEY,
            document LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            folded_until BIGINT NOT NULL DEFAULT 0,
            labels LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
        ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
            "CREATE TABLE IF NOT EXISTS {p}entries (
            client VARBINARY(255) NOT NULL,
            at BIGINT NOT NULL,
            id VARBINARY(255) NOT NULL,
            credits BIGINT NOT NULL CHECK (credits >= 0),
            label VARBINARY(255) NOT NULL DEFAULT '',
            PRIMARY KEY (client, at, id),
            UNIQUE KEY {p}entries_by_id (id, client)
        ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
            "CREATE TABLE IF NOT EXISTS {p}quarters (
            client VARBINARY(255) NOT NULL,
            quarter BIGINT NOT NULL,
            label VARBINARY(255) NOT NULL DEFAULT '',
            credits BIGINT NOT NULL CHECK (credits >= 0),
            entries BIGINT NOT NULL CHECK (entries >= 0),
            PRIMARY KEY (client, quarter, label)
        ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
            "CREATE TABLE IF NOT EXISTS {p}plans (
            client VARBINARY(255) NOT NULL PRIMARY KEY,
            version BIGINT NOT NULL,
            quotas LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
        ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
        ],
    },
    Migration {
        version: 2,
        statements: &[
            // MySQL has no ADD COLUMN IF NOT EXISTS.
            "SET @quota_add = (SELECT IF(COUNT(*) = 0, 'ALTER TABLE {p}accounts \
            ADD COLUMN deleted_from BIGINT NOT NULL DEFAULT 0, ADD COLUMN deleted_to BIGINT NOT NULL DEFAULT 0', 'DO 0') \
            FROM information_schema.columns WHERE table_schema = DATABASE() \
            AND table_name = '{p}accounts' AND column_name = 'deleted_to')",
            "PREPARE quota_add FROM @quota_add",
            "EXECUTE quota_add",
            "DEALLOCATE PREPARE quota_add",
        ],
    },
    Migration {
        version: 3,
        statements: &[
            "SET @quota_add = (SELECT IF(COUNT(*) = 0, 'ALTER TABLE {p}accounts \
            ADD COLUMN deleted_sums BIGINT NOT NULL DEFAULT 0', 'DO 0') \
            FROM information_schema.columns WHERE table_schema = DATABASE() \
            AND table_name = '{p}accounts' AND column_name = 'deleted_sums')",
            "PREPARE quota_add FROM @quota_add",
            "EXECUTE quota_add",
            "DEALLOCATE PREPARE quota_add",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_one_without_gaps() {
        let engines: &[&[Migration]] = &[
            #[cfg(feature = "sqlite")]
            SQLITE,
            #[cfg(feature = "postgres")]
            POSTGRES,
            #[cfg(feature = "mysql")]
            MYSQL,
        ];
        for migrations in engines {
            let versions: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
            assert_eq!(versions, (1..=newest(migrations)).collect::<Vec<_>>());
        }
    }
}
