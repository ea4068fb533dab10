//! What the runs of a batch ask of the server at the same time, asked in one command.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{join, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use mongodb::bson::{Bson, Document, doc};
use parking_lot::Mutex;
use quota_core::{ClientId, OperationId};
use quota_service::StoreError;
use tokio::sync::oneshot;

use crate::keys::id_key;
use crate::tables::{CallError, Tables, Updated};

/// Changes of accounts in one command: a server makes them one after the other.
const AT_ONCE: usize = 64;

/// And so many bytes, roughly: a command has room for 16 MB, as every document.
const BYTES_AT_ONCE: usize = 4_000_000;

/// What the runs of a batch ask of the server at the same time. Each client's run goes on by itself, but a server that is asked
/// for one change in each of many commands spends more on the commands than on the changes.
pub(crate) struct Together<'a> {
    tables: &'a Tables,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    changes: Vec<Change>,
    ids: Vec<Ids>,
}

/// A change of an account, if it is at a version.
struct Change {
    client: ClientId,
    statement: Document,
    room: Room,
    /// The version that it makes; none where it only confirms one.
    makes: Option<String>,
    /// It is the first commit on its account.
    is_first: bool,
    reply: oneshot::Sender<Outcome>,
}

/// Whether a change found or made its document; none where that is left open.
type Outcome = Result<Option<bool>, CallError>;

/// What room a change takes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// So many bytes, roughly.
    Shared { bytes: usize },
    /// All of it: a change for which other processes wait, since it ends a turn, waits for no others.
    Alone,
}

/// Entries with these ids.
struct Ids {
    client: ClientId,
    keys: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Document>, StoreError>>,
}

impl<'a> Together<'a> {
    pub(crate) fn new(tables: &'a Tables) -> Self {
        Self { tables, asked: Mutex::default() }
    }

    /// Changes a client's account to a new version. Says whether it did.
    pub(crate) async fn commit(
        &self,
        client: &ClientId,
        statement: Document,
        room: Room,
        new: &str,
    ) -> Result<bool, CallError> {
        let done = self.change(client, statement, room, Some(new.to_owned())).await?;
        done.ok_or_else(unanswered)
    }

    /// Whether a client's account is at a version, by a statement that changes nothing else; none where others were asked for that
    /// are not, since a server counts all of a command together.
    pub(crate) async fn confirm(&self, client: &ClientId, statement: Document) -> Result<Option<bool>, CallError> {
        self.change(client, statement, Room::Shared { bytes: 0 }, None).await
    }

    async fn change(
        &self,
        client: &ClientId,
        statement: Document,
        room: Room,
        makes: Option<String>,
    ) -> Result<Option<bool>, CallError> {
        let (reply, answered) = oneshot::channel();
        let is_first = statement.get_bool("upsert").unwrap_or_default();
        self.asked.lock().changes.push(Change { client: client.clone(), statement, room, makes, is_first, reply });
        answered.await.unwrap_or_else(|_| Err(unanswered()))
    }

    /// The documents of a client's entries that have these ids and are not taken out.
    pub(crate) async fn named(&self, client: &ClientId, ids: &[OperationId]) -> Result<Vec<Document>, StoreError> {
        let keys = ids.iter().map(|id| id_key(client, id)).collect();
        let (reply, answered) = oneshot::channel();
        self.asked.lock().ids.push(Ids { client: client.clone(), keys, reply });
        answered.await.unwrap_or_else(|_| Err(unanswered().of_read()))
    }

    /// Runs them, and sends what they ask: all that is asked when none can go on without an answer goes together.
    pub(crate) async fn drive<T>(&self, runs: impl Future<Output = T>) -> T {
        let mut runs = pin!(runs);
        let mut sending = FuturesUnordered::new();
        poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = runs.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let asked = std::mem::take(&mut *self.asked.lock());
                if !asked.changes.is_empty() || !asked.ids.is_empty() {
                    sending.push(self.send(asked));
                }
                match sending.poll_next_unpin(context) {
                    // Somebody was answered.
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    async fn send(&self, asked: Asked) {
        let changes = join_all(commands(asked.changes).into_iter().map(|changes| self.send_changes(changes)));
        join(changes, self.send_ids(asked.ids)).await;
    }

    async fn send_changes(&self, mut changes: Vec<Change>) {
        let updated = self.tables.update_each(&self.tables.accounts, statements(&mut changes)).await;
        let outcomes = match updated {
            Ok(updated) => self.outcomes(&changes, updated).await,
            // A server that ends a command of several may have done some.
            Err(CallError::NotDone(error)) if changes.len() > 1 => vec![Err(CallError::Lost(error)); changes.len()],
            Err(error) => vec![Err(error); changes.len()],
        };
        for (change, outcome) in changes.into_iter().zip(outcomes) {
            // Who has gone needs none.
            let _ = change.reply.send(outcome);
        }
    }

    /// What became of each change.
    async fn outcomes(&self, changes: &[Change], updated: Updated) -> Vec<Outcome> {
        if let [_] = changes {
            let outcome = updated.failed.first().map_or(Ok(()), |failed| Err(failed.error()));
            return vec![outcome.and_then(|()| updated.whole()).map(|updated| Some(updated.count > 0))];
        }
        let mut outcomes = several(changes, &updated);
        for (place, (change, outcome)) in changes.iter().zip(&mut outcomes).enumerate() {
            if let (Some(version), false, true) = (&change.makes, change.is_first, is_in(&updated.made, place)) {
                *outcome = self.unmake(&change.client, version).await;
            }
        }
        outcomes
    }

    /// Takes an account out that a commit on an earlier version has made: it was there when that was read, and somebody has
    /// taken it out by hand, with whatever else.
    async fn unmake(&self, client: &ClientId, version: &str) -> Outcome {
        let made = doc! { "_id": client.as_str(), "v": version };
        match self.tables.timely(self.tables.accounts.delete_one(made)).await {
            Ok(deleted) if deleted.deleted_count > 0 => Ok(Some(false)),
            // It is there, or was, and others may have gone on from it.
            Ok(_) => Err(CallError::Open("an account that was made anew has changed".to_owned())),
            Err(CallError::NotDone(error)) => Err(CallError::Lost(error)),
            Err(error) => Err(error),
        }
    }

    async fn send_ids(&self, asked: Vec<Ids>) {
        if asked.is_empty() {
            return;
        }
        let clients: Vec<&str> = asked.iter().map(|ids| ids.client.as_str()).collect();
        let keys: Vec<&str> = asked.iter().flat_map(|ids| ids.keys.iter().map(String::as_str)).collect();
        let filter = doc! { "i": { "$in": keys }, "c": { "$in": clients }, "gone": { "$exists": false } };
        let found = self.tables.find(&self.tables.entries, filter, None).await;
        for Ids { client, reply, .. } in asked {
            let of_client = |entry: &&Document| entry.get("c").and_then(Bson::as_str) == Some(client.as_str());
            let answer = match &found {
                Ok(found) => Ok(found.iter().filter(of_client).cloned().collect()),
                Err(error) => Err(error.again()),
            };
            let _ = reply.send(answer);
        }
    }
}

/// What became of each of several changes, but for an account that was made anew. A change is refused or fails by itself; what was
/// done is in doubt together, and confirmations are counted together.
fn several(changes: &[Change], updated: &Updated) -> Vec<Outcome> {
    let outcome = |(place, change): (usize, &Change)| {
        if is_in(&updated.refused, place) {
            return Ok(Some(false));
        }
        if let Some(failed) = updated.failed.iter().find(|failed| is_in(&[failed.place], place)) {
            return Err(failed.error());
        }
        match &updated.doubt {
            Some(error) => Err(CallError::Open(error.clone())),
            None => Ok(change.makes.as_ref().map(|_| true)),
        }
    };
    let mut outcomes: Vec<Outcome> = changes.iter().enumerate().map(outcome).collect();
    let count = |is: fn(&Outcome) -> bool, outcomes: &[Outcome]| {
        i64::try_from(outcomes.iter().filter(|outcome| is(outcome)).count()).unwrap_or(i64::MAX)
    };
    let confirms = count(|outcome| matches!(outcome, Ok(None)), &outcomes);
    let stand = updated.count.saturating_sub(count(|outcome| matches!(outcome, Ok(Some(true))), &outcomes));
    let all = [(confirms, true), (0, false)].into_iter().find(|(count, _)| stand == *count);
    for outcome in &mut outcomes {
        if let (Ok(None), Some((_, stands))) = (&outcome, all) {
            *outcome = Ok(Some(stands));
        }
    }
    outcomes
}

fn is_in(places: &[i64], place: usize) -> bool {
    i64::try_from(place).is_ok_and(|place| places.contains(&place))
}

/// The statements of a command. A server counts those that found their document all together; so that it says which did not,
/// each commit of several would make its account, which fails where there is one at another version.
fn statements(changes: &mut [Change]) -> Vec<Document> {
    let is_alone = changes.len() == 1;
    let statement = |change: &mut Change| {
        let mut statement = std::mem::take(&mut change.statement);
        if !is_alone && change.makes.is_some() {
            statement.insert("upsert", true);
        }
        statement
    };
    changes.iter_mut().map(statement).collect()
}

/// As few commands as some changes fit in.
fn commands(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let (mut commands, mut shared, mut left): (Vec<_>, Vec<Change>, _) = (Vec::new(), Vec::new(), BYTES_AT_ONCE);
    for change in changes {
        let Room::Shared { bytes } = change.room else {
            commands.push(vec![change]);
            continue;
        };
        if shared.len() >= AT_ONCE || bytes > left {
            commands.push(std::mem::take(&mut shared));
            left = BYTES_AT_ONCE;
        }
        left = left.saturating_sub(bytes);
        shared.push(change);
    }
    commands.push(shared);
    commands.retain(|changes| !changes.is_empty());
    commands
}

/// It is not known what became of it.
fn unanswered() -> CallError {
    CallError::Open("the answer was not waited for".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Failed;

    fn change(name: &str, room: Room, makes: Option<&str>) -> Change {
        let statement = doc! { "q": { "_id": name }, "u": {}, "upsert": false };
        let makes = makes.map(str::to_owned);
        let client = ClientId::new(name).unwrap();
        Change { client, statement, room, makes, is_first: false, reply: oneshot::channel().0 }
    }

    fn names(commands: &[Vec<Change>]) -> Vec<Vec<&str>> {
        commands.iter().map(|changes| changes.iter().map(|change| change.client.as_str()).collect()).collect()
    }

    #[test]
    fn a_command_has_room_for_so_many_changes_and_bytes() {
        let shared = |bytes| Room::Shared { bytes };
        let few = ["a", "b", "c"].map(|name| change(name, shared(10), None));
        assert_eq!(names(&commands(few.into())), [["a", "b", "c"]]);
        let large = [("a", 10), ("b", BYTES_AT_ONCE), ("c", BYTES_AT_ONCE - 5), ("d", 5), ("e", 2 * BYTES_AT_ONCE)];
        let large = large.map(|(name, bytes)| change(name, shared(bytes), None));
        assert_eq!(names(&commands(large.into())), [vec!["a"], vec!["b"], vec!["c", "d"], vec!["e"]]);
        let alone = [("a", shared(1)), ("b", Room::Alone), ("c", shared(1))];
        let alone = alone.map(|(name, room)| change(name, room, None));
        assert_eq!(names(&commands(alone.into())), [vec!["b"], vec!["a", "c"]]);
        let many = (0..=AT_ONCE).map(|number| change(&number.to_string(), shared(1), None)).collect();
        assert_eq!(commands(many).iter().map(Vec::len).collect::<Vec<_>>(), [AT_ONCE, 1]);
        assert!(commands(Vec::new()).is_empty());
    }

    const SHARED: Room = Room::Shared { bytes: 1 };

    #[test]
    fn commits_of_several_say_which_of_them_found_no_account_at_their_version() {
        let is_made = |changes: &mut [Change]| -> Vec<bool> {
            statements(changes).iter().map(|statement| statement.get_bool("upsert").unwrap()).collect()
        };
        assert_eq!(is_made(&mut [change("a", SHARED, Some("v")), change("b", SHARED, None)]), [true, false]);
        assert_eq!(is_made(&mut [change("a", SHARED, Some("v"))]), [false]);
    }

    #[test]
    fn each_of_several_changes_is_told_what_became_of_it() {
        let changes = [
            change("a", SHARED, Some("v")),
            change("b", SHARED, Some("w")),
            change("c", SHARED, None),
            change("d", SHARED, None),
        ];
        let told = |updated: &Updated| -> Vec<Option<Option<bool>>> {
            several(&changes, updated).into_iter().map(Result::ok).collect()
        };
        let (yes, no, open) = (Some(Some(true)), Some(Some(false)), Some(None));
        let all = || Updated { count: 4, ..Updated::default() };
        assert_eq!(told(&all()), [yes; 4]);
        assert_eq!(told(&Updated { count: 3, refused: vec![1], ..all() }), [yes, no, yes, yes]);
        assert_eq!(told(&Updated { count: 2, ..all() }), [yes, yes, no, no]);
        assert_eq!(told(&Updated { count: 3, ..all() }), [yes, yes, open, open]);
        let failed = vec![Failed { place: 0, message: "why".to_owned(), is_certain: true }];
        assert_eq!(told(&Updated { count: 2, refused: vec![1], failed, ..all() }), [None, no, yes, yes]);
        let doubt = Some("why".to_owned());
        assert_eq!(told(&Updated { count: 3, refused: vec![1], doubt, ..all() }), [None, no, None, None]);
    }
}
