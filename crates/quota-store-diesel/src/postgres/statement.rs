//! Statements on arrays: one text for a batch of any size.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text};
use diesel::{QueryResult, result};
use std::marker::PhantomData;

/// The values of a parameter that is an array.
#[derive(Clone, Debug)]
pub(crate) enum Column<'a> {
    Texts(Vec<&'a str>),
    Ints(Vec<i64>),
}

/// The text of a statement on arrays, written with `$1` and so on, cut before each of them.
#[derive(Debug)]
pub(crate) struct ArraySql {
    pieces: Box<[Box<str>]>,
}

/// A statement with its values, which answers rows of the SQL types `Row`. As [`crate::statement::Statement`], it is
/// kept prepared under its text.
#[derive(Debug)]
pub(crate) struct ArrayStatement<'a, Row> {
    sql: &'a ArraySql,
    columns: &'a [Column<'a>],
    row: PhantomData<fn() -> Row>,
}

impl ArraySql {
    /// Takes a text with `?` for each parameter (and nowhere else).
    pub(crate) fn new(text: &str) -> Self {
        Self { pieces: text.split('?').map(Box::from).collect() }
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (place, piece) in self.pieces.iter().enumerate() {
            if place > 0 {
                text.push_str(&format!("${place}"));
            }
            text.push_str(piece);
        }
        text
    }

    /// The statement with these values, one array for each parameter.
    pub(crate) fn with<'a, Row>(&'a self, columns: &'a [Column<'a>]) -> ArrayStatement<'a, Row> {
        debug_assert_eq!(self.pieces.len(), columns.len() + 1, "an array for each parameter of {self:?}");
        ArrayStatement { sql: self, columns, row: PhantomData }
    }
}

impl<Row> QueryFragment<Pg> for ArrayStatement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut columns = self.columns.iter();
        for (place, piece) in self.sql.pieces.iter().enumerate() {
            if place > 0 {
                match columns.next() {
                    Some(Column::Texts(texts)) => out.push_bind_param::<Array<Text>, Vec<&str>>(texts)?,
                    Some(Column::Ints(numbers)) => out.push_bind_param::<Array<BigInt>, Vec<i64>>(numbers)?,
                    None => return Err(result::Error::QueryBuilderError("a parameter lacks its values".into())),
                }
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<Row> QueryId for ArrayStatement<'_, Row> {
    type QueryId = ();
    /// The text is only known at run time; the cache goes by it.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for ArrayStatement<'_, Row> {
    type SqlType = Row;
}
