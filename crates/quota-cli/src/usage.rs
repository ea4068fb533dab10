//! `quota usage`: what a client used, day by day.

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use quota_core::{ClientId, Credits, DayUsage, GroupBy, NaiveDate, Tz, Window};
use quota_service::{Clock, DailyQuery, SystemClock};

use crate::{chart, moment, output, shown, target};

/// How many days are shown by default.
const DAYS: usize = 30;

/// How many columns the longest bar takes.
const BAR: u16 = 40;

#[derive(Debug, Args)]
#[command(after_help = target::OPENING)]
pub(crate) struct Usage {
    /// Whose usage.
    #[arg(value_parser = target::read_client)]
    client: ClientId,
    /// The store: memory:, sqlite:PATH, postgres://…, mysql://…, redis://…, valkey://…, mongodb://….
    #[arg(long, value_name = "URL")]
    store: String,
    /// The first day; 30 days before the end by default.
    #[arg(long, value_name = "DATE", value_parser = moment::read_day)]
    from: Option<NaiveDate>,
    /// The day after the last; tomorrow by default.
    #[arg(long, value_name = "DATE", value_parser = moment::read_day)]
    to: Option<NaiveDate>,
    /// Whose calendar cuts the days.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::read_zone)]
    tz: Tz,
    /// Tell labels apart.
    #[arg(long)]
    by_label: bool,
}

impl Usage {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        let range = self.range()?;
        let service = target::existing_service(&self.store).await?;
        let by = if self.by_label { GroupBy::DayAndLabel } else { GroupBy::Day };
        let days = service.daily_usage(&self.client, DailyQuery { range, zone: self.tz, by }).await?;
        // From the same reading, so that it is the days' sum whatever is charged meanwhile. The lifetime sum bounds it.
        let total = days.iter().fold(Credits::ZERO, |total, day| total.saturating_add(day.credits));
        service.shutdown().await;
        if json {
            output::say_json(&serde_json::json!({ "days": days, "total": total }))
        } else {
            output::say(self.table(&days, total))
        }
    }

    fn range(&self) -> anyhow::Result<Window> {
        let to = match self.to {
            Some(day) => day,
            None => moment::day_of(SystemClock.now(), self.tz)?.succ_opt().unwrap_or(NaiveDate::MAX),
        };
        let mut earlier = std::iter::successors(Some(to), NaiveDate::pred_opt);
        // Nothing was used before: a day that nobody typed is no reason to refuse.
        let first = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or(NaiveDate::MIN);
        let from = self.from.unwrap_or_else(|| earlier.nth(DAYS).unwrap_or(first).max(first));
        moment::range(&from.to_string(), &to.to_string(), self.tz)
    }

    fn table(&self, days: &[DayUsage], total: Credits) -> Table {
        let most = days.iter().map(|day| day.credits).max().unwrap_or_default();
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        let label = |day: &DayUsage| {
            let label = day.label.as_ref().map_or("-", |label| label.as_str());
            self.by_label.then(|| shown::escape(label).into_owned())
        };
        let row = |day: String, label: Option<String>, rest: [String; 3]| {
            [Some(day), label].into_iter().flatten().chain(rest)
        };
        let heading = ["credits", "entries", ""].map(str::to_owned);
        table.set_header(row("day".to_owned(), self.by_label.then(|| "label".to_owned()), heading));
        for day in days {
            let rest = [day.credits.to_string(), day.entries.to_string(), chart::bar(day.credits, most, BAR)];
            table.add_row(row(day.day.to_string(), label(day), rest));
        }
        let entries: u64 = days.iter().map(|day| day.entries).sum();
        let rest = [total.to_string(), entries.to_string(), String::new()];
        table.add_row(row("total".to_owned(), self.by_label.then(String::new), rest));
        let first = if self.by_label { 2 } else { 1 };
        for column in [first, first + 1] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}
