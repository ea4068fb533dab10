//! How a batch runs: by clients in the order of their bytes, each client's requests in the order they came.

use quota_core::{Answer, Asked, ClientId, Instant, Stop, Terms, Turn, Writes};
use quota_service::{Request, StoreError};

use crate::changes::{Changes, NewAccount, Removed};
use crate::failure::{Failure, Undone};
use crate::labels::Labels;
use crate::ledger::Ledger;
use crate::rows::Broken;

/// Reading and writing in turns, an operation is answered after three rounds at most; more is a fault of ours.
const MAX_ROUNDS: usize = 16;

/// The requests of a batch, and the places of each client's.
#[derive(Debug)]
pub(crate) struct Batch {
    requests: Vec<Request>,
    clients: Vec<Places>,
}

/// Where one client's requests stand in a batch, in order.
#[derive(Clone, Debug)]
pub(crate) struct Places(Vec<usize>);

/// The answers of a batch, in the order of its requests.
#[derive(Debug)]
pub(crate) struct Answers(Vec<Option<Result<Answer, StoreError>>>);

impl Batch {
    /// Sorts requests by client. The order of bytes keeps two batches on a server from waiting for each other.
    pub(crate) fn new(requests: Vec<Request>) -> Self {
        let mut order: Vec<(&ClientId, usize)> =
            requests.iter().enumerate().map(|(place, request)| (&request.client, place)).collect();
        order.sort();
        let by_client = order.chunk_by(|(one, _), (next, _)| one == next);
        let clients = by_client.map(|chunk| Places(chunk.iter().map(|(_, place)| *place).collect())).collect();
        Self { requests, clients }
    }

    /// Answers that are still to be given.
    pub(crate) fn answers(&self) -> Answers {
        Answers(self.requests.iter().map(|_| None).collect())
    }

    /// Every client of the batch.
    pub(crate) fn clients(&self) -> &[Places] {
        &self.clients
    }

    /// Runs these clients' requests and writes what they change. On a failure all of it is to be rolled back,
    /// and the answers are to be given anew.
    pub(crate) fn run(
        &self,
        clients: &[Places],
        ledger: &mut impl Ledger,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let mut changes = Changes::default();
        for places in clients {
            self.run_client(places, ledger, &mut changes, answers)?;
        }
        if changes.is_empty() { Ok(()) } else { ledger.write(&changes) }
    }

    /// Gives these clients' requests the same error.
    pub(crate) fn fail(&self, clients: &[Places], undone: &Undone, answers: &mut Answers) {
        for place in clients.iter().flat_map(|places| &places.0) {
            answers.give(*place, Err(undone.clone().into()));
        }
    }

    fn run_client(
        &self,
        places: &Places,
        ledger: &mut impl Ledger,
        changes: &mut Changes,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let mut requests =
            places.0.iter().filter_map(|place| self.requests.get(*place).map(|request| (*place, request))).peekable();
        let Some(client) = requests.peek().map(|(_, request)| &request.client) else { return Ok(()) };
        let mut stored = match ledger.account(client) {
            Ok(stored) => stored,
            Err(Failure::Broken(broken)) => {
                requests.for_each(|(place, _)| answers.give(place, Err(broken.clone().into())));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let folded_until = stored.folded_until();
        let mut turn = Turn::new(&mut stored.account, Terms { folded_until, ..Terms::ENTRIES });
        let mut work = Work {
            client,
            folded_until,
            labels: &mut stored.labels,
            ledger: &mut *ledger,
            changes: &mut *changes,
            dirty: false,
        };
        for (place, request) in requests {
            answers.give(place, work.answer(&mut turn, request)?);
        }
        work.gather(turn.take_writes())?;
        if work.dirty {
            let (document, labels) = (stored.account.to_document(), stored.labels.write());
            changes.accounts.push(NewAccount { client: client.clone(), document, labels });
        }
        ledger.keep(client, stored);
        Ok(())
    }
}

/// One client's turn in a batch.
struct Work<'a, L> {
    client: &'a ClientId,
    folded_until: Instant,
    labels: &'a mut Labels,
    ledger: &'a mut L,
    changes: &'a mut Changes,
    /// Whether the account is to be written.
    dirty: bool,
}

impl<L: Ledger> Work<'_, L> {
    fn answer(&mut self, turn: &mut Turn<'_>, request: &Request) -> Result<Result<Answer, StoreError>, Failure> {
        let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
        for _ in 0..MAX_ROUNDS {
            let needs = match turn.run(&request.operation, asked) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(Stop::Refused(refusal)) => return Ok(Err(refusal.into())),
                Err(Stop::PlanChanged(version)) => return Ok(Err(StoreError::PlanChanged(version))),
                Err(Stop::WriteFirst) => {
                    self.gather(turn.take_writes())?;
                    self.ledger.write(&std::mem::take(self.changes))?;
                    continue;
                }
                Err(Stop::Needs(needs)) => needs,
            };
            for need in needs {
                match self.ledger.fact(self.client, self.folded_until, &need) {
                    Ok(fact) => turn.learn(need, fact),
                    Err(Failure::Broken(broken)) => return Ok(Err(broken.into())),
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(Err(Broken::malformed("its account asks the ledger without end").into()))
    }

    /// Takes entries out at once; the rest waits for the end of the batch. The two never come together.
    fn gather(&mut self, writes: Writes) -> Result<(), Failure> {
        self.dirty |= writes.account || writes.plan.is_some();
        if let Some(removal) = &writes.removal {
            let (client, labels, folded_until) = (self.client, &*self.labels, self.folded_until);
            self.ledger.remove(&Removed { client, removal, labels, folded_until })?;
        }
        for entry in &writes.entries {
            self.changes.add_entry(self.client, entry, self.labels);
        }
        if let Some(plan) = writes.plan {
            self.changes.plans.push((self.client.clone(), plan));
        }
        Ok(())
    }
}

impl Answers {
    fn give(&mut self, place: usize, answer: Result<Answer, StoreError>) {
        if let Some(open) = self.0.get_mut(place) {
            *open = Some(answer);
        }
    }

    /// The answers, one for each request.
    pub(crate) fn finish(self) -> Vec<Result<Answer, StoreError>> {
        let unanswered = || Err(StoreError::NotDone { message: "the request was not run".to_owned(), source: None });
        self.0.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }
}
