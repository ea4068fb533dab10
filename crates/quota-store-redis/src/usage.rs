//! Usage and entries, read back.

use quota_core::{
    ClientId, Credits, Cut, DayUsage, Detail, Entry, Instant, QUARTER_MILLIS, QuarterSum, Span, Terms, Window,
};
use quota_service::{DailyQuery, DaysReading, EntriesCursor, EntriesPage, EntriesQuery, StoreError};
use redis::{Cmd, Value};

use crate::account_list::{AccountList, list_command};
use crate::call_error::CallError;
use crate::entry_text::{bound, bound_after, corrupt, member, read_label, read_member};
use crate::facts::{count, credits};
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::open_entries::OpenEntries;
use crate::reading::{Read, Reading};
use crate::store::RedisStore;
use crate::stored::Memory;
use crate::values::{array, texts};

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
        // Quarters inside which the zone changed its clocks, long past: the sums tell which there are.
        let mut inner: Vec<Span> = Vec::new();
        for _ in 0..TRIES {
            let edges = |memory: &Memory| match detail {
                Detail::Entries => [edges_of(query.range, memory.folded_until), inner.clone()].concat(),
                Detail::Quarters => Vec::new(),
            };
            let reading = |memory: &Memory| Reading::new(DaysReading::quarters(query.range), edges(memory), memory);
            let (memory, read) = self.snapshot(&keys, query.range, reading).await?;
            let mut days = self.days_read(query, &memory, &read)?;
            let (edges, cuts) = (edges(&memory), days.cuts().to_vec());
            let is_read = |cut: &Span| edges.iter().any(|edge| edge.0 <= cut.0 && cut.1 <= edge.1);
            if cuts.iter().all(is_read) {
                let counts = |millis: i64| cuts.iter().any(|(from, to)| (*from..*to).contains(&millis));
                for entry in read.entries.iter().filter(|entry| counts(entry.at.millis())) {
                    days.add_entry(entry.at, entry.credits, entry.label.as_ref());
                }
                return Ok(days.finish());
            }
            // Once more, for all of one moment.
            let unread: Vec<Span> = cuts.into_iter().filter(|cut| !is_read(cut)).collect();
            inner.extend(unread);
        }
        Err(keeps_changing())
    }

    /// The sums that were read, sorted into days.
    fn days_read(&self, query: &DailyQuery, memory: &Memory, read: &Read) -> Result<DaysReading, StoreError> {
        let folded_until = match self.settings.detail {
            Detail::Quarters => Instant::MAX,
            Detail::Entries => memory.folded_until,
        };
        let mut days = DaysReading::new(query, folded_until, memory.labels.clone());
        for ((start, label), sum) in &read.sums {
            days.add_quarter(QuarterSum {
                start: Instant::from_millis(*start).map_err(|_| corrupt("a quarter", &start.to_string()))?,
                label: read_label(label).ok_or_else(|| corrupt("a label", label))?,
                credits: credits(sum.micros)?,
                entries: count(sum.entries)?,
            });
        }
        Ok(days)
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
        let mut memory = self.memory_of(wire.call(&list_command(keys)).await.map_err(CallError::of_read)?)?;
        for _ in 0..TRIES {
            let folded_until = memory.folded_until;
            let (detail, retention) = (self.settings.detail, self.settings.retention);
            Terms { detail, folded_until, room_for_ids: 0, retention }.check_range(range)?;
            let asked = reading(&memory);
            let mut commands = vec![list_command(keys)];
            commands.extend(asked.commands(keys));
            let answers = wire.read_at_once(&commands, &keys.name(Key::Account)).await;
            let mut answers = answers.map_err(CallError::of_read)?.into_iter();
            let now = self.memory_of(answers.next().unwrap_or_default())?;
            if (&now.days, now.folded_until) == (&memory.days, memory.folded_until) {
                let read = asked.read(answers, &now)?;
                return Ok((now, read));
            }
            memory = now;
        }
        Err(keeps_changing())
    }

    /// The account itself is not read: usage can be read back where it is damaged.
    fn memory_of(&self, list: Value) -> Result<Memory, StoreError> {
        AccountList::read(&texts(list)?)?.memory(&self.settings)
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
        let mut memory = self.memory_of(read(&list_command(keys)).await?)?;
        let mut at_once = DAYS_AT_ONCE;
        for _ in 0..TRIES {
            let (first, last) = (day_of(page.after.at), day_of(page.range.end().millis()));
            let days: Vec<i64> = memory.entries.between(first, last).collect();
            let some = days.get(..at_once).unwrap_or(&days);
            let parts: Vec<Part> = some.iter().flat_map(|day| page.parts(*day, memory.dead)).collect();
            let mut answers = array(read(&page.command(keys, &parts)).await?)?.into_iter();
            let before = std::mem::replace(&mut memory, self.memory_of(answers.next().unwrap_or_default())?);
            if (&memory.entries, memory.dead) != (&before.entries, before.dead) {
                continue;
            }
            let mut members: Vec<(i64, String)> = Vec::new();
            for (part, answer) in parts.iter().zip(answers) {
                members.extend(texts(answer)?.into_iter().map(|member| (part.day, member)));
            }
            let mut beside: Vec<(i64, String)> = parts.iter().flat_map(|part| part.of(&memory.open_entries)).collect();
            if !beside.is_empty() {
                members.append(&mut beside);
                members.sort_unstable();
            }
            let found: Vec<_> =
                members.iter().map(|(day, member)| read_member(*day, member)).collect::<Result<_, _>>()?;
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

impl Part {
    /// Members of it that stand in no key yet.
    fn of<'a>(&'a self, open: &'a OpenEntries) -> impl Iterator<Item = (i64, String)> + 'a {
        let start = self.day.saturating_mul(DAY_MILLIS);
        let members = open.within((start, start.saturating_add(DAY_MILLIS))).map(|entry| member(&entry));
        members.filter(|member| (&self.from..&self.to).contains(&member)).map(|member| (self.day, member))
    }
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

    fn command(&self, keys: &ClientKeys, parts: &[Part]) -> Cmd {
        let mut page = redis::cmd("EVAL");
        page.arg(include_str!("page.lua")).arg(parts.len().saturating_add(1)).arg(keys.name(Key::Account));
        for part in parts {
            page.arg(keys.name(Key::Entries(part.day)));
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
