//! A batch, in transactions that lock its accounts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::result::Error;
use futures_util::future::{join, join_all};
use quota_core::{Answer, Need, Terms};
use quota_service::{Answers, Batch, ClientRequests, Request, StoreError};

use crate::changes::ENTRIES_AT_ONCE;
use crate::failure::{Failure, Undone};
use crate::rows::{AccountRow, Stored};
use crate::server::engine::{Engine, Fault, Link, Wait};
use crate::server::hot::Hot;
use crate::server::pool::Connections;
use crate::server::rounds::{self, Client, Named};

/// How often a transaction is tried that another was in the way of, and how often one that failed otherwise: not
/// every server says a deadlock so that it can be told.
const TRIES: u32 = 8;
const OTHER_TRIES: u32 = 3;

/// What batches run on.
#[derive(Debug)]
pub(crate) struct Applying<E: Engine> {
    pub(crate) connections: Connections<E>,
    pub(crate) hot: Hot,
    pub(crate) terms: Terms,
    /// After this long nothing is tried again.
    pub(crate) patience: Duration,
}

type Given = Vec<(usize, Result<Answer, StoreError>)>;

impl<E: Engine> Applying<E> {
    /// Runs a batch. Clients whose accounts others hold run in transactions of their own beside the rest.
    pub(crate) async fn apply(&self, requests: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let batch = Batch::new(requests);
        let (hot, rest): (Vec<_>, Vec<_>) = match batch.clients().len() {
            1 => (batch.clients().collect(), Vec::new()),
            _ => batch.clients().partition(|requests| self.hot.is(requests.client())),
        };
        let (hot, (rest, late)) = join(self.apart(&batch, hot), self.together(&batch, rest)).await;
        let mut answers = batch.answers();
        for (place, answer) in hot.into_iter().chain(rest).chain(late) {
            answers.give(place, answer);
        }
        answers.finish()
    }

    /// These clients in one transaction; then, each in one of its own, those whose accounts others held, or all of them
    /// where the transaction failed for a reason that may be one client's own.
    async fn together<'a>(&self, batch: &'a Batch, clients: Vec<ClientRequests<'a>>) -> (Given, Given) {
        if clients.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut answers = batch.answers();
        let skipped = match self.persist(&clients, Wait::Skip, &mut answers).await {
            Ok(skipped) => skipped,
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
        let each = clients.into_iter().map(|client| async move {
            let mut answers = batch.answers();
            if let Err(undone) = self.persist(&[client], Wait::Wait, &mut answers).await {
                fail(&[client], &undone, &mut answers);
            }
            given(&[client], answers)
        });
        join_all(each).await.into_iter().flatten().collect()
    }

    /// Tries a transaction until it is done, a bounded number of times, while that is safe and likely to help.
    async fn persist<'a>(
        &self,
        clients: &[ClientRequests<'a>],
        wait: Wait,
        answers: &mut Answers,
    ) -> Result<Vec<ClientRequests<'a>>, Undone> {
        let began = Instant::now();
        let (mut tries, mut in_vain) = (0, 0);
        let mut at_once = ENTRIES_AT_ONCE;
        loop {
            let undone = match self.transact(clients, wait, at_once, answers).await {
                Ok(skipped) => return Ok(skipped),
                Err(undone) => undone,
            };
            if let (Undone::NotDone(Failure::Unfinished), [client]) = (&undone, clients) {
                if !self.take_out(client.client()).await? {
                    in_vain += 1;
                }
                if in_vain > 1 {
                    // Nobody else has taken it out meanwhile: the deletion that is in the way is one of these requests.
                    at_once = i64::MAX;
                }
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
            Undone::NotDone(Failure::Database(error)) => match E::fault(error) {
                Fault::Conflict => TRIES,
                Fault::Other => OTHER_TRIES,
                Fault::Lost | Fault::ReadOnly => {
                    self.connections.close_idle();
                    OTHER_TRIES
                }
            },
            Undone::NotDone(Failure::Broken(_) | Failure::Unconnected(_) | Failure::Unfinished)
            | Undone::Unknown(_) => 0,
        }
    }

    /// One transaction. Gives the clients that were left out, since others hold their accounts.
    async fn transact<'a>(
        &self,
        clients: &[ClientRequests<'a>],
        wait: Wait,
        at_once: i64,
        answers: &mut Answers,
    ) -> Result<Vec<ClientRequests<'a>>, Undone> {
        let mut session = self.connections.session().await.map_err(Undone::NotDone)?;
        let link = session.link().map_err(not_done)?;
        let needs: Vec<(&str, Need)> = clients
            .iter()
            .flat_map(|client| client.foresee().into_iter().map(|need| (client.client().as_str(), need)))
            .collect();
        let ids: Vec<(&str, &str)> = needs
            .iter()
            .filter_map(|(client, need)| match need {
                Need::Entry(id) => Some((*client, id.as_str())),
                Need::Sum { .. } | Need::Count(_) => None,
            })
            .collect();
        let names: Vec<&str> = clients.iter().map(|client| client.client().as_str()).collect();
        let began = Instant::now();
        let locked = self.connections.timely(link.lock(&names, &ids, wait)).await.and_then(|locked| locked);
        if let (Wait::Wait, [client]) = (wait, clients) {
            // Others held it; a connection is waited for whoever holds what.
            self.hot.note_wait(client.client(), began.elapsed());
        }
        let locked = locked.map_err(not_done)?;
        let mut accounts: HashMap<String, AccountRow> = locked.accounts.into_iter().collect();
        let mut skipped = HashSet::new();
        if wait == Wait::Skip && accounts.len() < names.len() {
            let missing: Vec<&str> = names.iter().copied().filter(|name| !accounts.contains_key(*name)).collect();
            let existing = self.connections.timely(link.existing(&missing)).await.and_then(|names| names);
            skipped.extend(existing.map_err(not_done)?);
        }
        let (skipped, running): (Vec<_>, Vec<_>) =
            clients.iter().copied().partition(|client| skipped.contains(client.client().as_str()));
        let mut running: Vec<Client<'a>> =
            running.into_iter().filter_map(|requests| read_account(requests, &mut accounts, answers)).collect();
        let named = Named::new(locked.entries);
        let running = rounds::run(link, &mut running, (self.terms, at_once), &named, answers);
        match self.connections.timely(running).await {
            Ok(ended) => ended?,
            // It may have been the commit.
            Err(late) => return Err(Undone::Unknown(Arc::new(late))),
        }
        session.ended();
        for client in &skipped {
            self.hot.note(client.client());
        }
        Ok(skipped)
    }
}

/// Gives these clients' requests the same error.
fn fail(clients: &[ClientRequests<'_>], undone: &Undone, answers: &mut Answers) {
    for requests in clients {
        answers.fail(*requests, || undone.clone().into());
    }
}

/// The client with its account, unless that cannot be read.
fn read_account<'a>(
    requests: ClientRequests<'a>,
    accounts: &mut HashMap<String, AccountRow>,
    answers: &mut Answers,
) -> Option<Client<'a>> {
    let row = accounts.remove(requests.client().as_str());
    let is_new = row.is_none();
    match Stored::read(row) {
        Ok(stored) => Some(Client { requests, stored, is_new }),
        Err(broken) => {
            answers.fail(requests, || broken.clone().into());
            None
        }
    }
}

fn not_done(error: Error) -> Undone {
    Undone::NotDone(error.into())
}

fn may_be_one_clients<E: Engine>(undone: &Undone) -> bool {
    match undone {
        Undone::NotDone(Failure::Database(error)) => matches!(E::fault(error), Fault::Other | Fault::Conflict),
        Undone::NotDone(Failure::Broken(_) | Failure::Overtaken | Failure::Unfinished) => true,
        Undone::NotDone(Failure::Unconnected(_)) | Undone::Unknown(_) => false,
    }
}

fn places(clients: &[ClientRequests<'_>]) -> HashSet<usize> {
    clients.iter().flat_map(|client| client.iter().map(|(place, _)| place)).collect()
}

/// The answers to these clients' requests, with their places.
fn given(clients: &[ClientRequests<'_>], answers: Answers) -> Given {
    let places = places(clients);
    answers.finish().into_iter().enumerate().filter(|(place, _)| places.contains(place)).collect()
}

/// Some number that another process does not have as well.
fn jitter() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
