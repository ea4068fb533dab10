//! What an import did.

use std::collections::BTreeMap;

use crate::import::row::Skip;
use crate::shown;

/// How many rows of each kind are named.
const NAMED: usize = 20;

/// What an import did, or would do.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Rows that were read.
    pub(super) read: u64,
    /// Entries that were added.
    pub(super) added: u64,
    /// Rows whose entry was there already.
    pub(super) there: u64,
    /// Rows whose id stands for something else.
    conflicts: Named,
    skipped: BTreeMap<Skip, Named>,
}

/// A count, and the first of what was counted.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: Vec<String>,
}

impl Named {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name.to_owned());
        }
    }

    fn list(&self) -> String {
        let more = if self.count > self.first.len().try_into().unwrap_or(u64::MAX) { ", …" } else { "" };
        let first: Vec<_> = self.first.iter().map(|name| shown::escape(name)).collect();
        format!("{}{more}", first.join(", "))
    }
}

impl Summary {
    pub(super) fn skip(&mut self, key: &str, skip: Skip) {
        self.skipped.entry(skip).or_default().add(key);
    }

    pub(super) fn conflict(&mut self, id: &str) {
        self.conflicts.add(id);
    }

    fn skipped(&self) -> u64 {
        self.skipped.values().map(|named| named.count).sum()
    }

    /// What it comes to, in lines.
    pub(super) fn lines(&self, dry_run: bool) -> Vec<String> {
        let mut lines = vec![format!("{} rows read", self.read)];
        if dry_run {
            lines.push(format!("{} could be imported; nothing was written", self.added));
        } else {
            lines.push(format!("{} entries added, {} were there already", self.added, self.there));
        }
        if self.conflicts.count > 0 {
            let (count, list) = (self.conflicts.count, self.conflicts.list());
            lines.push(format!("{count} left alone, since their id stands for another entry: {list}"));
        }
        for (skip, named) in &self.skipped {
            lines.push(format!("{} skipped, since {skip}: {}", named.count, named.list()));
        }
        lines
    }

    pub(super) fn json(&self, dry_run: bool) -> serde_json::Value {
        let skipped: Vec<_> = self
            .skipped
            .iter()
            .map(|(skip, named)| {
                serde_json::json!({ "reason": skip.to_string(), "count": named.count, "rows": named.first })
            })
            .collect();
        serde_json::json!({
            "dry_run": dry_run,
            "read": self.read,
            "added": self.added,
            "already_there": self.there,
            "conflicts": { "count": self.conflicts.count, "ids": self.conflicts.first },
            "skipped": { "count": self.skipped(), "reasons": skipped },
        })
    }
}
