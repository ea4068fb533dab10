//! The smallest store: an account and a list of entries.

use quota_core::{
    Account, Answer, Asked, Credits, Entry, Fact, Instant, Need, Operation, Plan, PlanCheck, Removal, Stop, Terms,
    Turn, Window, Writes,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct ListStore {
    pub(crate) account: Account,
    pub(crate) entries: Vec<Entry>,
    pub(crate) plan: Option<Plan>,
}

impl ListStore {
    pub(crate) fn run(&mut self, operation: &Operation, at: Instant) -> Result<Answer, Stop> {
        let plan = self.plan.clone();
        let mut turn = Turn::new(&mut self.account, Terms::ENTRIES);
        loop {
            let asked = Asked { plan: plan.as_ref(), check: PlanCheck::Any, at };
            match turn.run(operation, asked) {
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = look_up(&self.entries, &need);
                        turn.learn(need, fact);
                    }
                }
                answer => {
                    let writes = turn.take_writes();
                    self.write(writes);
                    return answer;
                }
            }
        }
    }

    pub(crate) fn write(&mut self, writes: Writes) {
        match writes.removal {
            Some(Removal::Entry(gone)) => self.entries.retain(|entry| entry.id != gone.id),
            Some(Removal::Range(range)) => self.entries.retain(|entry| !range.contains(entry.at)),
            None => {}
        }
        self.entries.extend(writes.entries);
    }

    pub(crate) fn sum(&self, window: Window) -> Credits {
        sum(self.entries.iter().filter(|entry| window.contains(entry.at)))
    }
}

fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> Credits {
    entries.fold(Credits::ZERO, |sum, entry| sum.checked_add(entry.credits).unwrap())
}

pub(crate) fn look_up(entries: &[Entry], need: &Need) -> Fact {
    match need {
        Need::Entry(id) => Fact::Entry(entries.iter().find(|entry| entry.id.as_ref() == Some(id)).cloned()),
        Need::Sum { window, except } => {
            let outside = |at| !except.is_some_and(|range| range.contains(at));
            Fact::Sum(sum(entries.iter().filter(|entry| window.contains(entry.at) && outside(entry.at))))
        }
        Need::Count(range) => {
            let inside: Vec<_> = entries.iter().filter(|entry| range.contains(entry.at)).collect();
            let credits = sum(inside.iter().copied());
            Fact::Count { entries: inside.len().try_into().unwrap(), credits }
        }
    }
}
