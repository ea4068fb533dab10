//! Operations that a process is told, one after the other.

use quota_core::{ClientId, Credits, Decision, Instant, OperationId, Plan, Ttl, Unit, Window};
use quota_service::{AnyStore, Charge, Holding, QuotaService, ServiceError};
use quota_testkit::{past_entry, quota_from};

use crate::{Failure, Ground, failure, said_by, say};

pub(crate) async fn ask(ground: Ground) -> Result<(), Failure> {
    let client = ground.client(0)?;
    say("ready\n")?;
    // Reading blocks this thread alone: the runtime has others.
    for line in std::io::stdin().lines() {
        let answer = answer(&ground.service, &client, &line?).await?;
        say(&format!("{answer}\n"))?;
    }
    ground.service.shutdown().await;
    Ok(())
}

/// A decision in a word, or how many entries were concerned; `done` for a plan.
async fn answer(service: &QuotaService<AnyStore>, client: &ClientId, line: &str) -> Result<String, Failure> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(match words[..] {
        ["charge", id] => said_by(&service.charge_with(client, one(id)?).await).to_owned(),
        ["record", id] => said_by(&service.record(client, one(id)?).await).to_owned(),
        ["hold", id] => said_by(&hold(service, client, one(id)?).await).to_owned(),
        ["settle", id] => said_by(&service.settle(client, &OperationId::new(id)?, Credits::ONE).await).to_owned(),
        ["release", id] => said_by(&service.release(client, &OperationId::new(id)?).await).to_owned(),
        ["void", id] => counted(service.void(client, &OperationId::new(id)?).await.map(u64::from)),
        ["backfill", at, ref ids @ ..] => {
            let at = at.parse::<Instant>()?;
            let past = ids.iter().map(|id| past_entry(id, at, Credits::ONE)).collect();
            counted(service.backfill(client, past).await.map(|done| done.added))
        }
        ["delete", from, to] => {
            let range = Window::new(from.parse::<Instant>()?, to.parse::<Instant>()?)?;
            counted(service.delete_usage(client, range).await)
        }
        ["prune", before] => counted(service.prune(before.parse()?).await.map(|pruned| pruned.entries)),
        ["plan", limit] => {
            let plan = Plan::new([quota_from(Unit::Year, 50, limit, "2000-01-01T00:00:00Z", "UTC")])?;
            let set = service.set_plan(client, plan).await;
            set.map_or_else(|error| failure(&error), |_| "done").to_owned()
        }
        _ => return Err(format!("what is {line:?}?").into()),
    })
}

fn one(id: &str) -> Result<Charge, Failure> {
    Ok(Charge::new(Credits::ONE).with_id(OperationId::new(id)?))
}

/// A hold that nobody guards: whoever has its id ends it, or its ttl.
async fn hold(service: &QuotaService<AnyStore>, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
    Ok(match service.hold(client, charge, Ttl::DEFAULT).await? {
        Holding::Denied(denied) => Decision::Denied(denied),
        Holding::Held(guard) | Holding::Unchecked(guard) => {
            let decision = guard.decision().clone();
            let _left_to_its_ttl = guard.detach();
            decision
        }
    })
}

fn counted(answer: Result<u64, ServiceError>) -> String {
    answer.map_or_else(|error| failure(&error).to_owned(), |count| count.to_string())
}
