//! All the ids that a client has used.

use std::time::Duration;

use futures_util::future::try_join_all;
use quota_core::{Detail, Entry, Instant};
use quota_service::{RoomForIds, StoreError, UsedIds};

use crate::additions::key_of_given;
use crate::at_version::AtVersion;
use crate::keys::Key;
use crate::reading::command;
use crate::stored::Memory;
use crate::values::{count, texts};

/// So long is waited for them.
const SOON: Duration = Duration::from_millis(250);

/// They are not learned of more keys than these.
const MOST_KEYS: usize = 512;

/// What an account tells that was just read: all, if none was used.
pub(crate) fn told_by(memory: &Memory, room: &RoomForIds) -> UsedIds {
    let has_used = !memory.open_entries.is_empty() || keys_of_used(memory).next().is_some();
    if has_used { UsedIds::default() } else { UsedIds::none(room) }
}

/// Adds those that a commit is to write.
pub(crate) fn add(used: &mut UsedIds, entries: &[Entry], written: Instant, detail: Detail) {
    for (entry, id) in entries.iter().filter_map(|entry| Some((entry, entry.id.as_ref()?))) {
        if let Key::Ids(day) = key_of_given(entry.at.millis(), written, detail) {
            used.add(day, id);
        }
    }
}

/// Forgets those that nobody looks for any more, after a commit.
pub(crate) fn keep(used: &mut UsedIds, memory: &Memory) {
    used.keep(|day| memory.entries.contains(day) || memory.ids.holds(day));
}

/// Learns all of them, if they are no more than `most` and soon told: who waits for it can do without.
pub(crate) async fn learn(used: &mut UsedIds, at: &AtVersion<'_>, memory: &Memory, room: &RoomForIds, most: usize) {
    if let Ok(Ok(Some(ids))) = tokio::time::timeout(SOON, read(at, memory, most)).await {
        used.learn(room, ids.iter().map(|(day, id)| (*day, id.as_str())));
    }
}

async fn read(at: &AtVersion<'_>, memory: &Memory, most: usize) -> Result<Option<Vec<(i64, String)>>, StoreError> {
    let keys: Vec<Key> = keys_of_used(memory).take(MOST_KEYS + 1).collect();
    if keys.len() > MOST_KEYS {
        return Ok(None);
    }
    let counted: Vec<_> = keys.iter().map(|key| command("HLEN", at.keys, *key)).collect();
    let all = at.read_all(&counted).await?.iter().map(count).fold(0, u64::saturating_add);
    if usize::try_from(all).map_or(true, |all| all > most) {
        return Ok(None);
    }
    let read = keys.iter().map(|key| at.read_long(command("HKEYS", at.keys, *key)));
    let mut ids = Vec::new();
    for (key, read) in keys.iter().zip(try_join_all(read).await?) {
        let day = day_of_ids(*key);
        ids.extend(texts(read)?.into_iter().filter_map(|id| Some((day?, id))));
    }
    ids.extend(memory.open_entries.ids().filter_map(|(key, id)| Some((day_of_ids(key)?, id.as_str().to_owned()))));
    Ok(Some(ids))
}

/// The keys that ids of callers are in.
fn keys_of_used(memory: &Memory) -> impl Iterator<Item = Key> + '_ {
    memory.ids.days_since(i64::MIN).chain(memory.entries.between(i64::MIN, i64::MAX)).map(Key::Ids)
}

const fn day_of_ids(key: Key) -> Option<i64> {
    match key {
        Key::Ids(day) => Some(day),
        _ => None,
    }
}
