//! `quota delete`: a client's usage taken out of the ledger.

use std::io::IsTerminal;

use anyhow::bail;
use clap::Args;
use quota_core::{ClientId, Tz, Window};
use quota_service::ServiceError;

use crate::{moment, output, shown, target};

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Whose usage.
    #[arg(value_parser = target::read_client)]
    client: ClientId,
    /// The store: memory:, sqlite:PATH, postgres://…, mysql://…, redis://…, valkey://…, mongodb://….
    #[arg(long, value_name = "URL")]
    store: String,
    /// The first day in the zone, or the first instant.
    #[arg(long, value_name = "DATE or INSTANT", required_unless_present = "all", requires = "to")]
    from: Option<String>,
    /// The day after the last, or the first instant that stays.
    #[arg(long, value_name = "DATE or INSTANT", required_unless_present = "all", requires = "from")]
    to: Option<String>,
    /// Everything, whenever it was used.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    all: bool,
    /// The zone of the days.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::read_zone)]
    tz: Tz,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        let range = match (&self.from, &self.to) {
            (Some(from), Some(to)) => moment::range(from, to, self.tz)?,
            _ => Window::ALL,
        };
        if !self.yes {
            // Nobody is asked what there is nothing of.
            drop(target::existing(&self.store).await?);
            self.confirm(range)?;
        }
        let service = target::existing_service(&self.store).await?;
        let deleted = service.delete_usage(&self.client, range).await.map_err(cut_off)?;
        service.shutdown().await;
        if json {
            output::say_json(&serde_json::json!({ "deleted": deleted }))
        } else {
            output::say(format!("{deleted} entries of {} deleted", shown::escape(self.client.as_str())))
        }
    }

    /// Has the client's id typed again.
    fn confirm(&self, range: Window) -> anyhow::Result<()> {
        if !std::io::stdin().is_terminal() {
            bail!("deleting asks first: call it with --yes where nobody can answer");
        }
        let name = shown::escape(self.client.as_str());
        let question = "and its quotas follow. Type the client's id to go on: ";
        output::ask(format!("This deletes what {name} used in {range}, {question}"))?;
        let mut typed = String::new();
        std::io::stdin().read_line(&mut typed)?;
        match typed.trim_end_matches(['\r', '\n']) {
            typed if typed == self.client.as_str() => Ok(()),
            typed if typed == name => bail!(
                "that is its id as it is shown, and not the id itself: nothing was deleted. Paste the id, or call it with \
                 --yes"
            ),
            _ => bail!("that is not its id: nothing was deleted"),
        }
    }
}

/// What to do where nobody knows whether it was done.
fn cut_off(error: ServiceError) -> anyhow::Error {
    let is_open = matches!(error, ServiceError::Unknown { .. });
    let error = anyhow::Error::new(error);
    if !is_open {
        return error;
    }
    error.context("the deletion was cut off; call it again, for what is deleted is deleted once")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::causes;

    #[test]
    fn a_deletion_that_is_not_answered_says_what_to_do() {
        let told = causes(&cut_off(ServiceError::Unknown { id: None, source: None }));
        assert_eq!(
            told,
            "the deletion was cut off; call it again, for what is deleted is deleted once: it is not known whether the \
             operation was done"
        );
        assert_eq!(causes(&cut_off(ServiceError::ShutDown)), "nothing was done: the service is shut down");
    }
}
