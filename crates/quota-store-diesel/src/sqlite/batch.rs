//! A batch, in transactions of the one writer.

use std::sync::Arc;

use quota_core::{Answer, ClientId, Terms};
use quota_service::{Answers, Batch, ClientRequests, Request, StoreError};

use crate::batch::{self, Course};
use crate::failure::{Failure, Undone};
use crate::grace::Grace;
use crate::sqlite::fault::Fault;
use crate::sqlite::session::Session;
use crate::sqlite::store::SqliteStore;
use crate::sqlite::workers::Gone;

type Answered = Vec<Result<Answer, StoreError>>;

/// What became of a batch.
struct Ran {
    answers: Answers,
    /// In the way of whose requests rows of a large deletion are: nothing of theirs was done.
    unfinished: Vec<ClientId>,
}

impl SqliteStore {
    /// Runs a batch. Where rows of a large deletion are in the way of a client's requests, these are taken out for a while, in
    /// transactions between which others go on; from then on the client has batches of its own, in which nobody else waits for
    /// that.
    pub(super) async fn apply_all(&self, requests: Vec<Request>) -> Answered {
        let batch = Arc::new(Batch::new(requests));
        let mut ran = self.run(&batch).await;
        let grace = Grace::begin(&batch, self.builder.busy_timeout);
        for client in batch.clients().filter(|client| ran.unfinished.contains(client.client())) {
            self.held.note_long(client.client());
            let (places, own): (Vec<usize>, Vec<Request>) =
                client.iter().map(|(place, request)| (place, request.clone())).unzip();
            for (place, answer) in places.into_iter().zip(self.after_deletion(own, grace).await) {
                ran.answers.give(place, answer);
            }
        }
        ran.answers.finish()
    }

    /// One job of the writer.
    async fn run(&self, batch: &Arc<Batch>) -> Ran {
        let (terms, running) = (self.builder.terms, Arc::clone(batch));
        self.writer.run(move |session| run(session, terms, &running)).await.unwrap_or_else(|Gone| {
            let mut answers = batch.answers();
            for client in batch.clients() {
                answers.fail(client, || StoreError::unknown("the batch was not answered", Gone));
            }
            Ran { answers, unfinished: Vec::new() }
        })
    }

    /// Runs one client's requests once the rows in their way are taken out.
    async fn after_deletion(&self, requests: Vec<Request>, grace: Grace) -> Answered {
        let batch = Arc::new(Batch::new(requests.clone()));
        let Some(client) = requests.first().map(|request| request.client.clone()) else { return Vec::new() };
        let (mut in_vain, mut steps) = (0, 1);
        loop {
            match self.take_out_within(&client, steps, grace).await {
                Ok(true) => {}
                Ok(false) => in_vain += 1,
                Err(undone) => {
                    let mut answers = batch.answers();
                    batch::fail(batch.clients(), &undone, &mut answers);
                    return answers.finish();
                }
            }
            // Not all of it may be in the way.
            steps *= 2;
            let ran = self.run(&batch).await;
            if ran.unfinished.is_empty() || (in_vain > 1 && requests.len() == 1) {
                return ran.answers.finish();
            }
            if in_vain > 1 {
                // Nobody else has taken it out meanwhile: the deletion that is in the way is one of these requests.
                return self.one_by_one(requests, grace).await;
            }
        }
    }

    /// Runs each of a client's requests in a transaction of its own, and takes out in between what a deletion among them has
    /// left.
    async fn one_by_one(&self, requests: Vec<Request>, grace: Grace) -> Answered {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let ran = self.run(&Arc::new(Batch::new(vec![request.clone()]))).await;
            answers.extend(if ran.unfinished.is_empty() {
                ran.answers.finish()
            } else {
                Box::pin(self.after_deletion(vec![request], grace)).await
            });
        }
        answers
    }

    /// Takes out some of what a large deletion of this client has left, whether there was anything: one step at least, and the
    /// others while there is time.
    async fn take_out_within(&self, client: &ClientId, steps: u64, grace: Grace) -> Result<bool, Undone> {
        for taken in 0..steps {
            let client = client.clone();
            let step = self.writer.run(move |session| session.write(|ledger| ledger.take_out_some(&client)));
            // Whatever became of it, the requests are not done.
            match step.await.unwrap_or(Err(Undone::NotDone(Failure::Unfinished))) {
                Ok(false) => return Ok(taken > 0),
                Ok(true) if grace.left().is_zero() => return Err(Undone::NotDone(Failure::Unfinished)),
                Ok(true) => {}
                Err(undone) => return Err(undone.before_the_requests()),
            }
        }
        Ok(true)
    }
}

/// Runs a batch in one transaction. Where that fails for a reason that may be one client's own, the clients are tried
/// one by one: the fault of one is not the others' error. Then ids that were made are looked up.
fn run(session: &mut Session, terms: Terms, batch: &Batch) -> Ran {
    let mut ran = Ran { answers: batch.answers(), unfinished: Vec::new() };
    let course = Course { terms, looks_for_made: false };
    let Err(undone) = session.write(|ledger| batch::run(batch.clients(), course, ledger, &mut ran.answers)) else {
        return ran;
    };
    let apart = match &undone {
        Undone::NotDone(Failure::Database(error)) => Fault::of(error).may_be_one_clients(),
        Undone::NotDone(Failure::Broken(_) | Failure::Unfinished) => batch.clients().len() > 1,
        _ => false,
    };
    if !apart {
        ran.fail(batch.clients(), &undone);
        return ran;
    }
    let course = Course { looks_for_made: true, ..course };
    for client in batch.clients() {
        if let Err(undone) = session.write(|ledger| batch::run([client], course, ledger, &mut ran.answers)) {
            ran.fail([client], &undone);
        }
    }
    ran
}

impl Ran {
    fn fail<'a>(&mut self, clients: impl IntoIterator<Item = ClientRequests<'a>>, undone: &Undone) {
        for client in clients {
            batch::fail([client], undone, &mut self.answers);
            if let Undone::NotDone(Failure::Unfinished) = undone {
                self.unfinished.push(client.client().clone());
            }
        }
    }
}
