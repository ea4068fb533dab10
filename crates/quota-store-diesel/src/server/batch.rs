//! A batch: on its accounts as they were kept, or in transactions that lock them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::result::Error;
use futures_util::future::{join, join_all};
use quota_core::{Answer, Need, Terms};
use quota_service::{Answers, Batch, ClientRequests, HeldClients, KeptAccounts, Request, StoreError};

use crate::failure::{Failure, Undone};
use crate::rows::{AccountRow, Stored};
use crate::server::engine::{Engine, Fault, Link, Wait};
use crate::server::kept::{Care, Kept};
use crate::server::pool::{Connections, Purpose};
use crate::server::repeats::{Ids, Repeats, has_absent, is_repeated};
use crate::server::rounds::{self, Client, Course, Named};

/// How often a transaction is tried that another was in the way of, and how often one that failed otherwise: not
/// every server says a deadlock so that it can be told.
const TRIES: u32 = 8;
const OTHER_TRIES: u32 = 3;

/// A lock that takes so long is held by who is not charging: processes that share a client wait for each other's commits, which
/// are quicker.
const LONG: Duration = Duration::from_millis(500);

/// What batches run on.
#[derive(Debug)]
pub(crate) struct Applying<E: Engine> {
    pub(crate) connections: Connections<E>,
    pub(crate) held: HeldClients,
    /// Accounts as their rows were read or written last.
    pub(crate) kept: KeptAccounts<Kept>,
    pub(crate) repeats: Repeats,
    pub(crate) terms: Terms,
    /// After this long nothing is tried again.
    pub(crate) patience: Duration,
}

pub(super) type Given = Vec<(usize, Result<Answer, StoreError>)>;

impl<E: Engine> Applying<E> {
    /// Runs a batch. Clients whose accounts others hold run in transactions of their own beside the rest.
    pub(crate) async fn apply(&self, requests: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let batch = Batch::new(requests);
        let (held, rest): (Vec<_>, Vec<_>) = batch.clients().partition(|requests| self.held.is_held(requests.client()));
        let (held, (rest, late)) = join(self.apart(&batch, held), self.those_not_held(&batch, rest)).await;
        let mut answers = batch.answers();
        for (place, answer) in held.into_iter().chain(rest).chain(late) {
            answers.give(place, answer);
        }
        answers.finish()
    }

    /// These clients on their accounts as they were kept, if that can be; else in transactions that read them.
    async fn those_not_held<'a>(&self, batch: &'a Batch, clients: Vec<ClientRequests<'a>>) -> (Given, Given) {
        if clients.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut answers = batch.answers();
        let is_done = match self.on_kept(&clients, &mut answers).await {
            Ok(is_done) => is_done,
            Err(undone) => {
                fail(&clients, &undone, &mut answers);
                true
            }
        };
        if is_done {
            (given(&clients, answers), Vec::new())
        } else if batch.clients().len() == 1 {
            (self.apart(batch, clients).await, Vec::new())
        } else {
            self.together(batch, clients).await
        }
    }

    /// These clients in one transaction; then, each in one of its own, those whose accounts others held, or all of them
    /// where the transaction failed for a reason that may be one client's own.
    async fn together<'a>(&self, batch: &'a Batch, clients: Vec<ClientRequests<'a>>) -> (Given, Given) {
        let mut answers = batch.answers();
        let skipped = match self.persist(&clients, Wait::Skip, &mut answers).await {
            Ok(skipped) => skipped,
            Err(Undone::NotDone(Failure::Unfinished | Failure::Long)) => clients.clone(),
            Err(undone) if may_be_one_clients::<E>(&undone) && clients.len() > 1 => clients.clone(),
            Err(undone) => {
                fail(&clients, &undone, &mut answers);
                Vec::new()
            }
        };
        let skipped_places = places(&skipped);
        let mut given = given(&clients, answers);
        given.retain(|(place, _)| !skipped_places.contains(place));
        (given, self.apart(batch, skipped).await)
    }

    /// Each of these clients in a transaction of its own, all at once, waiting for their locks.
    async fn apart<'a>(&self, batch: &'a Batch, clients: Vec<ClientRequests<'a>>) -> Given {
        let each = clients.into_iter().map(|client| self.alone(batch, client));
        join_all(each).await.into_iter().flatten().collect()
    }

    /// Tries a transaction until it is done, a bounded number of times, while that is safe and likely to help.
    pub(super) async fn persist<'a>(
        &self,
        clients: &[ClientRequests<'a>],
        wait: Wait,
        answers: &mut Answers,
    ) -> Result<Vec<ClientRequests<'a>>, Undone> {
        let began = Instant::now();
        let mut tries = 0;
        let may_be_absent = !E::Link::WRITES_OVER && clients.iter().any(has_absent);
        let mut ids = if may_be_absent { self.repeats.expected() } else { Ids::LookedUp };
        loop {
            let undone = match self.transact(clients, wait, ids, answers).await {
                Ok(skipped) => {
                    if may_be_absent {
                        self.repeats.not_met(ids);
                    }
                    return Ok(skipped);
                }
                Err(undone) => undone,
            };
            if let (true, Some(next)) = (is_repeated(&undone), ids.after_a_repeat()) {
                if ids == Ids::Absent {
                    self.repeats.met();
                }
                ids = next;
                continue;
            }
            tries += 1;
            let most = self.tries(&undone);
            if tries >= most || began.elapsed() >= self.patience {
                return Err(undone);
            }
            tracing::debug!(?undone, tries, "the batch is tried again");
            // Those who were in each other's way are not to meet again.
            tokio::time::sleep(Duration::from_micros(jitter() % (500 << tries))).await;
        }
    }

    /// How often a transaction that ended like this is worth trying.
    fn tries(&self, undone: &Undone) -> u32 {
        match undone {
            Undone::NotDone(Failure::Overtaken) => TRIES,
            Undone::NotDone(Failure::Late) => {
                self.connections.close_idle();
                OTHER_TRIES
            }
            Undone::NotDone(Failure::Database(error)) => match E::fault(error) {
                Fault::Conflict => TRIES,
                Fault::Other => OTHER_TRIES,
                Fault::Lost | Fault::ReadOnly => {
                    self.connections.close_idle();
                    OTHER_TRIES
                }
            },
            Undone::NotDone(Failure::Broken(_) | Failure::Unconnected(_) | Failure::Unfinished | Failure::Crowded)
            | Undone::NotDone(Failure::Repeated | Failure::Long)
            | Undone::Unknown(_) => 0,
        }
    }

    /// Only who is known to be held waits for its turn to wait: nobody else is kept from trying.
    fn purpose(&self, clients: &[ClientRequests<'_>], wait: Wait) -> Purpose {
        match (wait, clients) {
            (Wait::Wait, [client]) if self.held.is_held(client.client()) => Purpose::Lock,
            _ => Purpose::Brief,
        }
    }

    /// One transaction. Gives the clients that were left out, since others hold their accounts.
    async fn transact<'a>(
        &self,
        clients: &[ClientRequests<'a>],
        wait: Wait,
        ids: Ids,
        answers: &mut Answers,
    ) -> Result<Vec<ClientRequests<'a>>, Undone> {
        let purpose = self.purpose(clients, wait);
        let asked = Instant::now();
        let session = self.connections.session(purpose).await;
        if let (Err(Failure::Crowded), [client]) = (&session, clients) {
            self.held.note_long(client.client());
        }
        let mut session = session.map_err(Undone::NotDone)?;
        let link = session.link().map_err(not_done)?;
        let needs: Vec<(&str, Need)> = clients
            .iter()
            .flat_map(|client| ids.needs(client).into_iter().map(|need| (client.client().as_str(), need)))
            .collect();
        let sought: Vec<(&str, &str)> = needs
            .iter()
            .filter_map(|(client, need)| match need {
                Need::Entry(id) => Some((*client, id.as_str())),
                Need::Sum { .. } | Need::Count(_) => None,
            })
            .collect();
        let names: Vec<&str> = clients.iter().map(|client| client.client().as_str()).collect();
        let began = Instant::now();
        let locking = self.connections.timely(link.lock(&names, &sought, wait));
        let locked = match purpose {
            // The turn and the lock together take no longer than a lock may, which the server ends first where the turn came at once.
            Purpose::Lock => {
                let left = self.patience.saturating_sub(asked.elapsed()).saturating_add(LONG);
                tokio::time::timeout(left, locking).await.map_err(|_| Undone::NotDone(Failure::Crowded))
            }
            _ => Ok(locking.await),
        };
        if let (Wait::Wait, [client]) = (wait, clients) {
            // Others held it; a connection is waited for whoever holds what.
            if began.elapsed() >= LONG {
                self.held.note_long(client.client());
            }
        }
        let locked = locked?.and_then(|locked| locked).map_err(not_done)?;
        let mut accounts: HashMap<String, AccountRow> = locked.accounts.into_iter().collect();
        let mut skipped = HashSet::new();
        if wait == Wait::Skip && accounts.len() < names.len() {
            let missing: Vec<&str> = names.iter().copied().filter(|name| !accounts.contains_key(*name)).collect();
            let existing = self.connections.timely(link.existing(&missing)).await.and_then(|names| names);
            skipped.extend(existing.map_err(not_done)?);
        }
        let (skipped, running): (Vec<_>, Vec<_>) =
            clients.iter().copied().partition(|client| skipped.contains(client.client().as_str()));
        let named = Named::new(locked.entries);
        let mut running: Vec<Client<'a>> = running
            .into_iter()
            .filter_map(|requests| {
                let client = requests.client();
                let row = accounts.remove(client.as_str());
                let care = self.care_of(client, row.as_ref(), named.is_any_of(client));
                read_account(requests, row, care, answers)
            })
            .collect();
        let commits = AtomicBool::new(false);
        let course = Course { terms: self.terms, named: &named, ids, commits: &commits };
        match self.connections.timely(rounds::run(link, &mut running, course, answers)).await {
            Ok(Ok(())) => {}
            Ok(Err(undone)) => {
                // Nothing is wrong with the connection.
                if (is_repeated(&undone) || is_ours(&undone))
                    && self.connections.timely(link.roll_back()).await.is_ok_and(|ended| ended.is_ok())
                {
                    session.ended();
                }
                return Err(undone);
            }
            Err(late) if commits.load(Ordering::Relaxed) => return Err(Undone::Unknown(Arc::new(late))),
            Err(_) => return Err(Undone::NotDone(Failure::Late)),
        }
        session.ended();
        if E::Link::WRITES_OVER {
            running.into_iter().for_each(|client| self.keep_read(client));
        }
        for client in &skipped {
            self.held.note(client.client());
        }
        Ok(skipped)
    }
}

/// Gives these clients' requests the same error.
pub(super) fn fail(clients: &[ClientRequests<'_>], undone: &Undone, answers: &mut Answers) {
    for requests in clients {
        answers.fail(*requests, || undone.clone().into());
    }
}

/// The client with its account, unless that cannot be read.
fn read_account<'a>(
    requests: ClientRequests<'a>,
    row: Option<AccountRow>,
    care: Care,
    answers: &mut Answers,
) -> Option<Client<'a>> {
    let is_new = row.is_none();
    match Stored::read(row.as_ref()) {
        Ok(stored) => {
            let row = row.map(|(document, _, labels, ..)| (document, labels));
            Some(Client { requests, stored, is_new, row, care })
        }
        Err(broken) => {
            answers.fail(requests, || broken.clone().into());
            None
        }
    }
}

/// Whether it is no error of the server's.
const fn is_ours(undone: &Undone) -> bool {
    matches!(undone, Undone::NotDone(Failure::Unfinished | Failure::Long))
}

fn not_done(error: Error) -> Undone {
    Undone::NotDone(error.into())
}

fn may_be_one_clients<E: Engine>(undone: &Undone) -> bool {
    match undone {
        Undone::NotDone(Failure::Database(error)) => matches!(E::fault(error), Fault::Other | Fault::Conflict),
        Undone::NotDone(
            Failure::Broken(_) | Failure::Late | Failure::Overtaken | Failure::Unfinished | Failure::Long,
        ) => true,
        Undone::NotDone(Failure::Unconnected(_) | Failure::Crowded | Failure::Repeated) | Undone::Unknown(_) => false,
    }
}

fn places(clients: &[ClientRequests<'_>]) -> HashSet<usize> {
    clients.iter().flat_map(|client| client.iter().map(|(place, _)| place)).collect()
}

/// The answers to these clients' requests, with their places.
pub(super) fn given(clients: &[ClientRequests<'_>], answers: Answers) -> Given {
    let places = places(clients);
    answers.finish().into_iter().enumerate().filter(|(place, _)| places.contains(place)).collect()
}

/// Some number that another process does not have as well.
fn jitter() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
