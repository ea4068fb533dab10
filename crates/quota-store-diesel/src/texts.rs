//! The text of every statement, with the prefix in place.

use crate::prefix::TablePrefix;
use crate::statement::Sql;

/// The statements of a store with one prefix. Standard SQL but for the upserts, which MySQL words otherwise.
#[derive(Debug)]
pub(crate) struct Texts {
    /// client -> document, folded until, labels, deleted from, deleted to, deleted sums
    pub(crate) account: Sql,
    /// client, document, labels
    pub(crate) put_account: Sql,
    /// id, client -> at, credits, label
    pub(crate) entry: Sql,
    /// client, at, id, credits, label
    pub(crate) add_entry: Sql,
    /// client, at, id
    pub(crate) remove_entry: Sql,
    /// client, from, to
    pub(crate) remove_entries: Sql,
    /// client, quarter, label, credits, entries
    pub(crate) add_to_quarter: Sql,
    /// credits, entries, client, quarter, label
    pub(crate) take_from_quarter: Sql,
    /// client, quarter, label
    pub(crate) drop_empty_quarter: Sql,
    /// client, from, to
    pub(crate) remove_quarters: Sql,
    /// client, from, to (quarters); client, from, to; client, from, to (entries) -> credits, entries
    pub(crate) sum: Sql,
    /// client, from, to -> label, credits, entries, by label
    pub(crate) sum_by_label: Sql,
    /// client, from, to -> quarter, label, credits, entries
    pub(crate) quarters: Sql,
    /// client, from, to -> at, credits, label
    pub(crate) entries_in: Sql,
    /// client, at, id, to, limit -> at, id, credits, label
    pub(crate) page: Sql,
    /// after, from, before, limit -> client
    pub(crate) clients: Sql,
    /// after, from, limit -> client
    pub(crate) clients_to_the_end: Sql,
    /// client -> version, quotas
    pub(crate) plan: Sql,
    /// client, version, quotas
    pub(crate) put_plan: Sql,
    /// client
    pub(crate) remove_plan: Sql,
    /// before, after, limit -> client, the instant of its first entry before `before`
    pub(crate) foldable: Sql,
    /// before, after, limit -> client, its first quarter before `before`
    pub(crate) forgettable: Sql,
    /// before, after, limit -> client, where a deletion has left rows before `before`
    pub(crate) unfinished: Sql,
    /// client, from, to, offset -> at
    pub(crate) nth_of: Sql,
    /// client, from, to, offset -> at
    pub(crate) nth_last_of: Sql,
    /// client, at, offset -> id
    pub(crate) nth_id: Sql,
    /// client, at, id
    pub(crate) remove_below: Sql,
    /// deleted from, deleted to, deleted sums, client
    pub(crate) leave: Sql,
    /// client, before, offset -> at
    pub(crate) nth_entry: Sql,
    /// client, from, to, offset -> quarter
    pub(crate) nth_quarter: Sql,
    /// client, from, to, offset -> quarter
    pub(crate) nth_last_quarter: Sql,
    /// client, before -> at of the last entry, entries, those with a caller's or made id
    pub(crate) fold_size: Sql,
    /// folded until, client, folded until
    pub(crate) fold: Sql,
    /// -> changes with every commit of another connection; SQLite's own
    pub(crate) data_version: Sql,
    /// -> the schema's version
    pub(crate) schema_version: Sql,
}

impl Texts {
    pub(crate) fn new(prefix: &TablePrefix) -> Self {
        let sql = |template: &str| Sql::new(&prefix.fill(template));
        Self {
            account: sql(
                "SELECT document, folded_until, labels, deleted_from, deleted_to, deleted_sums FROM {p}accounts WHERE client = ?",
            ),
            put_account: sql("INSERT INTO {p}accounts (client, document, labels) VALUES (?, ?, ?) \
                 ON CONFLICT (client) DO UPDATE SET document = excluded.document, labels = excluded.labels"),
            entry: sql("SELECT at, credits, label FROM {p}entries WHERE id = ? AND client = ?"),
            add_entry: sql("INSERT INTO {p}entries (client, at, id, credits, label) VALUES (?, ?, ?, ?, ?)"),
            remove_entry: sql("DELETE FROM {p}entries WHERE client = ? AND at = ? AND id = ?"),
            remove_entries: sql("DELETE FROM {p}entries WHERE client = ? AND at >= ? AND at < ?"),
            add_to_quarter: sql("INSERT INTO {p}quarters (client, quarter, label, credits, entries) \
                 VALUES (?, ?, ?, ?, ?) ON CONFLICT (client, quarter, label) DO UPDATE \
                 SET credits = {p}quarters.credits + excluded.credits, entries = {p}quarters.entries + excluded.entries"),
            take_from_quarter: sql("UPDATE {p}quarters SET credits = credits - ?, entries = entries - ? \
                 WHERE client = ? AND quarter = ? AND label = ?"),
            drop_empty_quarter: sql("DELETE FROM {p}quarters \
                 WHERE client = ? AND quarter = ? AND label = ? AND entries <= 0"),
            remove_quarters: sql("DELETE FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ?"),
            sum: sql("SELECT COALESCE(SUM(credits), 0), COALESCE(SUM(entries), 0) FROM (\
                 SELECT credits, entries FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 UNION ALL SELECT credits, 1 AS entries FROM {p}entries WHERE client = ? AND at >= ? AND at < ? \
                 UNION ALL SELECT credits, 1 AS entries FROM {p}entries WHERE client = ? AND at >= ? AND at < ?) parts"),
            sum_by_label: sql("SELECT label, SUM(credits), COUNT(*) FROM {p}entries \
                 WHERE client = ? AND at >= ? AND at < ? GROUP BY label"),
            quarters: sql("SELECT quarter, label, credits, entries FROM {p}quarters \
                 WHERE client = ? AND quarter >= ? AND quarter < ? ORDER BY quarter, label"),
            entries_in: sql("SELECT at, credits, label FROM {p}entries WHERE client = ? AND at >= ? AND at < ?"),
            page: sql("SELECT at, id, credits, label FROM {p}entries \
                 WHERE client = ? AND (at, id) > (?, ?) AND at < ? ORDER BY at, id LIMIT ?"),
            clients: sql("SELECT client FROM {p}accounts \
                 WHERE client > ? AND client >= ? AND client < ? ORDER BY client LIMIT ?"),
            clients_to_the_end: sql("SELECT client FROM {p}accounts \
                 WHERE client > ? AND client >= ? ORDER BY client LIMIT ?"),
            plan: sql("SELECT version, quotas FROM {p}plans WHERE client = ?"),
            put_plan: sql("INSERT INTO {p}plans (client, version, quotas) VALUES (?, ?, ?) \
                 ON CONFLICT (client) DO UPDATE SET version = excluded.version, quotas = excluded.quotas"),
            remove_plan: sql("DELETE FROM {p}plans WHERE client = ?"),
            foldable: sql(
                "SELECT client, (SELECT at FROM {p}entries e WHERE e.client = a.client AND at < ? ORDER BY at LIMIT 1) \
                 FROM {p}accounts a WHERE client > ? ORDER BY client LIMIT ?",
            ),
            forgettable: sql("SELECT client, (SELECT quarter FROM {p}quarters q \
                 WHERE q.client = a.client AND quarter < ? ORDER BY quarter LIMIT 1) \
                 FROM {p}accounts a WHERE client > ? ORDER BY client LIMIT ?"),
            unfinished: sql("SELECT client, CASE WHEN deleted_to > deleted_from AND deleted_from < ? \
                 THEN deleted_from END FROM {p}accounts WHERE client > ? ORDER BY client LIMIT ?"),
            nth_of: sql(
                "SELECT at FROM {p}entries WHERE client = ? AND at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?",
            ),
            nth_last_of: sql(
                "SELECT at FROM {p}entries WHERE client = ? AND at >= ? AND at < ? ORDER BY at DESC LIMIT 1 OFFSET ?",
            ),
            nth_id: sql("SELECT id FROM {p}entries WHERE client = ? AND at = ? ORDER BY id LIMIT 1 OFFSET ?"),
            remove_below: sql("DELETE FROM {p}entries WHERE client = ? AND at = ? AND id < ?"),
            leave: sql("UPDATE {p}accounts SET deleted_from = ?, deleted_to = ?, deleted_sums = ? WHERE client = ?"),
            nth_entry: sql("SELECT at FROM {p}entries WHERE client = ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?"),
            nth_quarter: sql("SELECT quarter FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 ORDER BY quarter LIMIT 1 OFFSET ?"),
            nth_last_quarter: sql("SELECT quarter FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 ORDER BY quarter DESC LIMIT 1 OFFSET ?"),
            fold_size: sql("SELECT MAX(at), COUNT(*), COALESCE(SUM(id >= ' '), 0) FROM {p}entries \
                 WHERE client = ? AND at < ?"),
            fold: sql("UPDATE {p}accounts SET folded_until = ? WHERE client = ? AND folded_until < ?"),
            data_version: sql("PRAGMA data_version"),
            schema_version: sql("SELECT MAX(version) FROM {p}schema"),
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::sql_types::Text;
    use diesel::sqlite::SqliteConnection;
    use diesel::{Connection, QueryableByName, RunQueryDsl};

    use super::*;
    use crate::migrations::SQLITE;

    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }

    #[test]
    fn every_statement_finds_its_rows_by_index() {
        let prefix = TablePrefix::default();
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        for statement in SQLITE.iter().flat_map(|migration| migration.statements) {
            connection.batch_execute(&prefix.fill(statement)).unwrap();
        }
        let t = Texts::new(&prefix);
        let all = [
            (&t.account, "client=?"),
            (&t.entry, "id=? AND client=?"),
            (&t.remove_entry, "id=? AND client=?"),
            (&t.remove_entries, "client=? AND at>? AND at<?"),
            (&t.take_from_quarter, "client=? AND quarter=? AND label=?"),
            (&t.drop_empty_quarter, "client=? AND quarter=? AND label=?"),
            (&t.remove_quarters, "client=? AND quarter>? AND quarter<?"),
            (&t.sum, "client=? AND quarter>? AND quarter<?"),
            (&t.sum_by_label, "client=? AND at>? AND at<?"),
            (&t.quarters, "client=? AND quarter>? AND quarter<?"),
            (&t.entries_in, "client=? AND at>? AND at<?"),
            (&t.page, "client=? AND (at,id)>(?,?) AND at<?"),
            (&t.clients, "client>? AND client<?"),
            (&t.clients_to_the_end, "client>?"),
            (&t.plan, "client=?"),
            (&t.remove_plan, "client=?"),
            (&t.foldable, "client=? AND at<?"),
            (&t.forgettable, "client=? AND quarter<?"),
            (&t.unfinished, "client>?"),
            (&t.nth_of, "client=? AND at>? AND at<?"),
            (&t.nth_last_of, "client=? AND at>? AND at<?"),
            (&t.nth_id, "client=? AND at=?"),
            (&t.remove_below, "client=? AND at=? AND id<?"),
            (&t.leave, "client=?"),
            (&t.nth_entry, "client=? AND at<?"),
            (&t.nth_quarter, "client=? AND quarter>? AND quarter<?"),
            (&t.nth_last_quarter, "client=? AND quarter>? AND quarter<?"),
            (&t.fold_size, "client=? AND at<?"),
            (&t.fold, "client=?"),
        ];
        for (sql, key) in all {
            let text = format!("EXPLAIN QUERY PLAN {}", sql.text());
            let steps: Vec<Step> = diesel::sql_query(&text).load(&mut connection).unwrap();
            let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
            assert!(steps.iter().any(|step| step.contains(key)), "{text}: {steps:?} lacks {key}");
            assert!(!steps.iter().any(|step| step.contains("SCAN quota_")), "{text}: {steps:?}");
        }
    }
}
