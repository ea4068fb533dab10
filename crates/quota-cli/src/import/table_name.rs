//! Names of tables.

use anyhow::bail;

/// A table, as its server spells it.
#[derive(Clone, Debug)]
pub(super) struct TableName {
    /// In statements.
    pub(super) quoted: String,
    /// In ids: bare in the database's usual schema, else behind its schema.
    pub(super) shown: String,
}

/// What a name that was typed may mean: a table of this whole name, and one in a schema before the dot.
///
/// # Errors
/// It is no name.
pub(super) fn meanings(typed: &str) -> anyhow::Result<Vec<(Option<&str>, &str)>> {
    if typed.is_empty() || typed.len() > 256 || typed.chars().any(char::is_control) {
        bail!("{typed:?} is no table's name");
    }
    let mut meanings = vec![(None, typed)];
    meanings.extend(typed.split_once('.').map(|(schema, table)| (Some(schema), table)));
    Ok(meanings)
}

/// A name as an identifier.
pub(super) fn quoted(name: &str, quote: char) -> String {
    let (one, two) = (String::from(quote), String::from_iter([quote, quote]));
    format!("{quote}{}{quote}", name.replace(&one, &two))
}

impl TableName {
    pub(super) fn new(schema: &str, table: &str, quote: char, usual: &str) -> Self {
        let shown = if schema == usual { table.to_owned() } else { format!("{schema}.{table}") };
        Self { quoted: format!("{}.{}", quoted(schema, quote), quoted(table, quote)), shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_identifier_whatever_it_holds() {
        assert_eq!(quoted("my \"usage", '"'), "\"my \"\"usage\"");
        assert_eq!(quoted("a`; DROP", '`'), "`a``; DROP`");
        assert_eq!(meanings("a.b").unwrap(), [(None, "a.b"), (Some("a"), "b")]);
        assert!(meanings("").is_err() && meanings("a\nb").is_err());
        assert_eq!(TableName::new("public", "t", '"', "public").shown, "t");
        assert_eq!(TableName::new("old", "t", '"', "public").shown, "old.t");
    }
}
