//! All the ids that a client has used.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ReadConcern;
use parking_lot::Mutex;
use quota_core::{ClientId, Fact, Need, OperationId};
use quota_service::{ClientTurn, RoomForIds, UsedIds};

use crate::keys::{id_keys_of, id_of};
use crate::part::Part;
use crate::stored::Stored;
use crate::tables::Tables;

/// What is known of the ids that a client has used, at the version of the account that it stands beside. Clones are of one and the same: a
/// commit adds its own before it is sent, and should it not be done, they are looked for in vain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<Mutex<UsedIds>>);

/// How a server that stands by itself refuses what only a replica set can answer.
const NOT_A_REPLICA_SET: i32 = 123;

/// So long is waited for them.
const SOON: Duration = Duration::from_millis(250);

/// Ids are not remembered by day.
const DAY: i64 = 0;

impl Used {
    /// Tells the turn of ids that were never used; gives what is to be looked for.
    pub(crate) fn tell(&self, turn: &mut ClientTurn<'_>, needs: Vec<Need>) -> Vec<Need> {
        let mut used = self.0.lock();
        let (sought, unused): (Vec<_>, Vec<_>) = needs.into_iter().partition(|need| match need {
            Need::Entry(id) => used.may_hold(id),
            Need::Sum { .. } | Need::Count(_) => true,
        });
        drop(used);
        unused.into_iter().for_each(|need| turn.learn(need, Fact::Entry(None)));
        sought
    }

    /// Adds those of a commit.
    pub(crate) fn add(&self, part: &Part) {
        let mut used = self.0.lock();
        part.entries.iter().filter_map(|entry| entry.id.as_ref()).for_each(|id| used.add(DAY, id));
    }

    /// How many are to be learned at most, if now is the time for it.
    pub(crate) fn to_be_learned(&self, room: &RoomForIds) -> Option<usize> {
        self.0.lock().to_be_learned(room)
    }
}

/// Learns all of them, if they are no more than `most`: those in the ledger, and those that wait for it beside the account.
///
/// What is read here is relied on for as long as the account is this process's own. So it is read of a primary that a majority
/// takes for it. Who waits for it can do without: where it is not answered soon, none is learned.
pub(crate) async fn learn(stored: &Stored, tables: &Tables, client: &ClientId, room: &RoomForIds, most: usize) {
    let finding = async {
        match find(tables, client, most, ReadConcern::linearizable()).await {
            // A server by itself never loses its place.
            Err(error) if is_single(&error) => find(tables, client, most, ReadConcern::local()).await,
            found => found,
        }
    };
    let Ok(Ok(found)) = tokio::time::timeout(SOON, finding).await else { return };
    if found.len() > most {
        return;
    }
    let waiting = stored.outbox.parts().flat_map(|part| &part.entries).filter_map(|entry| entry.id.as_ref());
    let standing = found.iter().filter_map(|entry| id_of(entry.get_str("i").ok()?));
    let ids = standing.chain(waiting.map(OperationId::as_str));
    stored.used.0.lock().learn(room, ids.map(|id| (DAY, id)));
}

/// The entries with ids, but no more than one above `most`; all of them in one answer, since what a server confirms is that alone.
async fn find(tables: &Tables, client: &ClientId, most: usize, concern: ReadConcern) -> Result<Vec<Document>, Error> {
    let count = u32::try_from(most).unwrap_or(u32::MAX).saturating_add(1);
    // With the client by itself, which may be what shards are told by.
    let find = tables.entries.find(doc! { "i": id_keys_of(client), "c": client.as_str() });
    let find = find.projection(doc! { "_id": 0, "i": 1 }).limit(i64::from(count)).batch_size(count);
    find.read_concern(concern).max_time(SOON).await?.try_collect().await
}

fn is_single(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(refused) if refused.code == NOT_A_REPLICA_SET)
}
