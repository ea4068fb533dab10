//! What was measured, and what was hoped for.

use std::fmt;

use serde_json::{Value, json};

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    /// What a crash costs, on the measured side.
    pub(crate) durability: &'static str,
    pub(crate) measured: Measured,
    /// What it is compared with, in the same unit.
    pub(crate) against: Option<(String, f64)>,
    /// Measured by what it is compared with: the median of the rounds' ratios.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<Goal>,
}

/// A number and its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// What the ratio is to be, or the measured value where there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// The process's memory: lost when it ends.
pub(crate) const IN_MEMORY: &str = "none: memory of the process";
/// Nothing is kept at all.
pub(crate) const PURE: &str = "none: computed";
/// As the store is by default.
pub(crate) const SQLITE: &str = "power loss: WAL, synchronous=FULL";

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    const fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }
}

impl Row {
    /// A measurement that is compared with nothing.
    pub(crate) fn new(
        group: &'static str,
        name: impl Into<String>,
        durability: &'static str,
        measured: Measured,
    ) -> Self {
        Self { group, name: name.into(), durability, measured, against: None, ratio: None, goal: None }
    }

    /// The same, compared.
    pub(crate) fn against(self, name: impl Into<String>, value: f64, ratio: f64) -> Self {
        Self { against: Some((name.into(), value)), ratio: Some(ratio), ..self }
    }

    /// The same with a goal for the ratio, or for the value where nothing is compared.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// What the goal is about.
    fn judged(&self) -> f64 {
        self.ratio.unwrap_or(self.measured.value)
    }

    /// Whether there is a goal that was not reached.
    pub(crate) fn is_missed(&self) -> bool {
        self.goal.is_some_and(|goal| !goal.is_met(self.judged()))
    }

    fn verdict(&self) -> String {
        match self.goal {
            None => String::new(),
            Some(goal) if goal.is_met(self.judged()) => "met".to_owned(),
            Some(goal) => format!("missed by {:.0} %", (self.judged() / goal.value() - 1.0).abs() * 100.0),
        }
    }

    /// One line for machines.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "group": self.group,
            "name": self.name,
            "durability": self.durability,
            "value": self.measured.value,
            "unit": self.measured.unit,
            "against": self.against.as_ref().map(|(name, value)| json!({"name": name, "value": value})),
            "ratio": self.ratio,
            "goal": self.goal.map(|goal| goal.to_string()),
            "met": self.goal.map(|_| !self.is_missed()),
        })
    }

    fn cells(&self) -> [String; 7] {
        let against = self.against.as_ref();
        [
            self.name.clone(),
            self.measured.to_string(),
            against.map(|(name, value)| format!("{} {name}", shown(*value))).unwrap_or_default(),
            self.ratio.map(shown).unwrap_or_default(),
            self.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            self.verdict(),
            self.durability.to_owned(),
        ]
    }
}

/// Rows as a table, a heading for each group.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["", "measured", "against", "ratio", "goal", "", "survives"].map(str::to_owned);
    let cells: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    let mut group = "";
    for (row, cells) in std::iter::once(None).chain(rows.iter().map(Some)).zip(&cells) {
        if let Some(row) = row.filter(|row| row.group != group) {
            group = row.group;
            text.push_str(&format!("\n{group}\n"));
        }
        let line: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        text.push_str(&format!("  {}\n", line.join("  ").trim_end()));
    }
    text
}

/// Three or four digits.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        one if one >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", shown(self.value), self.unit)
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(_) => write!(f, "<= {}", shown(self.value())),
            Self::AtLeast(_) => write!(f, ">= {}", shown(self.value())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: f64, goal: Goal) -> Row {
        let measured = Measured { value: 90.0, unit: "ns" };
        Row::new("speed", "a check", IN_MEMORY, measured).against("another", 150.0, ratio).goal(goal)
    }

    #[test]
    fn a_missed_goal_says_by_how_much() {
        assert!(!row(0.6, Goal::AtMost(0.6)).is_missed());
        let missed = row(0.75, Goal::AtMost(0.6));
        assert!(missed.is_missed());
        assert_eq!(missed.verdict(), "missed by 25 %");
        assert_eq!(row(6.0, Goal::AtLeast(8.0)).verdict(), "missed by 25 %");
        assert_eq!(missed.to_json()["met"], false);
    }

    #[test]
    fn a_goal_without_comparison_is_about_the_value() {
        let row =
            Row::new("memory", "idle", IN_MEMORY, Measured { value: 301.0, unit: "MB" }).goal(Goal::AtMost(300.0));
        assert!(row.is_missed());
    }

    #[test]
    fn every_row_of_the_table_names_its_durability() {
        let text = table(&[row(0.5, Goal::AtMost(0.6)), row(0.5, Goal::AtMost(0.6))]);
        assert_eq!(text.matches(IN_MEMORY).count(), 2, "{text}");
        assert_eq!(text.matches("speed").count(), 1, "{text}");
    }
}
