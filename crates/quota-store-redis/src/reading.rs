//! What of a client's ledger is read for a range.

use std::collections::BTreeMap;

use quota_core::{Cut, Detail, Entry, Instant, Span, Window};
use quota_service::StoreError;
use redis::{Cmd, Value};

use crate::at_version::AtVersion;
use crate::entry_text::{bound, read_member};
use crate::keys::{ClientKeys, Key, day_of};
use crate::stored::Memory;
use crate::sum_text::{QuarterKey, Sum, read_day, rounded};
use crate::values::{fields, texts};

/// What of a client's ledger is read for a range: the sums of whole quarters, and entries.
#[derive(Debug)]
pub(crate) struct Reading {
    quarters: Span,
    days: Vec<i64>,
    /// Each within one day.
    edges: Vec<Span>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) sums: BTreeMap<QuarterKey, Sum>,
    pub(crate) entries: Vec<Entry>,
}

/// So many members are read in one step: the server does nothing else meanwhile.
const MEMBERS_AT_ONCE: usize = 10_000;

/// The entries of a span within one day, read in pages.
pub(crate) struct Pages<'a> {
    at: &'a AtVersion<'a>,
    span: Span,
    /// Where the next page begins; none after the last.
    from: Option<String>,
}

/// The whole quarters of a range, and what is left at its ends; with quarters nothing is left.
pub(crate) fn cut(range: Window, detail: Detail, folded_until: Instant) -> (Span, Vec<Span>) {
    match detail {
        // Ranges end at the last instant, which begins no quarter: nothing is after it.
        Detail::Quarters if range.start() == Instant::MAX => ((0, 0), Vec::new()),
        Detail::Quarters => (rounded((range.start().millis(), range.end().millis())), Vec::new()),
        Detail::Entries => {
            let Cut { quarters, edges } = Cut::new(range, folded_until);
            (quarters, edges.into_iter().filter(|(from, to)| from < to).collect())
        }
    }
}

impl Reading {
    /// What is summed for a range.
    pub(crate) fn of(range: Window, detail: Detail, memory: &Memory) -> Self {
        let (quarters, edges) = cut(range, detail, memory.folded_until);
        Self::new(quarters, edges, memory)
    }

    pub(crate) fn new(quarters: Span, edges: Vec<Span>, memory: &Memory) -> Self {
        let days = if quarters.0 < quarters.1 {
            memory.days.between(day_of(quarters.0), day_of(quarters.1.saturating_sub(1))).collect()
        } else {
            Vec::new()
        };
        Self { quarters, days, edges }
    }

    pub(crate) fn commands(&self, keys: &ClientKeys) -> Vec<Cmd> {
        let edges = self.edges.iter().map(|span| members_in(keys, *span));
        self.commands_of_days(keys).chain(edges).collect()
    }

    fn commands_of_days(&self, keys: &ClientKeys) -> impl Iterator<Item = Cmd> {
        self.days.iter().map(|day| command("HGETALL", keys, Key::Sums(*day)))
    }

    /// Sums up what is read for a commit: entries in pages.
    pub(crate) async fn sum(mut self, at: &AtVersion<'_>, memory: &Memory) -> Result<Sum, StoreError> {
        let edges = std::mem::take(&mut self.edges);
        let commands: Vec<Cmd> = self.commands_of_days(at.keys).collect();
        let mut sum = self.read(at.read_all(&commands).await?, memory)?.sum();
        for span in edges {
            let mut pages = Pages::new(at, span);
            memory.open_entries.within(span).for_each(|entry| sum.add(Sum::of(&entry)));
            while let Some(entries) = pages.next().await? {
                let alive = entries.iter().filter(|entry| !memory.is_dead(entry.at.millis()));
                alive.for_each(|entry| sum.add(Sum::of(entry)));
            }
        }
        Ok(sum)
    }

    /// Takes the answers to the commands, and what is known at the version that they are of.
    pub(crate) fn read(&self, values: impl IntoIterator<Item = Value>, memory: &Memory) -> Result<Read, StoreError> {
        let mut values = values.into_iter();
        let mut read = Read::default();
        for day in &self.days {
            read.sums.extend(read_day(*day, fields(values.next().unwrap_or_default())?, self.quarters)?);
        }
        for (key, sum) in memory.open_sums.within(self.quarters) {
            read.sums.entry(key).or_default().add(sum);
        }
        // Those whose entries were all taken out.
        read.sums.retain(|_, sum| sum.entries != 0);
        for edge in &self.edges {
            for member in texts(values.next().unwrap_or_default())? {
                read.entries.push(read_member(day_of(edge.0), &member)?.1);
            }
            read.entries.retain(|entry| !memory.is_dead(entry.at.millis()));
            read.entries.extend(memory.open_entries.within(*edge));
        }
        Ok(read)
    }
}

impl Read {
    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.sums.values().for_each(|quarter| sum.add(*quarter));
        self.entries.iter().for_each(|entry| sum.add(Sum::of(entry)));
        sum
    }
}

impl<'a> Pages<'a> {
    pub(crate) fn new(at: &'a AtVersion<'a>, span: Span) -> Self {
        Self { at, span, from: Some(format!("[{}", bound(day_of(span.0), span.0))) }
    }

    /// The next page; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        let Some(from) = self.from.take() else { return Ok(None) };
        let day = day_of(self.span.0);
        let members = texts(self.at.read_long(self.command(day, &from)).await?)?;
        let last = members.last().filter(|_| members.len() >= MEMBERS_AT_ONCE);
        self.from = last.map(|last| format!("({last}"));
        members.iter().map(|member| Ok(read_member(day, member)?.1)).collect::<Result<_, _>>().map(Some)
    }

    fn command(&self, day: i64, from: &str) -> Cmd {
        let mut page = command("ZRANGEBYLEX", self.at.keys, Key::Entries(day));
        page.arg(from).arg(format!("({}", bound(day, self.span.1))).arg("LIMIT").arg(0).arg(MEMBERS_AT_ONCE);
        page
    }
}

/// A command on one of a client's keys.
pub(crate) fn command(name: &str, keys: &ClientKeys, key: Key) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(keys.name(key));
    command
}

/// The members of a span within one day.
pub(crate) fn members_in(keys: &ClientKeys, span: Span) -> Cmd {
    on_members("ZRANGEBYLEX", keys, span)
}

/// How many members a span within one day has.
pub(crate) fn count_in(keys: &ClientKeys, span: Span) -> Cmd {
    on_members("ZLEXCOUNT", keys, span)
}

fn on_members(name: &str, keys: &ClientKeys, (from, to): Span) -> Cmd {
    let day = day_of(from);
    let mut members = command(name, keys, Key::Entries(day));
    members.arg(format!("[{}", bound(day, from))).arg(format!("({}", bound(day, to)));
    members
}

/// The newest member of a span within one day.
pub(crate) fn newest_in(keys: &ClientKeys, (from, to): Span) -> Cmd {
    let day = day_of(from);
    let mut newest = command("ZREVRANGEBYLEX", keys, Key::Entries(day));
    newest.arg(format!("({}", bound(day, to))).arg(format!("[{}", bound(day, from))).arg("LIMIT").arg(0).arg(1);
    newest
}
