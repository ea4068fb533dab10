//! The statements that engines on servers word alike.

use crate::prefix::TablePrefix;
use crate::statement::Sql;

/// Where engines differ within these statements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What a sum is cast to: sums of 64-bit numbers are decimals.
    pub(crate) integer: &'static str,
}

/// The statements that engines on servers word alike: few, fixed for a connection, prepared once each.
#[derive(Debug)]
pub(crate) struct Texts {
    /// client -> document, folded until, labels, deleted from, deleted to, deleted sums
    pub(crate) account: Sql,
    /// client, at, id
    pub(crate) remove_entry: Sql,
    /// client, from, to
    pub(crate) remove_entries: Sql,
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
    /// client, at, to, id, limit; client, after, to, limit; limit -> at, id, credits, label
    pub(crate) page: Sql,
    /// after, from, before, limit -> client
    pub(crate) clients: Sql,
    /// after, from, limit -> client
    pub(crate) clients_to_the_end: Sql,
    /// client -> version, quotas
    pub(crate) plan: Sql,
    /// before, after, limit -> client, the instant of its first entry before `before`
    pub(crate) foldable: Sql,
    /// before, after, limit -> client, its first quarter before `before`
    pub(crate) forgettable: Sql,
    /// client -> document, folded until, labels, deleted from, deleted to, deleted sums; locks the account
    pub(crate) lock_one: Sql,
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
    /// client, from, to, offset -> quarter
    pub(crate) nth_quarter: Sql,
    /// client, from, to, offset -> quarter
    pub(crate) nth_last_quarter: Sql,
    /// client, from, to -> at of the last entry, entries, those with a caller's or made id
    pub(crate) fold_size: Sql,
    /// folded until, client, folded until
    pub(crate) fold: Sql,
}

impl Texts {
    pub(crate) fn new(prefix: &TablePrefix, dialect: Dialect) -> Self {
        let sql = |template: &str| Sql::new(&prefix.fill(template).replace("{int}", dialect.integer));
        Self {
            account: sql(
                "SELECT document, folded_until, labels, deleted_from, deleted_to, deleted_sums FROM {p}accounts WHERE client = ?",
            ),
            remove_entry: sql("DELETE FROM {p}entries WHERE client = ? AND at = ? AND id = ?"),
            remove_entries: sql("DELETE FROM {p}entries WHERE client = ? AND at >= ? AND at < ?"),
            take_from_quarter: sql("UPDATE {p}quarters SET credits = credits - ?, entries = entries - ? \
                 WHERE client = ? AND quarter = ? AND label = ?"),
            drop_empty_quarter: sql("DELETE FROM {p}quarters \
                 WHERE client = ? AND quarter = ? AND label = ? AND entries <= 0"),
            remove_quarters: sql("DELETE FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ?"),
            sum: sql(
                "SELECT CAST(COALESCE(SUM(credits), 0) AS {int}), CAST(COALESCE(SUM(entries), 0) AS {int}) FROM (\
                 SELECT credits, entries FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 UNION ALL SELECT credits, 1 AS entries FROM {p}entries WHERE client = ? AND at >= ? AND at < ? \
                 UNION ALL SELECT credits, 1 AS entries FROM {p}entries WHERE client = ? AND at >= ? AND at < ?) parts",
            ),
            sum_by_label: sql("SELECT label, CAST(SUM(credits) AS {int}), COUNT(*) FROM {p}entries \
                 WHERE client = ? AND at >= ? AND at < ? GROUP BY label"),
            quarters: sql("SELECT quarter, label, credits, entries FROM {p}quarters \
                 WHERE client = ? AND quarter >= ? AND quarter < ? ORDER BY quarter, label"),
            entries_in: sql("SELECT at, credits, label FROM {p}entries WHERE client = ? AND at >= ? AND at < ?"),
            // Not (at, id) > (?, ?), for which MySQL does not use its index; not `at > ? OR id > ?`, which bounds nothing within an instant.
            page: sql("(SELECT at, id, credits, label FROM {p}entries \
                 WHERE client = ? AND at = ? AND at < ? AND id > ? ORDER BY id LIMIT ?) \
                 UNION ALL (SELECT at, id, credits, label FROM {p}entries \
                 WHERE client = ? AND at > ? AND at < ? ORDER BY at, id LIMIT ?) ORDER BY at, id LIMIT ?"),
            clients: sql("SELECT client FROM {p}accounts \
                 WHERE client > ? AND client >= ? AND client < ? ORDER BY client LIMIT ?"),
            clients_to_the_end: sql("SELECT client FROM {p}accounts \
                 WHERE client > ? AND client >= ? ORDER BY client LIMIT ?"),
            plan: sql("SELECT version, quotas FROM {p}plans WHERE client = ?"),
            foldable: sql(
                "SELECT client, (SELECT at FROM {p}entries e WHERE e.client = a.client AND at < ? ORDER BY at LIMIT 1) \
                 FROM {p}accounts a WHERE client > ? ORDER BY client LIMIT ?",
            ),
            forgettable: sql("SELECT client, (SELECT quarter FROM {p}quarters q \
                 WHERE q.client = a.client AND quarter < ? ORDER BY quarter LIMIT 1) \
                 FROM {p}accounts a WHERE client > ? ORDER BY client LIMIT ?"),
            lock_one: sql("SELECT document, folded_until, labels, deleted_from, deleted_to, deleted_sums \
                 FROM {p}accounts WHERE client = ? FOR UPDATE"),
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
            nth_quarter: sql("SELECT quarter FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 ORDER BY quarter LIMIT 1 OFFSET ?"),
            nth_last_quarter: sql("SELECT quarter FROM {p}quarters WHERE client = ? AND quarter >= ? AND quarter < ? \
                 ORDER BY quarter DESC LIMIT 1 OFFSET ?"),
            fold_size: sql("SELECT MAX(at), COUNT(*), CAST(COALESCE(SUM(CASE WHEN id >= ' ' THEN 1 ELSE 0 END), 0) \
                 AS {int}) FROM {p}entries WHERE client = ? AND at >= ? AND at < ?"),
            fold: sql("UPDATE {p}accounts SET folded_until = ? WHERE client = ? AND folded_until < ?"),
        }
    }

    /// Every statement, and which columns it is to find its rows by.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<&Sql> {
        vec![
            &self.account,
            &self.remove_entry,
            &self.remove_entries,
            &self.take_from_quarter,
            &self.drop_empty_quarter,
            &self.remove_quarters,
            &self.sum,
            &self.sum_by_label,
            &self.quarters,
            &self.entries_in,
            &self.page,
            &self.clients,
            &self.clients_to_the_end,
            &self.plan,
            &self.foldable,
            &self.forgettable,
            &self.lock_one,
            &self.unfinished,
            &self.nth_of,
            &self.nth_last_of,
            &self.nth_id,
            &self.remove_below,
            &self.leave,
            &self.nth_quarter,
            &self.nth_last_quarter,
            &self.fold_size,
            &self.fold,
        ]
    }
}
