//! How a batch runs inside a transaction.

use quota_core::{Account, ClientId, Labels, Terms, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, Step, StoreError};

use crate::changes::{Changes, NewAccount, Removed};
use crate::failure::{Failure, Undone};
use crate::ledger::Ledger;
use crate::rows::Stored;
use crate::standing::Standing;

/// What requests are run by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) terms: Terms,
    /// Whether ids that were made for their callers are looked up as given ones are. One who was told that it is not known what became
    /// of a charge may have asked again elsewhere, and overtaken it: adding its entry fails then.
    pub(crate) looks_for_made: bool,
}

/// Runs these clients' requests and writes what they change. On a failure all of it is to be rolled back, and the
/// answers are to be given anew.
pub(crate) fn run<'a>(
    clients: impl IntoIterator<Item = ClientRequests<'a>>,
    course: Course,
    ledger: &mut impl Ledger,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut changes = Changes::default();
    for requests in clients {
        run_client(requests, course, ledger, &mut changes, answers)?;
    }
    if changes.is_empty() { Ok(()) } else { ledger.write(&changes) }
}

/// Gives these clients' requests the same error.
pub(crate) fn fail<'a>(clients: impl IntoIterator<Item = ClientRequests<'a>>, undone: &Undone, answers: &mut Answers) {
    for requests in clients {
        answers.fail(requests, || undone.clone().into());
    }
}

fn run_client(
    requests: ClientRequests<'_>,
    Course { terms, looks_for_made }: Course,
    ledger: &mut impl Ledger,
    changes: &mut Changes,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let client = requests.client();
    let mut stored = match ledger.account(client) {
        Ok(stored) => stored,
        Err(Failure::Broken(broken)) => {
            answers.fail(requests, || broken.clone().into());
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let Stored { account, standing, labels } = &mut stored;
    let terms = Terms { folded_until: standing.folded_until, ..terms };
    let mut turn = ClientTurn::new(account, terms, requests);
    if looks_for_made {
        turn.look_for_made();
    }
    let mut writing = Writing { client, standing, labels, changes, dirty: false };
    loop {
        match turn.step() {
            Step::Read(needs) => {
                for need in needs {
                    match ledger.fact(client, *writing.standing, &need) {
                        Ok(fact) => turn.learn(need, fact),
                        Err(Failure::Broken(broken)) => turn.give_up(StoreError::from(broken)),
                        Err(failure) => return Err(failure),
                    }
                }
            }
            Step::Write(writes) => {
                writing.gather(writes, ledger)?;
                writing.put_account(turn.account());
                ledger.write(&std::mem::take(writing.changes))?;
            }
            Step::Done(writes) => {
                writing.gather(writes, ledger)?;
                break;
            }
        }
    }
    writing.put_account(turn.account());
    turn.answer(answers);
    ledger.keep(client, stored);
    Ok(())
}

/// What one client's turn writes.
struct Writing<'a> {
    client: &'a ClientId,
    standing: &'a mut Standing,
    labels: &'a mut Labels,
    changes: &'a mut Changes,
    /// Whether the account is to be written.
    dirty: bool,
}

impl Writing<'_> {
    /// Takes entries out at once; the rest waits for the end of the batch. The two never come together.
    fn gather(&mut self, writes: Writes, ledger: &mut impl Ledger) -> Result<(), Failure> {
        self.dirty |= writes.account || writes.plan.is_some();
        if let Some(removal) = &writes.removal {
            let (client, labels, standing) = (self.client, &*self.labels, *self.standing);
            self.standing.left = ledger.remove(&Removed { client, removal, labels, standing })?.or(standing.left);
        }
        if let (Some(at), Some(left)) = (self.standing.first_deleted(&writes.entries), self.standing.left) {
            self.standing.left = ledger.make_room(self.client, left, at)?;
        }
        for entry in &writes.entries {
            self.changes.add_entry(self.client, entry, self.labels);
        }
        if let Some(plan) = writes.plan {
            self.changes.plans.push((self.client.clone(), plan));
        }
        Ok(())
    }

    /// Writes the account as it stands. Also before a turn is at its end: a deletion that comes next may have to note in it
    /// what it leaves.
    fn put_account(&mut self, account: &Account) {
        if self.dirty {
            let (document, labels) = (account.to_document(), self.labels.to_document());
            self.changes.accounts.push(NewAccount { client: self.client.clone(), document, labels });
        }
    }
}
