//! Usage and entries, read back.

use quota_core::{
    ClientId, Credits, Cut, DayUsage, Detail, Entry, Instant, QUARTER_MILLIS, QuarterSum, Span, Terms, Window,
};
use quota_service::{DailyQuery, DaysReading, EntriesCursor, EntriesPage, EntriesQuery, StoreError};
use redis::{Cmd, Value};

use crate::call_error::CallError;
use crate::day_set::DaySet;
use crate::entry_text::{bound, bound_after, corrupt, read_label, read_member};
use crate::facts::{count, credits};
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::reading::{Read, Reading, command, members_in};
use crate::store::RedisStore;
use crate::stored::{Memory, read_dead};
use crate::values::{array, text, texts};

/// The list of a client's days changes once a day, or with each commit of an import: more than this is a fault.
const TRIES: usize = 64;

/// So many days are looked through at first for a page of entries.
const DAYS_AT_ONCE: usize = 8;

impl RedisStore {
    pub(crate) async fn sum_of(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        let detail = self.settings.detail;
        let reading = |memory: &Memory| Reading::of(range, detail, memory);
        let (_, read) = self.snapshot(&self.settings.prefix.client(client), range, reading).await?;
        credits(read.sum().micros)
    }

    pub(crate) async fn days_of(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let (keys, detail) = (self.settings.prefix.client(client), self.settings.detail);
        let edges = |memory: &Memory| match detail {
            Detail::Entries => edges_of(query.range, memory.folded_until),
            Detail::Quarters => Vec::new(),
        };
        let reading = |memory: &Memory| Reading::new(DaysReading::quarters(query.range), edges(memory), memory);
        let (memory, read) = self.snapshot(&keys, query.range, reading).await?;
        let folded_until = if detail == Detail::Quarters { Instant::MAX } else { memory.folded_until };
        let read_edges = edges(&memory);
        let mut days = DaysReading::new(query, folded_until, memory.labels.clone());
        for ((start, label), sum) in &read.sums {
            days.add_quarter(QuarterSum {
                start: Instant::from_millis(*start).map_err(|_| corrupt("a quarter", &start.to_string()))?,
                label: read_label(label).ok_or_else(|| corrupt("a label", label))?,
                credits: credits(sum.micros)?,
                entries: count(sum.entries)?,
            });
        }
        for (from, to) in days.cuts().to_vec() {
            let is_read = read_edges.iter().any(|edge| edge.0 <= from && to <= edge.1);
            // A zone that changed its clocks inside a quarter: long past.
            let own = if is_read { Vec::new() } else { self.entries_in(&keys, (from, to)).await? };
            let entries = if is_read { &read.entries } else { &own };
            let counts = |millis: i64| (from..to).contains(&millis) && !memory.is_dead(millis);
            for entry in entries.iter().filter(|entry| counts(entry.at.millis())) {
                days.add_entry(entry.at, entry.credits, entry.label.as_ref());
            }
        }
        Ok(days.finish())
    }

    async fn entries_in(&self, keys: &ClientKeys, span: Span) -> Result<Vec<Entry>, StoreError> {
        let answer = self.link.for_reading().call(&members_in(keys, span)).await.map_err(CallError::of_read)?;
        texts(answer)?.iter().map(|member| Ok(read_member(day_of(span.0), member)?.1)).collect()
    }

    /// Reads in one step, so that a deletion is seen whole or not at all. What is to be read is told by the list of the
    /// client's days, which is read before and with it.
    async fn snapshot(
        &self,
        keys: &ClientKeys,
        range: Window,
        reading: impl Fn(&Memory) -> Reading,
    ) -> Result<(Memory, Read), StoreError> {
        let wire = self.link.for_reading();
        let mut memory = read_memory(wire.call(&memory_command(keys)).await.map_err(CallError::of_read)?)?;
        for _ in 0..TRIES {
            let folded_until = memory.folded_until;
            let (detail, retention) = (self.settings.detail, self.settings.retention);
            Terms { detail, folded_until, room_for_ids: 0, retention }.check_range(range)?;
            let asked = reading(&memory);
            let mut commands = vec![memory_command(keys)];
            commands.extend(asked.commands(keys));
            let answers = wire.read_at_once(&commands, &keys.name(Key::Account)).await;
            let mut answers = answers.map_err(CallError::of_read)?.into_iter();
            let now = read_memory(answers.next().unwrap_or_default())?;
            if (&now.days, now.folded_until) == (&memory.days, memory.folded_until) {
                let read = asked.read(answers, &now)?;
                return Ok((now, read));
            }
            memory = now;
        }
        Err(keeps_changing())
    }

    pub(crate) async fn page_of(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let (range, limit) = (query.range, query.limit.max(1));
        let after = match &query.after {
            Some(cursor) => EntriesCursor::read(cursor, range)?,
            None => EntriesCursor::before(range),
        };
        // One more tells whether there is another page.
        let page = Page { after, range, wanted: limit.saturating_add(1) };
        let mut found = self.first_entries(&self.settings.prefix.client(client), &page).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let end = found.last().filter(|_| more);
        let next = end.map(|(id, entry)| EntriesCursor { at: entry.at.millis(), id: id.clone() }.write());
        Ok(EntriesPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
    }

    /// Reads in one step, as [`RedisStore::snapshot`]. Most days have many entries; the more of them have few, the more are
    /// looked through at once, from the first on.
    async fn first_entries(&self, keys: &ClientKeys, page: &Page) -> Result<Vec<(String, Entry)>, StoreError> {
        let read = async |command: &Cmd| self.link.for_reading().call(command).await.map_err(CallError::of_read);
        let listed = |value: Value| array(value)?.into_iter().map(text).collect::<Result<Vec<_>, StoreError>>();
        let mut listed_is = listed(read(command("HMGET", keys, Key::Account).arg(&["e", "x"])).await?)?;
        let mut at_once = DAYS_AT_ONCE;
        for _ in 0..TRIES {
            let mut words = listed_is.iter().map(|word| word.as_deref().unwrap_or_default());
            let (all, dead) =
                (DaySet::read(words.next().unwrap_or_default())?, read_dead(words.next().unwrap_or_default())?);
            let days: Vec<i64> = all.between(day_of(page.after.at), day_of(page.range.end().millis())).collect();
            let some = days.get(..at_once).unwrap_or(&days);
            let parts: Vec<Part> = some.iter().flat_map(|day| page.parts(*day, dead)).collect();
            let mut answers = array(read(&page.command(keys, &listed_is, &parts)).await?)?.into_iter();
            let listed_was = std::mem::replace(&mut listed_is, listed(answers.next().unwrap_or_default())?);
            if listed_is != listed_was {
                continue;
            }
            let mut found = Vec::new();
            for (part, members) in parts.iter().zip(answers) {
                for member in texts(members)? {
                    found.push(read_member(part.day, &member)?);
                }
            }
            if found.len() >= page.wanted || some.len() == days.len() {
                return Ok(found);
            }
            at_once = at_once.saturating_mul(8);
        }
        Err(keeps_changing())
    }
}

/// The entries that a page is made of.
struct Page {
    after: EntriesCursor,
    range: Window,
    wanted: usize,
}

/// Some of a day's members, by their bounds.
struct Part {
    day: i64,
    from: String,
    to: String,
}

impl Page {
    /// A day's members: those before the ones that are gone, and those after them.
    fn parts(&self, day: i64, dead: Option<Span>) -> Vec<Part> {
        let is_first = day_of(self.after.at) == day;
        let from = if is_first { bound_after(self.after.at, &self.after.id) } else { bound(day, i64::MIN) };
        let to = bound(day, self.range.end().millis());
        let Some(dead) = dead else { return vec![Part { day, from, to }] };
        let (begin, end) = (bound(day, dead.0), bound(day, dead.1));
        let before = Part { day, from: from.clone(), to: to.clone().min(begin) };
        [before, Part { day, from: from.max(end), to }].into_iter().filter(|part| part.from < part.to).collect()
    }

    /// `listed`: the client's days with entries, and where they are gone, as they are stored.
    fn command(&self, keys: &ClientKeys, listed: &[Option<String>], parts: &[Part]) -> Cmd {
        let mut page = redis::cmd("EVAL");
        page.arg(include_str!("page.lua")).arg(parts.len().saturating_add(1)).arg(keys.name(Key::Account));
        for part in parts {
            page.arg(keys.name(Key::Entries(part.day)));
        }
        for word in listed {
            page.arg(word.as_deref().unwrap_or_default());
        }
        page.arg(self.wanted);
        for Part { from, to, .. } in parts {
            page.arg(format!("[{from}")).arg(format!("({to}"));
        }
        page
    }
}

fn keeps_changing() -> StoreError {
    StoreError::NotDone { message: "the client's days keep changing".to_owned(), source: None }
}

/// The quarters that the range begins and ends in, where it cuts them and their entries are kept.
fn edges_of(range: Window, folded_until: Instant) -> Vec<Span> {
    let (from, to) = (range.start().millis(), range.end().millis());
    let is_cut = |millis: i64| millis != Cut::floor(millis) && millis >= folded_until.millis();
    let quarter = |millis: i64| (Cut::floor(millis), Cut::floor(millis).saturating_add(QUARTER_MILLIS));
    let mut edges: Vec<Span> = [from, to].into_iter().filter(|millis| is_cut(*millis)).map(quarter).collect();
    edges.dedup();
    // No quarter crosses midnight in UTC.
    debug_assert!(edges.iter().all(|edge| edge.0 / DAY_MILLIS == (edge.1 - 1) / DAY_MILLIS));
    edges
}

fn memory_command(keys: &ClientKeys) -> Cmd {
    let mut command = command("HMGET", keys, Key::Account);
    command.arg(&["l", "d", "f", "i", "e", "o", "x"]);
    command
}

/// The account itself is not read: usage can be read back where it is damaged.
pub(crate) fn read_memory(answer: Value) -> Result<Memory, StoreError> {
    let mut values = array(answer)?.into_iter();
    let mut fields: [Option<String>; 7] = std::array::from_fn(|_| None);
    for field in &mut fields {
        *field = text(values.next().unwrap_or_default())?;
    }
    Memory::read(fields)
}
