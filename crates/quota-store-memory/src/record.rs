//! All that is kept of one client.

use std::sync::Arc;

use quota_core::{Account, Answer, Asked, ClientId, Decision, Instant, Plan, PlanWrite, Stop, Turn, Writes};
use quota_service::{PlainCharge, PlanStamp, PlanView, PlansNow, Request, StoreError, StoredPlan};

use crate::ledger::{Keeping, Ledger};

/// One client, in one piece of memory: account, plan and the present quarter are read together.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) client: ClientId,
    account: Account,
    /// Set through the store.
    stored: Option<Arc<Plan>>,
    /// Came with a request, from a source of the service's.
    given: Option<Arc<Plan>>,
    stamp: PlanStamp,
    pub(crate) ledger: Ledger,
}

impl Record {
    pub(crate) fn new(client: ClientId) -> Self {
        Self {
            client,
            account: Account::new(),
            stored: None,
            given: None,
            stamp: PlanStamp { generation: 0, fresh_until: Instant::MIN },
            ledger: Ledger::default(),
        }
    }

    /// Whether the client is as good as unknown.
    pub(crate) fn is_blank(&self) -> bool {
        self.account.is_blank() && self.stored.is_none()
    }

    pub(crate) fn stored_plan(&self) -> StoredPlan {
        StoredPlan { plan: self.stored.clone(), version: self.account.plan_version() }
    }

    /// Charges without a look-up, if plan and windows are at hand.
    pub(crate) fn charge_now(&mut self, charge: &PlainCharge<'_>, keeping: Keeping) -> Option<Decision> {
        let plan = match charge.plans {
            PlansNow::Stored => self.stored.as_deref()?,
            PlansNow::Source { generation } => {
                let fresh = self.stamp.generation == generation && charge.at < self.stamp.fresh_until;
                self.given.as_deref().filter(|_| fresh)?
            }
        };
        let decision = self.account.charge(plan, charge.credits, charge.at)?;
        if decision.is_allowed() {
            self.ledger.post(self.account.latest(), charge.credits, charge.label, keeping);
        }
        Some(decision)
    }

    /// Runs one operation; nothing is written where it is refused or denied.
    pub(crate) fn apply(&mut self, request: &Request, keeping: Keeping) -> Result<Answer, StoreError> {
        self.ledger.forget_ids(request.at, keeping);
        let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
        let mut turn = Turn::new(&mut self.account, self.ledger.terms(keeping));
        let answer = loop {
            match turn.run(&request.operation, asked) {
                Ok(answer) => break Ok(answer),
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = self.ledger.answer(&need, keeping);
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
        self.write(writes, request.at, keeping);
        self.keep(&request.plan, request.at);
        answer
    }

    fn write(&mut self, writes: Writes, at: Instant, keeping: Keeping) {
        if let Some(removal) = &writes.removal {
            self.ledger.remove(removal);
        }
        for entry in writes.entries {
            self.ledger.add(entry, at, keeping);
        }
        match writes.plan {
            Some(PlanWrite::Set(plan, _)) => self.stored = Some(plan),
            Some(PlanWrite::Remove) => self.stored = None,
            None => {}
        }
    }

    /// Keeps a plan that may be used again without asking.
    fn keep(&mut self, view: &PlanView, at: Instant) {
        if at < view.stamp.fresh_until {
            self.given.clone_from(&view.plan);
            self.stamp = view.stamp;
        }
    }
}
