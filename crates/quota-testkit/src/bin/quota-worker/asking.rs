//! Operations that a process is told, one after the other.

use quota_core::{ClientId, Credits, Instant, OperationId, Window};
use quota_service::{AnyStore, Charge, QuotaService, ServiceError};

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

/// A decision in a word, or how many entries were concerned.
async fn answer(service: &QuotaService<AnyStore>, client: &ClientId, line: &str) -> Result<String, Failure> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(match words[..] {
        ["charge", id] => {
            let charge = Charge::new(Credits::ONE).with_id(OperationId::new(id)?);
            said_by(&service.charge_with(client, charge).await).to_owned()
        }
        ["settle", id] => said_by(&service.settle(client, &OperationId::new(id)?, Credits::ONE).await).to_owned(),
        ["void", id] => counted(service.void(client, &OperationId::new(id)?).await.map(u64::from)),
        ["delete", from, to] => {
            let range = Window::new(from.parse::<Instant>()?, to.parse::<Instant>()?)?;
            counted(service.delete_usage(client, range).await)
        }
        ["prune", before] => counted(service.prune(before.parse()?).await.map(|pruned| pruned.entries)),
        _ => return Err(format!("what is {line:?}?").into()),
    })
}

fn counted(answer: Result<u64, ServiceError>) -> String {
    answer.map_or_else(|error| failure(&error).to_owned(), |count| count.to_string())
}
