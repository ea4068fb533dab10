//! `quota windows`: when a quota renews.

use clap::Args;
use comfy_table::{Table, presets};
use quota_core::{Anchor, Instant, Lattice, Period, Tz, Unit};
use quota_service::{Clock, SystemClock};

use crate::{moment, output};

#[derive(Debug, Args)]
pub(crate) struct Windows {
    /// SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR.
    #[arg(long, value_name = "UNIT")]
    period: Unit,
    /// How many units a window lasts.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    every: u32,
    /// What aligns the windows: a day in the zone, or an instant.
    #[arg(long, value_name = "DATE or INSTANT")]
    anchor: String,
    /// The zone of days, weeks, months and years.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::read_zone)]
    tz: Tz,
    /// How many windows are told.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// The moment whose window is the first; now by default.
    #[arg(long, value_name = "DATE or INSTANT")]
    from: Option<String>,
}

impl Windows {
    pub(crate) fn run(self, json: bool) -> anyhow::Result<()> {
        let anchor = Anchor::new(moment::midnight(&self.anchor, self.tz)?, self.tz);
        let lattice = Lattice::new(Period::new(self.period, self.every)?, anchor);
        let from: Instant = match &self.from {
            Some(from) => moment::moment(from, self.tz)?,
            None => SystemClock.now(),
        };
        let windows = lattice.windows_from(from, self.count.into())?;
        if json {
            let window = |window: &quota_core::Window| serde_json::json!({ "starts_at": window.start(), "resets_at": window.end() });
            let windows: Vec<_> = windows.iter().map(window).collect();
            return output::say_json(&serde_json::json!({ "windows": windows }));
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(["starts", "renews"]);
        for window in windows {
            table.add_row([format!("{:#}", window.start()), format!("{:#}", window.end())]);
        }
        output::say(table)
    }
}
