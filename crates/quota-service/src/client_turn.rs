//! One client's requests, run on its account without I/O.

use std::vec::IntoIter;

use quota_core::{Account, Answer, Asked, Fact, Need, Stop, Terms, Turn, Writes};

use crate::batch::{Answers, ClientRequests};
use crate::store::Request;
use crate::store_error::StoreError;

/// Reading and writing in turns, an operation is answered after three rounds at most; more is a fault of ours.
const MAX_ROUNDS: usize = 16;

/// One client's requests of a batch, run on its account one after the other. It does no I/O: it says what the
/// store has to read or to write ([`Step`]), and is asked again. So a store may serve the needs of many clients in one
/// round trip, and a transaction and a compare-and-set run the same code.
///
/// On a conflict the turn is thrown away with the account and everything that it learnt; the requests that were
/// not written yet ([`ClientTurn::written`], [`ClientRequests::after`]) run again in a new one.
///
/// ```
/// use quota_service::quota_core::{Account, Fact, Operation, PlanCheck, Terms};
/// use quota_service::{Batch, ClientId, ClientTurn, Instant, PlanStamp, PlanView, Request, Step};
///
/// let stamp = PlanStamp::lasting(0);
/// let plan = PlanView { plan: None, check: PlanCheck::Any, stamp };
/// let client = ClientId::new("client1")?;
/// let batch = Batch::new(vec![Request { client, operation: Operation::RemovePlan, at: Instant::MIN, asked: Instant::MIN, plan }]);
/// let mut answers = batch.answers();
/// for requests in batch.clients() {
///     let mut account = Account::new();
///     let mut turn = ClientTurn::new(&mut account, Terms::ENTRIES, requests);
///     loop {
///         match turn.step() {
///             Step::Read(needs) => needs.into_iter().for_each(|need| turn.learn(need, Fact::Entry(None))),
///             Step::Write(writes) => drop(writes),
///             Step::Done(writes) => break assert!(writes.is_empty()),
///         }
///     }
///     turn.answer(&mut answers);
/// }
/// assert!(answers.finish()[0].is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientTurn<'a> {
    turn: Turn<'a>,
    waiting: IntoIter<(usize, &'a Request)>,
    current: Option<(usize, &'a Request)>,
    rounds: usize,
    answered: Vec<(usize, Result<Answer, StoreError>)>,
    written: usize,
}

/// What a [`ClientTurn`] wants next.
#[derive(Debug)]
pub enum Step {
    /// Read each of these from the ledger as it stands without what this turn still has to write, hand it to
    /// [`ClientTurn::learn`], and ask again.
    Read(Vec<Need>),
    /// Write this, account included, before asking again: the next request cannot run before it is written. The
    /// answers so far hold once it is.
    Write(Writes),
    /// Every request has its answer. Write this (it may be empty), then give the answers.
    Done(Writes),
}

impl<'a> ClientTurn<'a> {
    /// Begins on the account as it was read.
    #[must_use]
    pub fn new(account: &'a mut Account, terms: Terms, requests: ClientRequests<'a>) -> Self {
        let waiting: Vec<_> = requests.iter().collect();
        let answered = Vec::with_capacity(waiting.len());
        let turn = Turn::new(account, terms);
        Self { turn, waiting: waiting.into_iter(), current: None, rounds: 0, answered, written: 0 }
    }

    /// Looks for made ids as for given ones, where callers may have asked again by them meanwhile: where a request is run again after a
    /// conflict, or on an account that was read late, and its caller does not wait any more ([`crate::Receipt::is_awaited`]).
    pub fn look_for_made(&mut self) {
        self.turn.look_for_made();
    }

    /// Runs requests until something is to be read or written.
    pub fn step(&mut self) -> Step {
        while let Some((place, request)) = self.next() {
            let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
            let answer = match self.turn.run(&request.operation, asked) {
                Ok(answer) => Ok(answer),
                Err(Stop::Refused(refusal)) => Err(refusal.into()),
                Err(Stop::PlanChanged(version)) => Err(StoreError::PlanChanged(version)),
                Err(Stop::WriteFirst | Stop::Needs(_)) if self.rounds >= MAX_ROUNDS => Err(without_end()),
                Err(Stop::WriteFirst) => {
                    self.rounds += 1;
                    self.written = self.answered.len();
                    return Step::Write(self.turn.take_writes());
                }
                Err(Stop::Needs(needs)) => {
                    self.rounds += 1;
                    return Step::Read(needs);
                }
            };
            self.close(place, answer);
        }
        Step::Done(self.turn.take_writes())
    }

    /// Takes what the ledger says to a need.
    pub fn learn(&mut self, need: Need, fact: Fact) {
        self.turn.learn(need, fact);
    }

    /// Answers the request that needs what could not be read with this error, and goes on with the next.
    pub fn give_up(&mut self, error: StoreError) {
        if let Some((place, _)) = self.current {
            self.close(place, Err(error));
        }
    }

    /// The account as it stands, to be written with what a step says.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.turn.account()
    }

    /// How many of the requests are answered and were to be written by the last [`Step::Write`].
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Gives the answers, once what they rest on is written.
    pub fn answer(self, answers: &mut Answers) {
        for (place, answer) in self.answered {
            answers.give(place, answer);
        }
    }

    /// Gives the answers that rest on what the last [`Step::Write`] said; the others are dropped with the turn.
    pub fn answer_written(self, answers: &mut Answers) {
        for (place, answer) in self.answered.into_iter().take(self.written) {
            answers.give(place, answer);
        }
    }

    fn next(&mut self) -> Option<(usize, &'a Request)> {
        if self.current.is_none() {
            self.current = self.waiting.next();
            self.rounds = 0;
        }
        self.current
    }

    fn close(&mut self, place: usize, answer: Result<Answer, StoreError>) {
        self.answered.push((place, answer));
        self.current = None;
    }
}

fn without_end() -> StoreError {
    StoreError::Corrupt { message: "its account asks the ledger without end".to_owned(), source: None }
}
