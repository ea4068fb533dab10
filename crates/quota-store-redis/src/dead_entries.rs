//! Entries that are gone and still stand.

use quota_core::{Entry, Span};
use quota_service::StoreError;

use crate::call_error::CallError;
use crate::entry_text::read_member;
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::link::Wire;
use crate::reading::members_in;
use crate::script::Call;
use crate::stored::Memory;
use crate::values::texts;

/// So many entries are taken out in one step: the server does nothing else meanwhile.
pub(crate) const ENTRIES_AT_ONCE: usize = 2_000;

/// Takes some of the entries and ids out that stand where [`Memory::dead`] says; where none is left, the note of them. How many
/// ids go with them.
///
/// While there is a note, nothing is added where it points to: what stands there is dead, all of it.
///
/// # Errors
/// The server's, and where something is no entry.
pub(crate) async fn take_out(
    wire: &Wire,
    keys: &ClientKeys,
    call: &mut Call,
    memory: &mut Memory,
) -> Result<u64, StoreError> {
    let parts = memory.dead.map(|span| parts_of(span, memory)).unwrap_or_default();
    for part in parts {
        let day = day_of(part.0);
        let mut some = members_in(keys, part);
        some.arg("LIMIT").arg(0).arg(ENTRIES_AT_ONCE);
        let members = texts(wire.call(&some).await.map_err(CallError::of_read)?)?;
        let (Some(first), Some(last)) = (members.first(), members.last()) else { continue };
        let entries: Result<Vec<Entry>, StoreError> =
            members.iter().map(|member| Ok(read_member(day, member)?.1)).collect();
        let ids: Vec<String> =
            entries?.into_iter().filter_map(|entry| entry.id).map(|id| id.as_str().to_owned()).collect();
        let gone = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        call.command("ZREMRANGEBYLEX", Key::Entries(day), vec![format!("[{first}"), format!("[{last}")]);
        if !ids.is_empty() {
            call.command("HDEL", Key::Ids(day), ids);
        }
        return Ok(gone);
    }
    memory.dead = None;
    Ok(0)
}

/// A span day by day, where there are entries.
pub(crate) fn parts_of((from, to): Span, memory: &Memory) -> Vec<Span> {
    let part = |day: i64| {
        let start = day.saturating_mul(DAY_MILLIS);
        (from.max(start), to.min(start.saturating_add(DAY_MILLIS)))
    };
    let days = memory.entries.between(day_of(from), day_of(to));
    days.map(part).filter(|(from, to)| from < to).collect()
}
