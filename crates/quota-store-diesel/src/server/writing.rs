//! What a batch writes on a server.

use quota_core::{ClientId, Labels, PlanWrite, Writes};

use crate::changes::{Changes, NewAccount};
use crate::rows::Broken;

/// What a batch writes.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) changes: Changes,
    /// Accounts of clients that had none: another process may be making the same.
    pub(crate) made: Vec<NewAccount>,
}

impl Writing {
    pub(crate) fn is_empty(&self) -> bool {
        self.made.is_empty() && self.changes.is_empty()
    }

    /// Takes what one client's turn says, but for its account and what is taken out.
    pub(crate) fn gather(&mut self, client: &ClientId, labels: &mut Labels, writes: Writes) {
        for entry in &writes.entries {
            self.changes.add_entry(client, entry, labels);
        }
        if let Some(plan) = writes.plan {
            self.changes.plans.push((client.clone(), plan));
        }
    }
}

/// Plans as they are written.
#[derive(Debug, Default)]
pub(crate) struct PlanRows<'a> {
    pub(crate) set: Vec<PlanRow<'a>>,
    /// The clients whose plan goes.
    pub(crate) removed: Vec<&'a str>,
}

/// A row of the plans.
#[derive(Debug)]
pub(crate) struct PlanRow<'a> {
    pub(crate) client: &'a str,
    pub(crate) version: i64,
    pub(crate) quotas: String,
}

impl<'a> PlanRows<'a> {
    pub(crate) fn new(plans: &'a [(ClientId, PlanWrite)]) -> Result<Self, Broken> {
        let mut rows = Self::default();
        for (client, write) in plans {
            match write {
                PlanWrite::Remove => rows.removed.push(client.as_str()),
                PlanWrite::Set(plan, version) => {
                    let quotas = serde_json::to_string(plan.as_ref())
                        .map_err(|error| Broken::malformed(format!("its plan has no JSON form: {error}")))?;
                    // The same 64 bits: columns are signed.
                    let version = version.number().get().cast_signed();
                    rows.set.push(PlanRow { client: client.as_str(), version, quotas });
                }
            }
        }
        Ok(rows)
    }
}
