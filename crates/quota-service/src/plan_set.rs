//! Plans that are set while requests of their clients wait.

use std::sync::Arc;

use quota_core::{ClientId, Operation, Plan, PlanCheck, PlanVersion};

use crate::store::Request;

/// A plan that a batch sets.
pub(crate) struct PlanSet {
    pub(crate) place: usize,
    pub(crate) client: ClientId,
    plan: Arc<Plan>,
    version: PlanVersion,
}

/// The plans that a batch sets, each at its place.
pub(crate) fn plans_of(batch: &[Request]) -> Vec<PlanSet> {
    let set = |(place, request): (usize, &Request)| match &request.operation {
        Operation::SetPlan { plan, version } => {
            Some(PlanSet { place, client: request.client.clone(), plan: Arc::clone(plan), version: *version })
        }
        _ => None,
    };
    batch.iter().enumerate().filter_map(set).collect()
}

/// Gives the plans that the batch before has set to the requests that waited for it: they were made with the plans
/// before, and would be told so and come back, behind the next change.
pub(crate) fn bring_up_to_date(batch: &mut [Request], just_set: &[PlanSet]) {
    for PlanSet { client, plan, version, .. } in just_set {
        for request in batch.iter_mut().filter(|request| request.client == *client) {
            if let PlanCheck::Version(known) = &mut request.plan.check {
                *known = Some(*version);
                request.plan.plan = Some(Arc::clone(plan));
            }
        }
    }
}
