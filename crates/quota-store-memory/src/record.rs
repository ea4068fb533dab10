//! All that is kept of one client.

use std::sync::Arc;

use quota_core::{Account, Answer, Asked, ClientId, Decision, Instant, Plan, PlanWrite, Stop, Turn, Verdict, Writes};
use quota_service::{PlainCharge, PlanStamp, PlanView, PlansNow, Request, StoreError, StoredPlan};

use crate::ledger::{Keeping, Ledger};

/// One client, in one piece of memory: account, plan and the present quarter are read together.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) client: ClientId,
    account: Account,
    /// Set through the store, if the account carries a version; else it came with a request, from a source of the
    /// service's, and is good as long as `stamp` says.
    plan: Option<Arc<Plan>>,
    stamp: PlanStamp,
    pub(crate) ledger: Ledger,
}

impl Record {
    pub(crate) fn new(client: ClientId) -> Self {
        Self { client, account: Account::new(), plan: None, stamp: PlanStamp::ONCE, ledger: Ledger::default() }
    }

    /// Whether the client is as good as unknown.
    pub(crate) fn is_blank(&self) -> bool {
        self.account.is_blank()
    }

    pub(crate) fn stored_plan(&self) -> StoredPlan {
        match self.account.plan_version() {
            Some(version) => StoredPlan { plan: self.plan.clone(), version: Some(version) },
            None => StoredPlan::default(),
        }
    }

    /// Charges without a look-up, if plan and windows are at hand.
    pub(crate) fn charge_now(&mut self, charge: &PlainCharge<'_>, keeping: Keeping) -> Option<Decision> {
        let at_hand = match charge.plans {
            PlansNow::Stored => self.account.plan_version().is_some(),
            PlansNow::Source { generation } => self.stamp.generation == generation && self.stamp.is_fresh(charge.at),
        };
        let plan = self.plan.as_deref().filter(|_| at_hand)?;
        let verdict = self.account.charge(plan, charge.credits, charge.at)?;
        if verdict == Verdict::Allowed {
            self.ledger.post(self.account.latest(), charge.credits, charge.label, keeping);
        }
        Some(self.account.decision(verdict, plan, charge.credits, charge.at))
    }

    /// Runs one operation; nothing is written where it is refused or denied.
    pub(crate) fn apply(&mut self, request: &Request, keeping: Keeping) -> Result<Answer, StoreError> {
        let present = request.asked.max(request.at).max(self.account.latest());
        let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
        let mut turn = Turn::new(&mut self.account, self.ledger.terms(keeping, present));
        let answer = loop {
            match turn.run(&request.operation, asked) {
                Ok(answer) => break Ok(answer),
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = self.ledger.answer(&need, keeping, present);
                        turn.learn(need, fact);
                    }
                }
                Err(Stop::Refused(refusal)) => break Err(StoreError::Refused(refusal)),
                Err(Stop::PlanChanged(version)) => break Err(StoreError::PlanChanged(version)),
                Err(Stop::WriteFirst) => {
                    // A turn of one operation has nothing to write before it.
                    let message = "a single operation asked for an earlier one to be written".to_owned();
                    break Err(StoreError::NotDone { message, source: None });
                }
            }
        };
        let writes = turn.take_writes();
        // Not the account's time: it may have stood still for long, and the operation be asked for an instant long past.
        let written = request.asked.max(self.account.latest());
        // What was refused or denied forgets nothing: its clock may have been wrong.
        let forgets = if writes.is_empty() { self.account.latest() } else { written };
        self.ledger.forget_ids(forgets, keeping);
        self.write(writes, written, keeping);
        self.keep(&request.plan, request.at);
        answer
    }

    fn write(&mut self, writes: Writes, written: Instant, keeping: Keeping) {
        if let Some(removal) = &writes.removal {
            self.ledger.remove(removal);
        }
        for entry in writes.entries {
            self.ledger.add(entry, written, keeping);
        }
        match writes.plan {
            Some(PlanWrite::Set(plan, _)) => {
                self.plan = Some(plan);
                self.stamp = PlanStamp::ONCE;
            }
            Some(PlanWrite::Remove) => self.plan = None,
            None => {}
        }
    }

    /// Keeps a plan that may be used again without asking. A stored one is never overwritten: where a service brings its
    /// own plans to a store that has some, those clients take the longer way.
    fn keep(&mut self, view: &PlanView, at: Instant) {
        if view.stamp.is_fresh(at) && self.account.plan_version().is_none() {
            self.plan.clone_from(&view.plan);
            self.stamp = view.stamp;
        }
    }
}
