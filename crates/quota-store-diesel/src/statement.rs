//! Statements whose text is made once and prepared once.

use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Text};
use diesel::{QueryResult, RunQueryDsl};

/// The text of a statement, cut at its parameters: the engine writes `?` or `$1` in between.
#[derive(Debug)]
pub(crate) struct Sql {
    pieces: Box<[Box<str>]>,
}

/// A value for a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bind<'a> {
    Text(&'a str),
    Int(i64),
}

/// A statement with its values, which answers rows of the SQL types `Row`.
///
/// Not [`diesel::sql_query`], which is prepared anew each time: Diesel keeps this one prepared under its text. The
/// texts are few and fixed for a connection, so its cache stays small.
#[derive(Debug)]
pub(crate) struct Statement<'a, Row> {
    sql: &'a Sql,
    binds: &'a [Bind<'a>],
    row: PhantomData<fn() -> Row>,
}

impl Sql {
    /// Takes a text with `?` for each parameter (and nowhere else).
    pub(crate) fn new(text: &str) -> Self {
        Self { pieces: text.split('?').map(Box::from).collect() }
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.pieces.join("?")
    }

    /// The statement with these values, one for each parameter.
    pub(crate) fn with<'a, Row>(&'a self, binds: &'a [Bind<'a>]) -> Statement<'a, Row> {
        debug_assert_eq!(self.pieces.len(), binds.len() + 1, "a value for each parameter of {self:?}");
        Statement { sql: self, binds, row: PhantomData }
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Bind<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<DB, Row> QueryFragment<DB> for Statement<'_, Row>
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt>,
    str: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for (place, piece) in self.sql.pieces.iter().enumerate() {
            if place > 0 {
                match binds.next() {
                    Some(Bind::Text(text)) => out.push_bind_param::<Text, str>(text)?,
                    Some(Bind::Int(number)) => out.push_bind_param::<BigInt, i64>(number)?,
                    None => return Err(diesel::result::Error::QueryBuilderError("a parameter lacks its value".into())),
                }
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();
    /// The text is only known at run time; the cache goes by it.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row, Conn> RunQueryDsl<Conn> for Statement<'_, Row> {}
