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
}

/// A round is not waited for longer.
const LONG: Duration = Duration::from_secs(1);

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
        if !std::mem::replace(&mut due.is_running, true) {
            let running = Running { drainer: Arc::clone(self), is_over: false };
            tokio::spawn(running.go());
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
