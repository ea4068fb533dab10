//! The statements that PostgreSQL words its own way: on arrays, so that one text serves a batch of any size.

use crate::postgres::statement::ArraySql;
use crate::prefix::TablePrefix;
use crate::server::{Dialect, Texts};
use crate::statement::Sql;

/// Where PostgreSQL differs within the statements of all servers.
pub(crate) const DIALECT: Dialect = Dialect { integer: "BIGINT" };

/// Every statement of a connection.
#[derive(Debug)]
pub(crate) struct PostgresTexts {
    /// Transactions are begun and ended by prepared statements as well: those go out in the order of their calls
    /// even where one before them has still to be prepared.
    pub(crate) begin: ArraySql,
    pub(crate) begin_reading: ArraySql,
    pub(crate) commit: ArraySql,
    pub(crate) roll_back: ArraySql,
    /// clients -> client, document, folded until, labels, deleted from, deleted to, deleted sums
    pub(crate) lock: ArraySql,
    pub(crate) lock_skipping: ArraySql,
    /// clients -> client
    pub(crate) existing: ArraySql,
    /// clients, ids -> client, id, at, credits, label
    pub(crate) named: ArraySql,
    /// clients, instants, ids, credits, labels
    pub(crate) add_entries: ArraySql,
    /// clients, quarters, labels, credits, entries
    pub(crate) add_to_quarters: ArraySql,
    /// clients, documents, labels
    pub(crate) put_accounts: ArraySql,
    /// The three of them in one, with the parameters of all: each statement costs an answer that the server sends and
    /// the client wakes up for.
    pub(crate) charge: ArraySql,
    pub(crate) make_accounts: ArraySql,
    /// clients, documents and labels, the same as they were seen, folded until; entries, quarters; how many clients. Fails unless
    /// all rows were as they were seen. Waits for each lock no longer than a busy client's others take.
    pub(crate) charge_over: ArraySql,
    /// The same, and what `confirm` says: its parameters come behind. What is confirmed is as it was when the
    /// statement began: of another client's account that is as good as later, of an id under a client that is written it is not.
    pub(crate) charge_and_confirm: ArraySql,
    /// clients, documents, labels, folded until; how many; clients, ids. Fails unless all rows are as they were seen, none of the ids
    /// is there, and the server is the one that is written to.
    pub(crate) confirm: ArraySql,
    /// clients, versions, quotas
    pub(crate) put_plans: ArraySql,
    /// clients
    pub(crate) remove_plans: ArraySql,
    /// -> the server's time in milliseconds
    pub(crate) time: Sql,
    /// -> 1 if it takes writes
    pub(crate) writable: Sql,
}

impl PostgresTexts {
    pub(crate) fn new(prefix: &TablePrefix) -> (Self, Texts) {
        let sql = |template: &str| ArraySql::new(&prefix.fill(template));
        let lock = "SELECT client, document, folded_until, labels, deleted_from, deleted_to, deleted_sums \
             FROM {p}accounts \
             WHERE client = ANY(?) ORDER BY client FOR NO KEY UPDATE";
        let add_entries = "INSERT INTO {p}entries (client, at, id, credits, label) SELECT * FROM unnest(?, ?, ?, ?, ?)";
        let add_to_quarters = "INSERT INTO {p}quarters AS q (client, quarter, label, credits, entries) \
             SELECT * FROM unnest(?, ?, ?, ?, ?) ON CONFLICT (client, quarter, label) DO UPDATE \
             SET credits = q.credits + excluded.credits, entries = q.entries + excluded.entries";
        let put_accounts = "UPDATE {p}accounts AS a SET document = n.document, labels = n.labels \
             FROM unnest(?, ?, ?) AS n (client, document, labels) WHERE a.client = n.client";
        // Bytes, whatever the database's collation takes for equal.
        let as_seen = "a.client = n.client AND a.document = n.seen COLLATE \"C\" \
             AND a.labels = n.seen_labels COLLATE \"C\" AND a.folded_until = n.folded_until AND a.deleted_from >= a.deleted_to";
        let write_over = format!(
            "UPDATE {{p}}accounts AS a SET document = n.document, labels = n.labels \
             FROM unnest(?, ?, ?, ?, ?, ?) AS n (client, document, labels, seen, seen_labels, folded_until) \
             WHERE (SELECT set_config('lock_timeout', '20', true)) <> '' AND {as_seen} RETURNING 1"
        );
        // The accounts first, for they are asked for first: whoever is late has done no more, and rows are locked in their order.
        let charge_over = format!(
            "WITH a AS ({write_over}), e AS ({add_entries}), q AS ({add_to_quarters}) \
             SELECT 1 / CASE WHEN (SELECT count(*) FROM a)"
        );
        let confirmed = format!(
            "(SELECT count(*) FROM unnest(?, ?, ?, ?) AS n (client, seen, seen_labels, folded_until) \
             JOIN {{p}}accounts AS a ON {as_seen}) = ANY(?) \
             AND NOT EXISTS (SELECT FROM unnest(?, ?) AS i (client, id) \
             JOIN {{p}}entries AS e ON e.id = i.id AND e.client = i.client)"
        );
        let texts = Self {
            begin: sql("BEGIN ISOLATION LEVEL READ COMMITTED"),
            begin_reading: sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            commit: sql("COMMIT"),
            roll_back: sql("ROLLBACK"),
            lock: sql(lock),
            lock_skipping: sql(&format!("{lock} SKIP LOCKED")),
            existing: sql("SELECT client FROM {p}accounts WHERE client = ANY(?)"),
            named: sql("SELECT e.client, e.id, e.at, e.credits, e.label FROM unnest(?, ?) AS n (client, id) \
                 JOIN {p}entries AS e ON e.id = n.id AND e.client = n.client"),
            add_entries: sql(add_entries),
            add_to_quarters: sql(add_to_quarters),
            put_accounts: sql(put_accounts),
            charge: sql(&format!("WITH e AS ({add_entries}), q AS ({add_to_quarters}) {put_accounts}")),
            make_accounts: sql("INSERT INTO {p}accounts (client, document, labels) SELECT * FROM unnest(?, ?, ?)"),
            charge_over: sql(&format!("{charge_over} = ANY(?) THEN 1 ELSE 0 END")),
            charge_and_confirm: sql(&format!("{charge_over} = ANY(?) AND {confirmed} THEN 1 ELSE 0 END")),
            confirm: sql(&format!(
                "SELECT 1 / CASE WHEN NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off' \
                 AND {confirmed} THEN 1 ELSE 0 END"
            )),
            put_plans: sql("INSERT INTO {p}plans (client, version, quotas) SELECT * FROM unnest(?, ?, ?) \
                 ON CONFLICT (client) DO UPDATE SET version = excluded.version, quotas = excluded.quotas"),
            remove_plans: sql("DELETE FROM {p}plans WHERE client = ANY(?)"),
            time: Sql::new("SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)"),
            writable: Sql::new(
                "SELECT CAST(CASE WHEN pg_is_in_recovery() \
                 OR current_setting('default_transaction_read_only') = 'on' THEN 0 ELSE 1 END AS BIGINT)",
            ),
        };
        (texts, Texts::new(prefix, DIALECT))
    }
}

#[cfg(test)]
mod tests {
    use quota_servers::Server;
    use tokio_postgres::SimpleQueryMessage;

    use super::*;
    use crate::migrations::POSTGRES;
    use crate::postgres::engine::session;
    use crate::server::Settings;

    fn numbered(text: &str) -> String {
        let mut pieces = text.split('?');
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.enumerate().fold(first, |text, (place, piece)| format!("{text}${}{piece}", place + 1))
    }

    #[tokio::test]
    async fn every_statement_finds_its_rows_by_index() {
        let Some(url) = quota_servers::url(Server::Postgres) else { return };
        let prefix = TablePrefix::new(&format!("t{:08x}_", fastrand::u32(..))).unwrap();
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        // Never committed.
        let settings = Settings::new(prefix.clone());
        client.batch_execute(&format!("{}; BEGIN", session(&settings))).await.unwrap();
        for statement in POSTGRES.iter().flat_map(|migration| migration.statements) {
            client.batch_execute(&prefix.fill(statement)).await.unwrap();
        }
        let (own, shared) = PostgresTexts::new(&prefix);
        let all = |of: &'static str, text: String| (vec![of; text.matches('$').count()], text);
        let mut texts: Vec<(Vec<&str>, String)> =
            shared.all().into_iter().map(|sql| all("unknown", numbered(&sql.text()))).collect();
        let arrays = [&own.lock, &own.lock_skipping, &own.existing, &own.named, &own.put_accounts, &own.remove_plans];
        texts.extend(arrays.map(|sql| all("text[]", sql.text())));
        let (words, numbers) = ("text[]", "bigint[]");
        let accounts = [words, words, words, words, words, numbers];
        let (entries, quarters) = ([words, numbers, words, numbers, words], [words, numbers, words, numbers, numbers]);
        texts.push(([&accounts[..], &entries, &quarters, &[numbers]].concat(), own.charge_over.text()));
        let confirmed = [words, words, words, numbers, numbers, words, words];
        let both = [&accounts[..], &entries, &quarters, &[numbers], &confirmed].concat();
        texts.push((both, own.charge_and_confirm.text()));
        texts.push((confirmed.to_vec(), own.confirm.text()));
        for (number, (types, text)) in texts.iter().enumerate() {
            let (types, values) = (types.join(", "), vec!["NULL"; types.len()].join(", "));
            client.batch_execute(&format!("PREPARE s{number} ({types}) AS {text}")).await.unwrap();
            let plan = client.simple_query(&format!("EXPLAIN EXECUTE s{number} ({values})")).await.unwrap();
            let lines: Vec<&str> = plan
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                })
                .collect();
            assert!(lines.iter().any(|line| line.contains("Index") && line.contains(" Scan ")), "{text}: {lines:#?}");
            assert!(!lines.iter().any(|line| line.contains("Seq Scan")), "{text}: {lines:#?}");
            // No index is read from end to end.
            let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
            let is_over = text.contains("seen_labels");
            assert!(!is_over || count("Index Cond:") == count("Index Scan") + count("Index Only Scan"), "{lines:#?}");
            // Bounds of ranges are bounds of the index as well, and not tried row by row.
            let ranges = ["at >=", "quarter >=", "client >"];
            if ranges.iter().any(|range| text.contains(range)) {
                assert!(
                    lines.iter().any(|line| line.contains("Index Cond") && line.contains('>')),
                    "{text}: {lines:#?}"
                );
            }
        }
    }
}
