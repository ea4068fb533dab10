//! Usage read back by day.

use std::time::{Duration, Instant};

use anyhow::bail;
use quota_core::{ClientId, Credits, GroupBy, OperationId, PastEntry, QUARTER_MILLIS, Tz, Window};
use quota_service::{DailyQuery, QuotaService, UsageStore};

use crate::effort::Effort;
use crate::number::percentile;
use crate::row::{Goal, Row};

/// Quarters of an hour in a year.
pub(crate) const YEAR: i64 = 35_040;

/// Quarters that few and many entries are spread over.
const SPREAD: i64 = 8_000;

/// Entries filled in at once.
const BATCH: usize = 1_000;

/// Clients whose usage is read.
pub(crate) struct Readers<S> {
    service: QuotaService<S>,
    few: ClientId,
    many: ClientId,
    year: ClientId,
}

impl<S: UsageStore> Readers<S> {
    /// Fills in `few` and `many` entries over the same 8,000 quarters, and one entry in each quarter of a year.
    pub(crate) async fn new(service: QuotaService<S>, few: i64, many: i64) -> anyhow::Result<Self> {
        let run = fastrand::u32(..);
        let client = |name: &str| ClientId::new(format!("{run:08x}-{name}"));
        let readers = Self { service, few: client("few")?, many: client("many")?, year: client("year")? };
        readers.fill(&readers.few, few, SPREAD).await?;
        readers.fill(&readers.many, many, SPREAD).await?;
        readers.fill(&readers.year, YEAR, YEAR).await?;
        Ok(readers)
    }

    async fn fill(&self, client: &ClientId, entries: i64, quarters: i64) -> anyhow::Result<()> {
        let mut batch = Vec::new();
        for number in 0..entries {
            let millis = first()?.millis() + number % quarters * QUARTER_MILLIS + number / quarters;
            let id = OperationId::new(format!("{number}"))?;
            let at = quota_core::Instant::from_millis(millis)?;
            batch.push(PastEntry { id, at, credits: Credits::new(1)?, label: None });
            if batch.len() == BATCH || number + 1 == entries {
                let added = self.service.backfill(client, std::mem::take(&mut batch)).await?;
                if !added.conflicts.is_empty() {
                    bail!("an id was there already");
                }
            }
        }
        Ok(())
    }

    /// How long it takes to read the days of few entries, of many and of a year, as medians in microseconds.
    pub(crate) async fn times(&self, slice: Duration) -> anyhow::Result<[f64; 3]> {
        let mut times = [const { Vec::new() }; 3];
        let began = Instant::now();
        while began.elapsed() < slice * 3 {
            for (client, times) in [&self.few, &self.many, &self.year].into_iter().zip(&mut times) {
                let asked = Instant::now();
                let query = DailyQuery { range: Window::ALL, zone: Tz::Europe__Berlin, by: GroupBy::Day };
                if self.service.daily_usage(client, query).await?.len() < 80 {
                    bail!("{client} lacks days");
                }
                times.push(asked.elapsed());
            }
        }
        Ok(times.map(|times| percentile(&times, 50)))
    }

    pub(crate) async fn shutdown(&self) {
        self.service.shutdown().await;
    }
}

fn first() -> anyhow::Result<quota_core::Instant> {
    Ok("2023-01-01T00:00:00Z".parse()?)
}

/// How the times of few, many and a year compare, the last with a bare scan.
pub(crate) fn rows(
    row: impl Fn(&str, f64) -> Row,
    effort: &Effort,
    [few, many, year]: [f64; 3],
    scan: Duration,
) -> Vec<Row> {
    let scan = scan.as_secs_f64() * 1e6;
    let name = format!("days of {} entries in 8,000 quarters", effort.many_entries);
    vec![
        row(&name, many).against("of 10,000 entries", few, many / few).goal(Goal::AtMost(1.5)),
        row("days of a year, 35,040 quarters", year)
            .against("one scan by index of as many rows", scan, year / scan)
            .goal(Goal::AtMost(3.0)),
    ]
}
