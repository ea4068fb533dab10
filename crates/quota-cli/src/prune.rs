//! `quota prune`: old entries folded into sums.

use clap::Args;
use quota_core::Tz;
use quota_service::{ServiceError, StoreError};

use crate::{moment, output, target};

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The store: memory:, sqlite:PATH, postgres://…, mysql://…, redis://…, valkey://…, mongodb://….
    #[arg(long, value_name = "URL")]
    store: String,
    /// Entries before this are folded into the sums of their quarters of an hour; those of the last 24 hours stay.
    #[arg(long, value_name = "DATE or INSTANT")]
    before: String,
    /// The zone of the day.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::read_zone)]
    tz: Tz,
}

impl Prune {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        let before = moment::moment(&self.before, self.tz)?;
        let service = target::existing_service(&self.store).await?;
        let pruned = service.prune(before).await.map_err(cut_off)?;
        service.shutdown().await;
        if json {
            output::say_json(&serde_json::json!({ "entries": pruned.entries, "ids": pruned.ids }))
        } else {
            output::say(format!("{} entries folded into sums, {} ids forgotten", pruned.entries, pruned.ids))
        }
    }
}

/// What to do where the store did not answer; what it cannot read is told when all else was pruned.
fn cut_off(error: ServiceError) -> anyhow::Error {
    if let ServiceError::NotDone { source: source @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. }) } =
        error
    {
        let others = "all clients were pruned but those that cannot be read; of the first of them";
        return anyhow::Error::new(source).context(others);
    }
    let goes_on = error.is_store_failure();
    let error = anyhow::Error::new(error);
    if !goes_on {
        return error;
    }
    error.context("the pruning was cut off; what was folded stays so, and the same command goes on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::causes;

    #[test]
    fn a_pruning_that_is_not_answered_says_what_to_do() {
        let told = causes(&cut_off(ServiceError::DeadlineQueued));
        assert!(told.starts_with("the pruning was cut off; what was folded stays so, and the same command goes on: "));
        assert_eq!(causes(&cut_off(ServiceError::ShutDown)), "nothing was done: the service is shut down");
        let damaged = StoreError::Corrupt { message: "rubbish".to_owned(), source: None }.of_client("acme");
        let told = causes(&cut_off(ServiceError::NotDone { source: damaged }));
        assert!(told.starts_with("all clients were pruned but those") && told.ends_with("acme: rubbish"), "{told}");
    }
}
