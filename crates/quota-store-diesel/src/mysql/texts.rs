//! The statements that MySQL words its own way.

use crate::prefix::TablePrefix;
use crate::server::{Dialect, Texts};
use crate::statement::Sql;

/// Where MySQL differs within the statements of all servers.
pub(crate) const DIALECT: Dialect = Dialect { integer: "SIGNED" };

/// Every statement of a connection. Those on lists have a text for each power of two; a list is filled up with its
/// last item.
#[derive(Debug)]
pub(crate) struct MysqlTexts {
    /// clients -> client, document, folded until, labels, deleted from, deleted to, deleted sums, whether it only reads
    pub(crate) lock: Lists,
    pub(crate) lock_skipping: Lists,
    /// clients -> client
    pub(crate) existing: Lists,
    /// (id, client) -> client, id, at, credits, label
    pub(crate) named: Lists,
    /// The beginnings and ends of what a batch writes as text.
    pub(crate) make_accounts: String,
    pub(crate) put_accounts: (String, &'static str),
    pub(crate) add_entries: String,
    pub(crate) add_to_quarters: (String, &'static str),
    pub(crate) put_plans: (String, &'static str),
    pub(crate) remove_plans: String,
    /// -> the server's time in milliseconds
    pub(crate) time: Sql,
    /// -> 1 if it takes writes
    pub(crate) writable: Sql,
}

/// A statement on a list, for lists of 1, 2, 4 and so on items.
#[derive(Debug)]
pub(crate) struct Lists(Vec<Sql>);

impl Lists {
    /// The greatest list of one statement.
    pub(crate) const MAX: usize = 256;

    fn new(head: &str, item: &str, separator: &str, tail: &str) -> Self {
        let sizes = std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|size| *size <= Self::MAX);
        Self(sizes.map(|size| Sql::new(&format!("{head}{}{tail}", vec![item; size].join(separator)))).collect())
    }

    /// The statement for a list of so many items, and how many it takes; at most [`Lists::MAX`].
    pub(crate) fn of(&self, items: usize) -> Option<(&Sql, usize)> {
        let size = items.next_power_of_two();
        let power = usize::try_from(size.ilog2()).ok()?;
        self.0.get(power).map(|sql| (sql, size))
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> &[Sql] {
        &self.0
    }
}

impl MysqlTexts {
    pub(crate) fn new(prefix: &TablePrefix) -> (Self, Texts) {
        let fill = |template: &str| prefix.fill(template);
        // The index by name: a small table would else be read whole, and wait for every lock in it.
        let lock = fill(&format!(
            "SELECT client, document, folded_until, labels, deleted_from, deleted_to, deleted_sums, {} \
             FROM {{p}}accounts FORCE INDEX (PRIMARY) WHERE client IN (",
            is_on("@@global.read_only")
        ));
        let named = fill(
            "SELECT client, id, at, credits, label FROM {p}entries FORCE INDEX ({p}entries_by_id) WHERE (id, client) IN (",
        );
        let texts = Self {
            lock: Lists::new(&lock, "?", ", ", ") ORDER BY client FOR UPDATE"),
            lock_skipping: Lists::new(&lock, "?", ", ", ") ORDER BY client FOR UPDATE SKIP LOCKED"),
            existing: Lists::new(
                &fill("SELECT client FROM {p}accounts FORCE INDEX (PRIMARY) WHERE client IN ("),
                "?",
                ", ",
                ")",
            ),
            // MariaDB uses its index for this only where it is told to. Not OR for each pair, which takes it twice as long
            // to plan.
            named: Lists::new(&named, "(?, ?)", ", ", ")"),
            make_accounts: fill("INSERT INTO {p}accounts (client, document, labels)"),
            put_accounts: (
                fill("INSERT INTO {p}accounts (client, document, labels)"),
                " ON DUPLICATE KEY UPDATE document = VALUES(document), labels = VALUES(labels)",
            ),
            add_entries: fill("INSERT INTO {p}entries (client, at, id, credits, label)"),
            add_to_quarters: (
                fill("INSERT INTO {p}quarters (client, quarter, label, credits, entries)"),
                " ON DUPLICATE KEY UPDATE credits = credits + VALUES(credits), entries = entries + VALUES(entries)",
            ),
            put_plans: (
                fill("INSERT INTO {p}plans (client, version, quotas)"),
                " ON DUPLICATE KEY UPDATE version = VALUES(version), quotas = VALUES(quotas)",
            ),
            remove_plans: fill("DELETE FROM {p}plans WHERE client IN "),
            time: Sql::new("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"),
            writable: Sql::new(&format!("SELECT 1 - {}", is_on("@@global.read_only"))),
        };
        (texts, Texts::new(prefix, DIALECT))
    }
}

/// 1 where a variable is on, 0 where it is off. MariaDB 12.0.1 and later tell `read_only` by words (`OFF`, `ON`, `NO_LOCK`; MDEV-36425),
/// all others by a number; a word is the number 0.
pub(crate) fn is_on(variable: &str) -> String {
    format!("CAST(CAST({variable} AS CHAR) NOT IN ('0', 'OFF') AS SIGNED)")
}

#[cfg(test)]
mod tests {
    use mysql_async::Row;
    use mysql_async::prelude::Queryable;
    use quota_servers::Server;

    use super::*;
    use crate::migrations::{MYSQL, OBJECTS};

    /// The text with some value for each parameter: a text where one is compared, else a number.
    fn valued(text: &str, is_list: bool) -> String {
        let mut valued = String::new();
        for (place, piece) in text.split('?').enumerate() {
            let is_text = is_list
                || ["client", "id", "label"].iter().any(|column| {
                    let before = valued.trim_end_matches([' ', '=', '<', '>']);
                    before.ends_with(&format!(" {column}")) || before.ends_with(&format!("({column}"))
                });
            if place > 0 {
                valued.push_str(if is_text { "'c7'" } else { "7" });
            }
            valued.push_str(piece);
        }
        valued
    }

    #[tokio::test]
    async fn every_statement_finds_its_rows_by_index() {
        let Some(url) = quota_servers::url(Server::Mysql) else { return };
        let prefix = TablePrefix::new(&format!("t{:08x}_", fastrand::u32(..))).unwrap();
        let mut connection = mysql_async::Conn::from_url(&url).await.unwrap();
        for statement in MYSQL.iter().flat_map(|migration| migration.statements) {
            connection.query_drop(prefix.fill(statement)).await.unwrap();
        }
        type MakeRow = fn(usize) -> String;
        let rows = |row: MakeRow| (0..2_000).map(row).collect::<Vec<_>>().join(",");
        let tables: [(&str, MakeRow); 4] = [
            ("accounts", |n| format!("('c{n}', '', 0, '', 0, 0, 0)")),
            ("entries", |n| format!("('c{}', {n}, 'i{n}', 1, '')", n % 20)),
            ("quarters", |n| format!("('c{}', {n}, '', 1, 1)", n % 20)),
            ("plans", |n| format!("('c{n}', 1, '')")),
        ];
        for (table, row) in tables {
            connection.query_drop(format!("INSERT INTO {prefix}{table} VALUES {}", rows(row))).await.unwrap();
            connection.query_drop(format!("ANALYZE TABLE {prefix}{table}")).await.unwrap();
        }
        let (own, shared) = MysqlTexts::new(&prefix);
        let mut texts: Vec<String> = shared.all().into_iter().map(|sql| valued(&sql.text(), false)).collect();
        for lists in [&own.lock, &own.lock_skipping, &own.existing, &own.named] {
            texts.extend(lists.all().iter().map(|sql| valued(&sql.text(), true)));
        }
        for text in &texts {
            let plan: Vec<Row> = connection.query(format!("EXPLAIN {text}")).await.unwrap();
            for row in plan {
                let word = |column: &str| row.get::<Option<String>, _>(column).flatten().unwrap_or_default();
                let (table, kind, key) = (word("table"), word("type"), word("key"));
                let is_derived = table.is_empty() || table.starts_with('<') || table == "parts";
                assert!(is_derived || (kind != "ALL" && kind != "index" && !key.is_empty()), "{text}: {row:?}");
            }
        }
        for table in ["accounts", "entries", "quarters", "plans", "schema"] {
            connection.query_drop(format!("DROP TABLE {prefix}{table}")).await.unwrap();
        }
        assert_eq!(OBJECTS.len(), 5);
    }
}
