//! The clients of a batch, run side by side. What their ids name is looked up for all of them at once, sums are read one after
//! the other: few charges need one, for accounts keep those of their windows.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{ClientId, Entry, Fact, Labels, Need, OperationId, Removal, Terms, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, Step, StoreError};

use crate::changes::{NewAccount, Removed};
use crate::failure::{Failure, Undone};
use crate::rows::{self, Broken, Stored};
use crate::server::engine::{End, Link, NamedRow};
use crate::server::kept::Care;
use crate::server::ledger;
use crate::server::repeats::Ids;
use crate::server::writing::Writing;
use crate::standing::Standing;

/// One client of a batch, with its account as it was locked.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) requests: ClientRequests<'a>,
    pub(crate) stored: Stored,
    /// Whether it has no account yet, so that nothing is locked.
    pub(crate) is_new: bool,
    /// Its document and labels as they stand in its row; none where it has no row, or is known to be more than its row says.
    pub(crate) row: Option<(String, String)>,
    /// What is to be thought of it if it is kept.
    pub(crate) care: Care,
}

/// What ids name.
#[derive(Debug, Default)]
pub(crate) struct Named(HashMap<(String, String), Result<Entry, Broken>>);

/// What the rounds of a transaction go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course<'a> {
    pub(crate) terms: Terms,
    /// What the ids name that were foreseen.
    pub(crate) named: &'a Named,
    /// What the others are taken for.
    pub(crate) ids: Ids,
    /// Set before the commit is sent: until then nothing of the transaction can stand.
    pub(crate) commits: &'a AtomicBool,
}

/// One client's turn.
struct Run<'a> {
    client: &'a ClientId,
    turn: ClientTurn<'a>,
    labels: &'a mut Labels,
    standing: &'a mut Standing,
    row: &'a mut Option<(String, String)>,
    /// Rows under ids that were asked for and are deleted (at, id): out of the way before anything is added.
    in_the_way: Vec<(i64, String)>,
    /// The first instant among deleted rows at which something is to be added.
    room: Option<i64>,
    is_new: bool,
    /// Ids that were taken for absent. Those of entries that are added are, or adding them fails.
    absent: HashSet<OperationId>,
    /// Whether what is written of it may be kept.
    keeps: bool,
    /// Whether its account has taken sums from the ledger.
    has_summed: bool,
    /// Whether its account is to be written.
    dirty: bool,
    done: bool,
}

impl Named {
    pub(crate) fn new(rows: Vec<NamedRow>) -> Self {
        let entry = |(client, id, at, micros, label): NamedRow| {
            let entry = rows::id(&id).and_then(|read| rows::entry(read, &(at, micros, label)));
            ((client, id), entry)
        };
        Self(rows.into_iter().map(entry).collect())
    }

    /// Whether an id of this client names something.
    pub(crate) fn is_any_of(&self, client: &ClientId) -> bool {
        self.0.keys().any(|(name, _)| name == client.as_str())
    }

    fn fact(&self, client: &ClientId, id: &OperationId) -> Result<Fact, Broken> {
        let key = (client.as_str().to_owned(), id.as_str().to_owned());
        self.0.get(&key).cloned().transpose().map(Fact::Entry)
    }
}

/// Runs these clients' requests inside the transaction that holds their accounts, writes what they change, and ends it.
pub(crate) async fn run<L: Link>(
    link: &mut L,
    clients: &mut [Client<'_>],
    Course { terms, named, ids, commits }: Course<'_>,
    answers: &mut Answers,
) -> Result<(), Undone> {
    let mut runs: Vec<Run<'_>> =
        clients.iter_mut().map(|client| Run::new(client, (terms, ids), named, L::WRITES_OVER)).collect();
    for run in runs.iter().filter(|run| run.is_new) {
        run.check_new(named.is_any_of(run.client)).map_err(Undone::NotDone)?;
    }
    let mut writing = Writing::default();
    let mut written = false;
    loop {
        let (mut needs, mut taken, mut first) = (Vec::new(), Vec::new(), false);
        for (place, run) in runs.iter_mut().enumerate().filter(|(_, run)| !run.done) {
            match run.turn.step() {
                Step::Read(asked) => needs.extend(asked.into_iter().map(|need| (place, need))),
                Step::Write(writes) => {
                    first = true;
                    let removal = run.gather(writes, &mut writing);
                    taken.extend(removal.map(|removal| (place, removal)));
                    run.make_account(&mut writing);
                }
                Step::Done(writes) => {
                    run.done = true;
                    let removal = run.gather(writes, &mut writing);
                    taken.extend(removal.map(|removal| (place, removal)));
                }
            }
        }
        for (place, removal) in taken {
            let Some(run) = runs.get_mut(place) else { continue };
            run.take_out(link, &removal).await.map_err(Undone::NotDone)?;
            written = true;
        }
        written |= clear_the_way(link, &mut runs).await.map_err(Undone::NotDone)?;
        if runs.iter().all(|run| run.done) {
            break;
        }
        if first {
            written = true;
            link.write(&std::mem::take(&mut writing), End::Open).await?;
        }
        learn(link, &mut runs, needs).await.map_err(Undone::NotDone)?;
    }
    confirm_absent(link, &runs).await.map_err(Undone::NotDone)?;
    for run in runs {
        run.finish(&mut writing, answers);
    }
    if writing.is_empty() && !written {
        return link.roll_back().await.map_err(|error| Undone::NotDone(error.into()));
    }
    commits.store(true, Ordering::Relaxed);
    link.write(&writing, End::Commit).await
}

/// Looks for the ids that were taken for absent and are not added.
async fn confirm_absent<L: Link>(link: &mut L, runs: &[Run<'_>]) -> Result<(), Failure> {
    let ids: Vec<(&str, &str)> =
        runs.iter().flat_map(|run| run.absent.iter().map(|id| (run.client.as_str(), id.as_str()))).collect();
    let are_absent = ids.is_empty() || link.named(&ids).await?.is_empty();
    if are_absent { Ok(()) } else { Err(Failure::Repeated) }
}

/// Takes out deleted rows where something is about to be written: under the same ids, and from the same instant on. Tells
/// whether there were any.
async fn clear_the_way<L: Link>(link: &mut L, runs: &mut [Run<'_>]) -> Result<bool, Failure> {
    let mut cleared = false;
    for run in runs.iter_mut() {
        for (at, id) in std::mem::take(&mut run.in_the_way) {
            let binds = [run.client.as_str().into(), at.into(), id.as_str().into()];
            link.execute(&link.texts().remove_entry, &binds).await?;
            cleared = true;
        }
        if let (Some(at), Some(left)) = (run.room.take(), run.standing.left) {
            run.standing.left = ledger::make_room(link, run.client, left, at).await?;
            cleared = true;
        }
    }
    Ok(cleared)
}

/// Reads what these turns need, ids for all of them at once.
async fn learn<L: Link>(link: &mut L, runs: &mut [Run<'_>], needs: Vec<(usize, Need)>) -> Result<(), Failure> {
    let ids: Vec<(&str, &str)> = needs
        .iter()
        .filter_map(|(place, need)| match need {
            Need::Entry(id) => runs.get(*place).map(|run| (run.client.as_str(), id.as_str())),
            Need::Sum { .. } | Need::Count(_) => None,
        })
        .collect();
    if runs.len() > 1 && needs.iter().any(|(_, need)| is_long(need)) {
        return Err(Failure::Long);
    }
    let named = if ids.is_empty() { Named::default() } else { Named::new(link.named(&ids).await?) };
    for (place, need) in needs {
        let Some(run) = runs.get_mut(place) else { continue };
        let fact = match &need {
            Need::Entry(id) => run.named(named.fact(run.client, id), id).map_err(Failure::from),
            _ => ledger::fact(link, run.client, *run.standing, &need).await,
        };
        match fact {
            Ok(fact) => {
                run.check_new(!says_nothing(&fact))?;
                run.has_summed |= matches!(fact, Fact::Sum(_));
                run.turn.learn(need, fact);
            }
            Err(Failure::Broken(broken)) => run.turn.give_up(StoreError::from(broken)),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Whether it takes the sums of more than a month, which may be many.
fn is_long(need: &Need) -> bool {
    const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);
    match need {
        Need::Entry(_) => false,
        Need::Sum { window, except } => window.without(*except).any(|part| part.length() > MONTH),
        Need::Count(range) => range.length() > MONTH,
    }
}

/// Whether a fact is what an empty ledger says.
fn says_nothing(fact: &Fact) -> bool {
    match fact {
        Fact::Entry(entry) => entry.is_none(),
        Fact::Sum(credits) => credits.micros() == 0,
        Fact::Count { entries, .. } => *entries == 0,
    }
}

impl<'a> Run<'a> {
    fn new(client: &'a mut Client<'_>, (terms, ids): (Terms, Ids), named: &Named, keeps: bool) -> Self {
        let Stored { account, standing, labels } = &mut client.stored;
        let terms = Terms { folded_until: standing.folded_until, ..terms };
        let mut turn = ClientTurn::new(account, terms, client.requests);
        if ids == Ids::MadeToo {
            turn.look_for_made();
        }
        let (name, is_new, row) = (client.requests.client(), client.is_new, &mut client.row);
        let mut run = Self {
            client: name,
            turn,
            labels,
            standing,
            row,
            in_the_way: Vec::new(),
            room: None,
            is_new,
            absent: HashSet::new(),
            keeps,
            has_summed: false,
            dirty: false,
            done: false,
        };
        let looked_up = ids.needs(&client.requests);
        let are_absent = looked_up.is_empty();
        for need in if are_absent { client.requests.foresee() } else { looked_up } {
            if let (true, Need::Entry(id)) = (are_absent, &need) {
                run.absent.insert(id.clone());
            }
            // One that cannot be read is asked for again, and given up then.
            if let Need::Entry(id) = &need
                && let Ok(fact) = run.named(named.fact(name, id), id)
            {
                run.turn.learn(need, fact);
            }
        }
        run
    }

    /// What an id names: nothing, where the row is deleted and was not taken out yet.
    fn named(&mut self, fact: Result<Fact, Broken>, id: &OperationId) -> Result<Fact, Broken> {
        match fact? {
            Fact::Entry(Some(entry)) if self.standing.is_deleted(entry.at) => {
                self.in_the_way.push((entry.at.millis(), id.as_str().to_owned()));
                Ok(Fact::Entry(None))
            }
            other => Ok(other),
        }
    }

    /// A client without an account has no entries: what the ledger knows of it was written since the accounts were
    /// read, and everything is to be read again.
    fn check_new(&self, has_entries: bool) -> Result<(), Failure> {
        if self.is_new && has_entries { Err(Failure::Overtaken) } else { Ok(()) }
    }

    /// Takes what the turn says, and gives what is to be taken out.
    fn gather(&mut self, mut writes: Writes, writing: &mut Writing) -> Option<Removal> {
        self.dirty |= writes.account || writes.plan.is_some();
        self.room = self.standing.first_deleted(&writes.entries);
        for id in writes.entries.iter().filter_map(|entry| entry.id.as_ref()) {
            self.absent.remove(id);
        }
        let removal = writes.removal.take();
        writing.gather(self.client, self.labels, writes);
        removal
    }

    async fn take_out<L: Link>(&mut self, link: &mut L, removal: &Removal) -> Result<(), Failure> {
        let removed = Removed { client: self.client, removal, labels: self.labels, standing: *self.standing };
        self.standing.left = ledger::remove(link, &removed).await?.or(self.standing.left);
        Ok(())
    }

    /// Makes the account of a client that has none before the rest of its turn: from then on it is locked, and what the
    /// ledger knows is this turn's own.
    fn make_account(&mut self, writing: &mut Writing) {
        if std::mem::take(&mut self.is_new) {
            writing.made.push(self.account());
        }
    }

    fn finish(mut self, writing: &mut Writing, answers: &mut Answers) {
        if self.dirty && self.is_new {
            self.make_account(writing);
        } else if self.dirty {
            writing.changes.accounts.push(self.account());
        } else if self.has_summed {
            // The same row may stand for another sum later.
            *self.row = None;
        }
        self.turn.answer(answers);
    }

    /// Its account as it is to be written, which is its row from then on.
    fn account(&mut self) -> NewAccount {
        let (document, labels) = (self.turn.account().to_document(), self.labels.to_document());
        if self.keeps {
            *self.row = Some((document.clone(), labels.clone()));
        }
        NewAccount { client: self.client.clone(), document, labels }
    }
}
