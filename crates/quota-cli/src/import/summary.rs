//! What an import did.

use std::collections::BTreeMap;

use crate::import::row::Skip;
use crate::shown;

/// How many rows of each kind are shown, and how many kinds: each client that cannot be read is one.
const SHOWN: usize = 20;
const KINDS: usize = 100;

/// How many are told by name where all are asked for: they are kept in memory until the end.
const NAMED: usize = 100_000;

/// No more of a name is shown.
const LONGEST: usize = 300;

/// What an import did, or would do.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Rows that were read.
    pub(super) read: u64,
    /// Entries that were added.
    pub(super) added: u64,
    /// Rows whose entry was there already.
    pub(super) there: u64,
    /// Whether nobody looked which of them are there: the store keeps no entries that could be found by their ids.
    pub(super) is_unlooked: bool,
    /// Whether there is no store yet.
    pub(super) is_absent: bool,
    /// Rows whose id stands for something else.
    conflicts: Named,
    /// Rows of a time that was folded into sums.
    folded: Named,
    skipped: BTreeMap<Skip, Named>,
    /// So many of each kind are kept by name: there may be as many as rows.
    named: usize,
}

/// Rows that were counted, and the names of the first.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    names: Vec<String>,
    /// Whether there are names that were not kept.
    has_more: bool,
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

impl Named {
    /// Adds so many rows of one name.
    fn add(&mut self, name: &str, count: u64, most: usize) {
        self.count = self.count.saturating_add(count);
        if self.names.len() < most {
            self.names.push(shortened(name));
        } else {
            self.has_more = true;
        }
    }

    fn json(&self) -> serde_json::Value {
        self.truncated(serde_json::json!({ "count": self.count, "ids": self.names }))
    }

    /// What is said of them, with a word more where not all names are in it.
    fn truncated(&self, mut said: serde_json::Value) -> serde_json::Value {
        if let (true, Some(said)) = (self.has_more, said.as_object_mut()) {
            said.insert("truncated".to_owned(), true.into());
        }
        said
    }

    /// The first of them; how to see all, where there are more.
    fn list(&self) -> String {
        let first: Vec<_> = self.names.iter().take(SHOWN).map(|name| shown::escape(name)).collect();
        let more = if self.has_more || self.names.len() > SHOWN { ", … (all of them with --json)" } else { "" };
        format!("{}{more}", first.join(", "))
    }
}

impl Summary {
    pub(super) fn new() -> Self {
        Self { named: SHOWN, ..Self::default() }
    }

    /// Keeps names from now on, as many as may be.
    pub(super) const fn name_all(&mut self) {
        self.named = NAMED;
    }

    /// Skips so many rows that have one key.
    pub(super) fn skip(&mut self, key: &str, count: u64, skip: Skip) {
        let has_no_id = skip == Skip::NoId;
        let named = self.skipped.entry(skip).or_default();
        if has_no_id && named.names.last().is_some_and(|last| last == key) {
            // Nothing tells them apart.
            named.count = named.count.saturating_add(count);
        } else {
            named.add(key, count, self.named);
        }
    }

    pub(super) fn conflict(&mut self, id: &str) {
        self.conflicts.add(id, 1, self.named);
    }

    pub(super) fn fold(&mut self, id: &str) {
        self.folded.add(id, 1, self.named);
    }

    /// How many rows are of a time that was folded.
    pub(super) const fn folded(&self) -> u64 {
        self.folded.count
    }

    fn skipped(&self) -> u64 {
        self.skipped.values().fold(0, |sum, named| sum.saturating_add(named.count))
    }

    /// What it comes to, in lines.
    pub(super) fn lines(&self, dry_run: bool) -> Vec<String> {
        let mut lines = vec![format!("{} rows read", self.read)];
        if self.is_unlooked {
            let why = "this store keeps no entries, so it was not looked which of them are there already";
            lines.push(format!("{} could be imported; nothing was imported; {why}", self.added));
        } else if self.is_absent {
            let why = "the store is not there yet, and whether it can be made was not tried";
            lines.push(format!("{} could be imported; nothing was written; {why}", self.added));
        } else if dry_run {
            let there = format!("{} are there already", self.there);
            lines.push(format!("{} could be imported, {there}; nothing was imported", self.added));
        } else {
            lines.push(format!("{} entries added, {} were there already", self.added, self.there));
        }
        for (named, why) in [
            (&self.conflicts, "their id stands for another entry"),
            (&self.folded, "their time was folded into sums, which do not tell whether they are in them"),
        ] {
            if named.count > 0 {
                lines.push(format!("{} left alone, since {why}: {}", named.count, named.list()));
            }
        }
        for (skip, named) in self.skipped.iter().take(KINDS) {
            let why = skip.to_string();
            lines.push(format!("{} skipped, since {}: {}", named.count, shown::escape(&why), named.list()));
        }
        if self.skipped.len() > KINDS {
            lines.push(format!("… and {} other reasons (with --json)", self.skipped.len() - KINDS));
        }
        lines
    }

    pub(super) fn json(&self, dry_run: bool) -> serde_json::Value {
        // Not 0, which would be an answer.
        let there = (!self.is_unlooked).then_some(self.there);
        let skipped: Vec<_> = self
            .skipped
            .iter()
            .map(|(skip, named)| {
                let said = serde_json::json!({ "reason": skip.to_string(), "count": named.count, "rows": named.names });
                named.truncated(said)
            })
            .collect();
        serde_json::json!({
            "dry_run": dry_run,
            "store_is_there": !self.is_absent,
            "read": self.read,
            "added": self.added,
            "already_there": there,
            "conflicts": self.conflicts.json(),
            "folded": self.folded.json(),
            "skipped": { "count": self.skipped(), "reasons": skipped },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_name_are_counted_and_named_once() {
        let mut summary = Summary::new();
        summary.skip("NULL", 9_999_999, Skip::NoId);
        summary.skip("NULL", 1, Skip::NoId);
        summary.skip("x", 1, Skip::NoId);
        let lines = summary.lines(false);
        assert!(
            lines.iter().any(|line| line.starts_with("10000001 skipped") && line.ends_with(": NULL, x")),
            "{lines:?}"
        );
        for row in 0..SHOWN {
            summary.skip(&row.to_string(), 1, Skip::NoId);
        }
        let lines = summary.lines(false);
        assert!(lines.iter().any(|line| line.ends_with("16, 17, … (all of them with --json)")), "{lines:?}");
        assert_eq!(summary.json(false)["skipped"]["reasons"][0]["truncated"], true);
    }
}
