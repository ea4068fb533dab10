//! How far a table was read.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Double, Nullable, Text};
use thiserror::Error;

use crate::import::amount::Amount;
use crate::import::row::{Row, Skip};
use crate::import::source::PAGE;

/// How far a table was read, in the order of its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Ids from this on.
    From(i64),
    /// Rows without a usable id, by the names that are greater than this.
    Rest(Vec<u8>),
    /// Everything was.
    End,
}

/// A row with a usable id.
#[derive(Clone, QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    /// In UTF-8, or what is said to be.
    #[diesel(sql_type = Nullable<Binary>)]
    pub(super) client: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub(super) credits: Option<f64>,
    /// Credits of a column of decimals, written out.
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) exact: Option<String>,
}

/// Rows without a usable id that have one name, counted where they are: there may be as many as rows.
#[derive(QueryableByName)]
pub(super) struct Unkeyed {
    /// What stands in their id's place, as text.
    #[diesel(sql_type = Binary)]
    pub(super) name: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
}

/// Rows cannot be read in the order of their ids, however often that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Disordered {
    /// An id comes after a greater one.
    #[error(
        "the source's ids do not grow from page to page: import a copy whose ids are whole numbers that are ordered as such"
    )]
    NotGrowing,
    /// More rows share an id than a page has.
    #[error("{PAGE} rows of the source or more have the id {id}: import a copy in which each has its own")]
    Shared {
        /// Which.
        id: i64,
    },
}

impl Position {
    pub(super) const START: Self = Self::From(i64::MIN);

    /// Before the first row without a usable id.
    const REST: Self = Self::Rest(Vec::new());

    /// Goes on behind what was found from here on, ordered by id. Rows that share an id come together and are marked.
    ///
    /// # Errors
    /// [`Disordered`]: to go on would lose rows.
    pub(super) fn pass(&mut self, mut found: Vec<Found>) -> Result<Vec<Row>, Disordered> {
        let (Some(first), Some(last)) = (found.first().map(|row| row.id), found.last().map(|row| row.id)) else {
            *self = Self::REST;
            return Ok(Vec::new());
        };
        if matches!(self, Self::From(from) if first < *from) || !found.is_sorted_by_key(|row| row.id) {
            return Err(Disordered::NotGrowing);
        }
        if found.len() < PAGE {
            *self = last.checked_add(1).map_or(Self::REST, Self::From);
        } else if first == last {
            return Err(Disordered::Shared { id: last });
        } else {
            // The next page may have more of the last id.
            found.retain(|row| row.id != last);
            *self = Self::From(last);
        }
        Ok(rows(found))
    }

    /// Goes on behind rows without a usable id, in the order of their names, where a page has so many names at most.
    pub(super) fn pass_rest(&mut self, found: &[Unkeyed], most: usize) {
        *self = match found.last() {
            Some(last) if found.len() >= most => Self::Rest(last.name.clone()),
            _ => Self::End,
        };
    }
}

fn rows(found: Vec<Found>) -> Vec<Row> {
    let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
    let is_shared = |place: usize| {
        let of = |place: Option<usize>| place.and_then(|place| ids.get(place));
        let own = of(Some(place));
        own == of(place.checked_sub(1)) || own == of(place.checked_add(1))
    };
    let marked = |(place, found): (usize, Found)| Row {
        key: found.id.to_string(),
        count: 1,
        fault: is_shared(place).then_some(Skip::SharedId),
        client: found.client.and_then(|bytes| String::from_utf8(bytes).ok()),
        at: found.seconds.map(|seconds| seconds.saturating_mul(1_000)),
        credits: found.exact.map(Amount::Decimal).or(found.credits.map(Amount::Double)),
    };
    found.into_iter().enumerate().map(marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: impl IntoIterator<Item = i64>) -> Vec<Found> {
        ids.into_iter()
            .map(|id| Found { id, client: Some(b"c".to_vec()), seconds: Some(1), credits: Some(1.0), exact: None })
            .collect()
    }

    fn keys(rows: &[Row]) -> Vec<(&str, bool)> {
        rows.iter().map(|row| (row.key.as_str(), row.fault.is_none())).collect()
    }

    #[test]
    fn rows_that_share_an_id_are_marked_and_never_cut_apart() {
        let full = i64::try_from(PAGE).unwrap();
        let mut position = Position::START;
        assert_eq!(
            keys(&position.pass(found([1, 2, 2, 3])).unwrap()),
            [("1", true), ("2", false), ("2", false), ("3", true)]
        );
        assert_eq!(position, Position::From(4));
        let page = position.pass(found((4..full + 2).chain([full + 2, full + 2]))).unwrap();
        assert_eq!((page.len(), &position), (PAGE - 2, &Position::From(full + 2)));
        let endless = position.pass(found(std::iter::repeat_n(full + 2, PAGE))).map(|rows| rows.len());
        assert_eq!(endless, Err(Disordered::Shared { id: full + 2 }));
        let read_before = position.pass(found([full + 1])).map(|rows| rows.len());
        assert_eq!(read_before, Err(Disordered::NotGrowing));
    }

    #[test]
    fn the_greatest_id_ends_it() {
        let mut position = Position::START;
        assert_eq!(keys(&position.pass(found([i64::MIN, i64::MAX])).unwrap()).len(), 2);
        assert_eq!(position, Position::REST);
        let mut empty = Position::START;
        assert!(empty.pass(Vec::new()).unwrap().is_empty());
        assert_eq!(empty, Position::REST);
    }

    #[test]
    fn rows_without_ids_are_passed_page_by_page() {
        let named = |name: &str| Unkeyed { name: name.into(), count: 3 };
        let mut position = Position::REST;
        position.pass_rest(&[named("a"), named("b")], 2);
        assert_eq!(position, Position::Rest(b"b".to_vec()));
        position.pass_rest(&[named("c")], 2);
        assert_eq!(position, Position::End);
        let mut none = Position::REST;
        none.pass_rest(&[], 2);
        assert_eq!(none, Position::End);
    }

    #[test]
    fn credits_that_are_written_out_go_before_a_double() {
        let [double, decimal] = [None, Some("0.1".to_owned())].map(|exact| Found { exact, ..found([1]).remove(0) });
        let read = |row| rows(vec![row]).remove(0).credits;
        assert_eq!([read(double), read(decimal)], [Some(Amount::Double(1.0)), Some(Amount::Decimal("0.1".to_owned()))]);
    }

    #[test]
    fn a_client_that_is_no_utf8_is_none() {
        let broken = Found { client: Some(vec![b'a', 0xff]), ..found([1]).remove(0) };
        assert_eq!(rows(vec![broken])[0].client, None);
    }
}
