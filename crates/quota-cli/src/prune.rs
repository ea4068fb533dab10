//! `quota prune`: old entries folded into sums.

use clap::Args;
use quota_core::Tz;

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
        let pruned = service.prune(before).await?;
        service.shutdown().await;
        if json {
            output::say_json(&serde_json::json!({ "entries": pruned.entries, "ids": pruned.ids }))
        } else {
            output::say(format!("{} entries folded into sums, {} ids forgotten", pruned.entries, pruned.ids))
        }
    }
}
