//! What an import did.

use std::collections::BTreeMap;

use crate::import::row::Skip;
use crate::shown;

/// How many rows of each kind are shown.
const SHOWN: usize = 20;

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
    /// Rows whose id stands for something else.
    conflicts: Named,
    skipped: BTreeMap<Skip, Named>,
    /// So many of each kind are kept by name: there may be as many as rows.
    named: usize,
}

/// What was counted, and the names of the first.
#[derive(Debug, Default)]
struct Named {
    count: usize,
    names: Vec<String>,
}

impl Named {
    fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, name: &str, most: usize) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < most {
            self.names.push(name.to_owned());
        }
    }

    /// The first of them; how to see all, where there are more.
    fn list(&self) -> String {
        let first: Vec<_> = self.names.iter().take(SHOWN).map(|name| shown::escape(name)).collect();
        let more = if self.count() > SHOWN { ", … (all of them with --json)" } else { "" };
        format!("{}{more}", first.join(", "))
    }
}

impl Summary {
    pub(super) fn new(is_unlooked: bool) -> Self {
        Self { is_unlooked, named: SHOWN, ..Self::default() }
    }

    /// Keeps the names of all from now on.
    pub(super) fn name_all(&mut self) {
        self.named = usize::MAX;
    }

    pub(super) fn skip(&mut self, key: &str, skip: Skip) {
        self.skipped.entry(skip).or_default().add(key, self.named);
    }

    pub(super) fn conflict(&mut self, id: &str) {
        self.conflicts.add(id, self.named);
    }

    fn skipped(&self) -> usize {
        self.skipped.values().map(Named::count).sum()
    }

    /// What it comes to, in lines.
    pub(super) fn lines(&self, dry_run: bool) -> Vec<String> {
        let mut lines = vec![format!("{} rows read", self.read)];
        if self.is_unlooked {
            let why = "this store keeps no entries, so it was not looked which of them are there already";
            lines.push(format!("{} could be imported; nothing was written; {why}", self.added));
        } else if dry_run {
            let there = format!("{} are there already", self.there);
            lines.push(format!("{} could be imported, {there}; nothing was written", self.added));
        } else {
            lines.push(format!("{} entries added, {} were there already", self.added, self.there));
        }
        if self.conflicts.count() > 0 {
            let (count, list) = (self.conflicts.count(), self.conflicts.list());
            let why = "since their id stands for another entry or their time was folded into sums";
            lines.push(format!("{count} left alone, {why}: {list}"));
        }
        for (skip, named) in &self.skipped {
            let why = skip.to_string();
            lines.push(format!("{} skipped, since {}: {}", named.count(), shown::escape(&why), named.list()));
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
                serde_json::json!({ "reason": skip.to_string(), "count": named.count(), "rows": named.names })
            })
            .collect();
        serde_json::json!({
            "dry_run": dry_run,
            "read": self.read,
            "added": self.added,
            "already_there": there,
            "conflicts": { "count": self.conflicts.count(), "ids": self.conflicts.names },
            "skipped": { "count": self.skipped(), "reasons": skipped },
        })
    }
}
