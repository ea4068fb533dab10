//! What brings entries into the ledger behind the answers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quota_core::ClientId;
use tokio::sync::Notify;

use crate::part::Part;
use crate::tables::Tables;

/// Brings what commits left into the ledger behind their answers: one round at a time, and what is left meanwhile goes in the
/// next one. It has no promise to keep: what it has not written stands in the account, and whoever reads the ledger writes it first.
pub(crate) struct Drainer {
    tables: Tables,
    due: Mutex<Due>,
    /// A round has ended.
    ended: Notify,
}

#[derive(Default)]
struct Due {
    parts: HashMap<ClientId, Vec<Arc<Part>>>,
    is_running: bool,
    /// What others may write meanwhile.
    later: HashMap<ClientId, Vec<Arc<Part>>>,
    is_waiting: bool,
}

/// A round is not waited for longer.
const LONG: Duration = Duration::from_secs(1);

/// What others may write is left to them for so long at least.
const LATER: Duration = Duration::from_millis(500);

/// Clients that wait for a round at most, before batches wait for it.
const MANY: usize = 4_096;

impl Drainer {
    pub(crate) fn new(tables: Tables) -> Self {
        Self { tables, due: Mutex::default(), ended: Notify::new() }
    }

    /// Takes over what is due of a client; it is committed, and a majority has it.
    pub(crate) fn hand_over(self: &Arc<Self>, client: &ClientId, parts: Vec<Arc<Part>>) {
        if parts.is_empty() {
            return;
        }
        let mut due = self.due.lock();
        let of_client = due.parts.entry(client.clone()).or_default();
        of_client.retain(|before| !before.stands() && parts.iter().all(|part| part.seq != before.seq));
        of_client.extend(parts);
        let is_running = std::mem::replace(&mut due.is_running, true);
        drop(due);
        if !is_running {
            // Not while it is locked: a runtime that is ending drops it at once.
            tokio::spawn(Running { drainer: Arc::clone(self), is_over: false }.go());
        }
    }

    /// Takes over what others are to write, and writes it where they do not. It is committed, and a majority has it.
    pub(crate) fn hand_over_later(self: &Arc<Self>, client: &ClientId, parts: impl Iterator<Item = Arc<Part>>) {
        let mut due = self.due.lock();
        let of_client = due.later.entry(client.clone()).or_default();
        of_client.retain(|before| !before.stands());
        of_client.extend(parts);
        let is_waiting = std::mem::replace(&mut due.is_waiting, true);
        drop(due);
        if !is_waiting {
            tokio::spawn(Waiting { drainer: Arc::clone(self), is_over: false }.go());
        }
    }

    /// Waits while too much is left, but not for ever.
    pub(crate) async fn room(&self) {
        while self.due.lock().parts.len() >= MANY && self.round().await {}
    }

    /// Waits for the end of a round. Says whether there was one: not where none is running, nor where it takes long. Its runtime may
    /// be another one that nobody drives.
    pub(crate) async fn round(&self) -> bool {
        let ended = self.ended.notified();
        let is_running = self.due.lock().is_running;
        is_running && tokio::time::timeout(LONG, ended).await.is_ok()
    }

    /// What was left to others; nothing ends the waiting, in the same step.
    fn take_later(&self) -> HashMap<ClientId, Vec<Arc<Part>>> {
        let mut due = self.due.lock();
        due.is_waiting = !due.later.is_empty();
        std::mem::take(&mut due.later)
    }

    /// What is due; none ends the run, in the same step.
    fn take(&self) -> Option<HashMap<ClientId, Vec<Arc<Part>>>> {
        let mut due = self.due.lock();
        due.is_running = !due.parts.is_empty();
        due.is_running.then(|| std::mem::take(&mut due.parts))
    }
}

/// A run, until it ends: its runtime may end it anywhere, also before it begins, and another one goes on then.
struct Running {
    drainer: Arc<Drainer>,
    is_over: bool,
}

impl Running {
    async fn go(mut self) {
        while let Some(due) = self.drainer.take() {
            let of_client = |(client, parts)| std::iter::repeat(client).zip(parts);
            let waiting = |(_, part): &(&ClientId, &Arc<Part>)| !part.stands();
            let parts: Vec<_> = due.iter().flat_map(of_client).filter(waiting).collect();
            // They are committed whatever becomes of this: where it fails, whoever comes next does it.
            if let Err(error) = self.drainer.tables.write_parts(&parts).await {
                tracing::debug!(?error, "what was committed does not stand in the ledger yet");
            }
            self.drainer.ended.notify_waiters();
        }
        self.is_over = true;
    }
}

/// Waits for others to write what this process may leave to them, until there is nothing: its runtime may end it as it may a run.
struct Waiting {
    drainer: Arc<Drainer>,
    is_over: bool,
}

impl Waiting {
    async fn go(mut self) {
        loop {
            tokio::time::sleep(LATER).await;
            let later = self.drainer.take_later();
            if later.is_empty() {
                break;
            }
            for (client, parts) in later {
                let waiting = parts.into_iter().filter(|part| !part.stands()).collect();
                self.drainer.hand_over(&client, waiting);
            }
        }
        self.is_over = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.drainer.due.lock().is_waiting = false;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.drainer.due.lock().is_running = false;
            self.drainer.ended.notify_waiters();
        }
    }
}

impl fmt::Debug for Drainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drainer").field("clients", &self.due.lock().parts.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mongodb::Client;
    use mongodb::options::ClientOptions;
    use quota_core::{Credits, Entry, Instant};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::settings::Settings;

    /// Where no server listens.
    fn drainer(runtime: &Runtime) -> Arc<Drainer> {
        runtime.block_on(async {
            let options = ClientOptions::parse("mongodb://127.0.0.1:1/quota").await.unwrap();
            let (timeout, patience) = (Duration::from_millis(50), Duration::from_secs(1));
            let settings = Settings { prefix: "quota_".to_owned(), retention: None, timeout, patience };
            let database = Client::with_options(options).unwrap().database("quota");
            Arc::new(Drainer::new(Tables::new(database, &settings)))
        })
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn client(number: usize) -> ClientId {
        ClientId::new(format!("c{number}")).unwrap()
    }

    fn part(seq: i64) -> Arc<Part> {
        let entry = Entry { id: None, at: Instant::MIN, credits: Credits::ONE, label: None };
        let mut part = Part::new(seq);
        part.entries.push(entry);
        Arc::new(part)
    }

    fn due(drainer: &Drainer, number: usize) -> Vec<i64> {
        drainer
            .due
            .lock()
            .parts
            .get(&client(number))
            .map_or(Vec::new(), |due| due.iter().map(|part| part.seq).collect())
    }

    #[test]
    fn what_is_left_is_due_once_until_it_stands() {
        let (driven, idle) = (runtime(), runtime());
        let drainer = drainer(&driven);
        let _nobody_drives = idle.enter();
        let first = part(1);
        drainer.hand_over(&client(0), vec![Arc::clone(&first)]);
        drainer.hand_over(&client(0), vec![part(2)]);
        drainer.hand_over(&client(0), vec![part(2)]);
        drainer.hand_over(&client(0), Vec::new());
        assert_eq!((due(&drainer, 0), due(&drainer, 1)), (vec![1, 2], vec![]));
        first.set_standing();
        drainer.hand_over(&client(0), vec![part(3)]);
        assert_eq!(due(&drainer, 0), [2, 3]);
    }

    #[test]
    fn a_runtime_that_has_ended_drops_what_it_is_given_and_keeps_nobody_waiting() {
        let driven = runtime();
        let drainer = drainer(&driven);
        let ended = runtime().handle().clone();
        let (over, told) = std::sync::mpsc::channel();
        let handed = Arc::clone(&drainer);
        std::thread::spawn(move || {
            let _ended = ended.enter();
            handed.hand_over(&client(0), vec![part(1)]);
            handed.hand_over_later(&client(0), std::iter::once(part(2)));
            over.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        let left = drainer.due.lock();
        assert!(!left.is_running && !left.is_waiting, "the next commit begins anew");
        assert_eq!((left.parts.len(), left.later.len()), (1, 1));
    }

    #[test]
    fn batches_wait_for_room_but_not_for_a_round_that_nobody_drives() {
        let (driven, idle) = (runtime(), runtime());
        let drainer = drainer(&driven);
        let entered = idle.enter();
        (0..MANY).for_each(|number| drainer.hand_over(&client(number), vec![part(1)]));
        drop(entered);
        driven.block_on(async {
            assert!(!drainer.round().await);
            drainer.room().await;
        });
        assert_eq!(due(&drainer, 0), [1], "nobody has begun the round");
        // Its runtime ends: the next commit begins another round.
        drop(idle);
        driven.block_on(async {
            assert!(!drainer.round().await, "none is running");
            let again = part(2);
            drainer.hand_over(&client(0), vec![Arc::clone(&again)]);
            drainer.room().await;
            assert!(drainer.due.lock().parts.is_empty(), "there was no room before the round");
            assert!(!again.stands(), "there is no server");
            // A round that fails ends, and so does the run.
            while drainer.due.lock().is_running {
                drainer.round().await;
            }
        });
    }
}
