//! Usage and entries, read back.

use quota_core::{
    ClientId, Credits, Cut, DayUsage, Detail, Entry, Instant, QUARTER_MILLIS, QuarterSum, Span, Terms, Window,
};
use quota_service::{DailyQuery, DaysReading, EntriesCursor, EntriesPage, EntriesQuery, StoreError};
use redis::Cmd;

use crate::call_error::CallError;
use crate::entry_text::{bound, bound_after, corrupt, read_label, read_member};
use crate::facts::{count, credits};
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::reading::{Read, Reading, command, members_in};
use crate::store::RedisStore;
use crate::stored::Memory;
use crate::values::{array, text, texts};

/// The list of a client's days changes once a day: more than this is a fault.
const TRIES: usize = 16;

/// So many days are looked through at once for a page of entries, at most.
const DAYS_AT_ONCE: usize = 64;

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
        let mut days = DaysReading::new(query, folded_until, memory.labels);
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
            for entry in entries.iter().filter(|entry| (from..to).contains(&entry.at.millis())) {
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
            let mut answers = wire.transaction(&commands).await.map_err(CallError::of_read)?.into_iter();
            let now = read_memory(answers.next().unwrap_or_default())?;
            if (&now.days, now.folded_until) == (&memory.days, memory.folded_until) {
                return Ok((now, asked.read(answers)?));
            }
            memory = now;
        }
        let message = "the client's days keep changing".to_owned();
        Err(StoreError::NotDone { message, source: None })
    }

    pub(crate) async fn page_of(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let range = query.range;
        let after = match &query.after {
            Some(cursor) => EntriesCursor::read(cursor, range)?,
            None => EntriesCursor::before(range),
        };
        let (keys, limit) = (self.settings.prefix.client(client), query.limit.max(1));
        let wire = self.link.for_reading();
        let memory = read_memory(wire.call(&memory_command(&keys)).await.map_err(CallError::of_read)?)?;
        let last = day_of(range.end().millis());
        let mut days = memory.entries.between(day_of(after.at), last);
        let mut found: Vec<(String, Entry)> = Vec::new();
        // One more tells whether there is another page. The more days are empty, the more are looked through at once.
        let mut at_once = 1;
        while found.len() <= limit {
            let some: Vec<i64> = days.by_ref().take(at_once).collect();
            if some.is_empty() {
                break;
            }
            let wanted = limit.saturating_add(1).saturating_sub(found.len());
            let commands: Vec<Cmd> = some.iter().map(|day| page_command(&keys, *day, &after, range, wanted)).collect();
            let answers = wire.call_all(&commands).await.map_err(CallError::of_read)?;
            for (day, answer) in some.iter().zip(answers) {
                for member in texts(answer)? {
                    found.push(read_member(*day, &member)?);
                }
            }
            at_once = at_once.saturating_mul(2).min(DAYS_AT_ONCE);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let end = found.last().filter(|_| more);
        let next = end.map(|(id, entry)| EntriesCursor { at: entry.at.millis(), id: id.clone() }.write());
        Ok(EntriesPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
    }
}

fn page_command(keys: &ClientKeys, day: i64, after: &EntriesCursor, range: Window, limit: usize) -> Cmd {
    let mut page = command("ZRANGEBYLEX", keys, Key::Entries(day));
    let from = if day_of(after.at) == day { bound_after(after.at, &after.id) } else { bound(day, i64::MIN) };
    let to = bound(day, range.end().millis());
    page.arg(format!("[{from}")).arg(format!("({to}")).arg("LIMIT").arg(0).arg(limit);
    page
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
    command.arg(&["l", "d", "f", "i", "e"]);
    command
}

/// The account itself is not read: usage can be read back where it is damaged.
pub(crate) fn read_memory(answer: redis::Value) -> Result<Memory, StoreError> {
    let mut values = array(answer)?.into_iter();
    let mut fields: [Option<String>; 5] = std::array::from_fn(|_| None);
    for field in &mut fields {
        *field = text(values.next().unwrap_or_default())?;
    }
    Memory::read(fields)
}
