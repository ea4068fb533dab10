//! Which columns a table on a server has, and of what kinds.

use anyhow::bail;
use diesel::QueryableByName;
use diesel::sql_types::Text;

/// A column, as the server's catalogue tells it.
#[derive(QueryableByName)]
pub(super) struct Column {
    #[diesel(sql_type = Text)]
    pub(super) name: String,
    #[diesel(sql_type = Text)]
    pub(super) kind: String,
}

/// The columns of the predecessor's table.
pub(super) const NAMES: [&str; 4] = ["id", "client_id", "timestamp", "credits"];

/// What an engine's types hold.
#[derive(Clone, Copy)]
pub(super) struct Kinds {
    pub(super) whole: &'static [&'static str],
    /// With a fraction, and every digit that was written.
    pub(super) decimal: &'static [&'static str],
    pub(super) double: &'static [&'static str],
    pub(super) text: &'static [&'static str],
}

/// How columns of numbers are read.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// Timestamps are whole numbers only, and so need no look at each value.
    pub(super) whole_seconds: bool,
    /// Credits are decimals, which are read as they are written: a double would lose digits.
    pub(super) decimal_credits: bool,
}

impl Kinds {
    /// Whether a table can be read without guessing: a text is never taken for a number, nor a number with a fraction for
    /// a row's id.
    ///
    /// # Errors
    /// Which columns lack, or which is of a kind that is not read.
    pub(super) fn check(&self, table: &str, columns: &[Column]) -> anyhow::Result<Numbers> {
        lacking(table, columns.iter().map(|column| column.name.as_str()))?;
        let kind = |name: &str| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        let is = |name: &str, kinds: &[&[&str]]| {
            kind(name).is_some_and(|column| kinds.iter().any(|kinds| kinds.contains(&column.kind.as_str())))
        };
        for (name, kinds, expected) in [
            ("id", &[self.whole][..], "whole numbers"),
            ("client_id", &[self.text, self.whole], "texts or whole numbers"),
            ("timestamp", &[self.whole, self.decimal, self.double], "numbers"),
            ("credits", &[self.whole, self.decimal, self.double], "numbers"),
        ] {
            if !is(name, kinds) {
                let found = kind(name).map_or("absent", |column| column.kind.as_str());
                bail!(
                    "the column {name} of the source's table {table} is of the type {found}, and {expected} are read there: name \
                     the predecessor's own with --table, or a view that has them so"
                );
            }
        }
        let (whole_seconds, decimal_credits) = (is("timestamp", &[self.whole]), is("credits", &[self.decimal]));
        Ok(Numbers { whole_seconds, decimal_credits })
    }
}

/// # Errors
/// Which of the predecessor's columns are not among those.
pub(super) fn lacking<'a>(table: &str, found: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let found: Vec<&str> = found.collect();
    let is_absent = |name: &&str| !found.iter().any(|column| column.eq_ignore_ascii_case(name));
    let absent: Vec<&str> = NAMES.into_iter().filter(is_absent).collect();
    if absent.is_empty() {
        return Ok(());
    }
    bail!("the source's table {table} lacks {}: it is not the predecessor's, name that with --table", absent.join(", "))
}
