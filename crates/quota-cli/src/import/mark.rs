//! The mark that an import leaves in a store that forgets ids.

use std::time::Duration;

use anyhow::Context;
use quota_core::{ClientId, Credits, Cut, GroupBy, Instant, Label, OperationId, PastEntry, Tz, Window};
use quota_service::{AnyStore, Clock, DailyQuery, QuotaService, SystemClock, UsageStore};
use thiserror::Error;

/// How old a mark may be while every row that came after it is still told apart: an hour less than ids are remembered,
/// for quarters of an hour are all that is kept of a mark, and a batch may take a while.
const TOLD_APART: Duration = Duration::from_secs(23 * 3_600);

/// What a mark's entry is for, so that no other usage is taken for one.
const LABEL: &str = "import-frappy";

/// An import is repeated when the store has forgotten what it brought.
#[derive(Debug, Error)]
#[error(
    "an import of this source began 23 hours ago or earlier (`quota usage {client} --from 1970-01-01` says when), and the store has forgotten which \
     rows came with it: they would count twice. Delete what they added and this mark with `quota delete`, or import them \
     again all the same with --again; a store that was made with ?detail=entries forgets none"
)]
pub(super) struct Repeated {
    client: String,
}

/// An entry of nothing, of a client that stands for a source, at the time when the first import of it began. Sums outlive ids:
/// with it an import that is repeated too late is known for one.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    client: ClientId,
    label: Label,
}

impl Mark {
    /// # Errors
    /// The source's name is too long.
    pub(super) fn of(source: &str) -> anyhow::Result<Self> {
        let client = ClientId::new(format!("frappy:{source}"));
        let client = client.context("the source's name is no part of an id: give it another with --source-name")?;
        Ok(Self { client, label: Label::new(LABEL)? })
    }

    /// Marks that an import begins. For as long as rows are told apart the first one's mark stays alone.
    pub(super) async fn leave(&self, store: &QuotaService<AnyStore>) -> anyhow::Result<()> {
        let (id, at) = (OperationId::new("began")?, present(store.store()).await?);
        let entry = PastEntry { id, at, credits: Credits::ZERO, label: Some(self.label.clone()) };
        store.backfill(&self.client, vec![entry]).await.context("the import cannot be marked in the store")?;
        Ok(())
    }

    /// # Errors
    /// [`Repeated`]: the store may have forgotten some of the rows that came after the mark.
    pub(super) async fn check(&self, store: &QuotaService<AnyStore>) -> anyhow::Result<()> {
        let since = present(store.store()).await?.saturating_sub(TOLD_APART);
        let range = Window::new(Instant::MIN, Instant::from_millis(Cut::floor(since.millis()))?)?;
        let days = store.daily_usage(&self.client, DailyQuery { range, zone: Tz::UTC, by: GroupBy::DayAndLabel }).await;
        let days = days.context("it cannot be seen whether the store has rows of this source")?;
        if days.iter().any(|day| day.label.as_ref() == Some(&self.label)) {
            return Err(Repeated { client: self.client.to_string() }.into());
        }
        Ok(())
    }
}

/// The present of the store's server, so that a clock that is wrong here refuses nothing.
pub(super) async fn present(store: &AnyStore) -> anyhow::Result<Instant> {
    Ok(store.server_time().await?.unwrap_or_else(|| SystemClock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with a mark that is so many minutes old.
    async fn marked(minutes: u64, label: &str) -> QuotaService<AnyStore> {
        let store = QuotaService::new(quota_stores::connect("memory:").await.unwrap());
        let (id, label) = (OperationId::new("began").unwrap(), Some(Label::new(label).unwrap()));
        let at = SystemClock.now().saturating_sub(Duration::from_secs(minutes * 60));
        let entry = PastEntry { id, at, credits: Credits::ZERO, label };
        store.backfill(&ClientId::new("frappy:s").unwrap(), vec![entry]).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_mark_is_old_before_anything_after_it_is_forgotten() {
        let mark = Mark::of("s").unwrap();
        for (minutes, is_old) in [(0, false), (22 * 60 + 59, false), (23 * 60 + 15, true), (24 * 60 * 400, true)] {
            let store = marked(minutes, LABEL).await;
            assert_eq!(mark.check(&store).await.is_err(), is_old, "{minutes} minutes");
            mark.leave(&store).await.unwrap();
            assert_eq!(mark.check(&store).await.is_err(), is_old, "the first one counts, of {minutes} minutes ago");
        }
        let other = marked(24 * 60 * 400, "other").await;
        assert!(mark.check(&other).await.is_ok(), "usage of a client of that name");
        assert!(Mark::of(&"s".repeat(300)).unwrap_err().to_string().contains("--source-name"));
    }
}
