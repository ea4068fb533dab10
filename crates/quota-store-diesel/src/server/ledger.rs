//! What the ledger says, and what is taken out of it, statement by statement.

use diesel::result::Error;
use quota_core::{ClientId, Cut, Fact, Need, QUARTER_MILLIS, Removal, Span, Window};

use crate::changes::{ENTRIES_AT_ONCE, Removed};
use crate::failure::Failure;
use crate::rows::{self, id_column};
use crate::server::engine::Link;
use crate::server::texts::Texts;
use crate::standing::{Left, Standing};
use crate::statement::{Bind, Sql};

/// Micros and entries of a range.
pub(crate) async fn sum<L: Link>(
    link: &mut L,
    client: &ClientId,
    range: Window,
    standing: Standing,
) -> Result<(i64, i64), Failure> {
    if range.is_empty() {
        return Ok((0, 0));
    }
    let Cut { quarters, edges: [head, tail] } = Cut::new(range, standing.folded_until);
    if standing.cuts(head) || standing.cuts(tail) {
        return Err(Failure::Unfinished);
    }
    let client = Bind::from(client.as_str());
    let span = |(from, to): Span| [client, from.into(), to.into()];
    let texts = link.texts();
    let [before, behind] = standing.living(quarters);
    let rows = link.sums(&texts.sum, &[span(before), span(head), span(tail)].concat()).await?;
    let mut sum = rows.first().copied().unwrap_or_default();
    if behind.0 < behind.1 {
        let (none, rest) = (span((behind.1, behind.1)), span(behind));
        let rows = link.sums(&texts.sum, &[rest, none, none].concat()).await?;
        let (micros, entries) = rows.first().copied().unwrap_or_default();
        // The lifetime sum bounds both.
        sum = (sum.0.saturating_add(micros), sum.1.saturating_add(entries));
    }
    Ok(sum)
}

/// What the ledger says to a need that is no id.
pub(crate) async fn fact<L: Link>(
    link: &mut L,
    client: &ClientId,
    standing: Standing,
    need: &Need,
) -> Result<Fact, Failure> {
    match need {
        // Ids are looked up for all clients at once.
        Need::Entry(_) => Ok(Fact::Entry(None)),
        Need::Sum { window, except } => {
            let mut micros = 0_i64;
            for part in window.without(*except) {
                // The lifetime sum bounds it.
                micros = micros.saturating_add(sum(link, client, part, standing).await?.0);
            }
            Ok(Fact::Sum(rows::credits(micros)?))
        }
        Need::Count(range) => {
            let (micros, entries) = sum(link, client, *range, standing).await?;
            Ok(Fact::Count { entries: rows::count(entries)?, credits: rows::credits(micros)? })
        }
    }
}

/// Takes entries out, and their part of the sums. Of a range of more entries or sums than are taken out at once it leaves them, gives
/// where, and notes it in the account.
pub(crate) async fn remove<L: Link>(link: &mut L, removed: &Removed<'_>) -> Result<Option<Left>, Failure> {
    let texts = link.texts();
    let client = removed.client.as_str();
    match removed.removal {
        Removal::Entry(entry) => {
            let (at, id) = (entry.at.millis(), id_column(entry.id.as_ref()));
            let counted = removed.labels.counted(entry.label.as_ref());
            link.execute(&texts.remove_entry, &[client.into(), at.into(), id.as_str().into()]).await?;
            take_from_quarter(link, client, (at, counted), (entry.credits.micros(), 1)).await?;
            Ok(None)
        }
        Removal::Range(range) => {
            if removed.standing.left.is_some() {
                return Err(Failure::Unfinished);
            }
            let Cut { quarters, edges } = Cut::new(*range, removed.standing.folded_until);
            for (from, to) in edges {
                let binds = [client.into(), from.into(), to.into()];
                let sums = removed.as_counted(link.label_sums(&texts.sum_by_label, &binds).await?)?;
                for (label, sum) in sums {
                    take_from_quarter(link, client, (from, &label), sum).await?;
                }
            }
            let sums = remove_sums(link, client, quarters).await?;
            let entries = remove_entries(link, client, (range.start().millis(), range.end().millis())).await?;
            let left = Left::hull(entries, sums);
            if left.is_some() {
                leave(link, client, left).await?;
            }
            Ok(left)
        }
    }
}

/// Takes out the sums of these quarters; where they are many, it gives of which they are left.
async fn remove_sums<L: Link>(link: &mut L, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
    let texts = link.texts();
    let span = [client.into(), from.into(), to.into()];
    if nth(link, |texts| &texts.nth_quarter, client, (from, to), ENTRIES_AT_ONCE).await?.is_none() {
        link.execute(&texts.remove_quarters, &span).await?;
        return Ok(None);
    }
    let first = nth(link, |texts| &texts.nth_quarter, client, (from, to), 0).await?.unwrap_or(from);
    let last = nth(link, |texts| &texts.nth_last_quarter, client, (from, to), 0).await?.unwrap_or(first);
    if nth(link, |texts| &texts.nth_quarter, client, (last, to), ENTRIES_AT_ONCE).await?.is_some() {
        return Ok(Some((first, last.saturating_add(QUARTER_MILLIS))));
    }
    // Those of the last quarter at once: the next charge may be of the same one, and is not to wait for all.
    link.execute(&texts.remove_quarters, &[client.into(), last.into(), to.into()]).await?;
    Ok(Some((first, last)))
}

/// Takes out the entries of a span; where they are many, it gives where they are left.
async fn remove_entries<L: Link>(link: &mut L, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
    let texts = link.texts();
    let span = [client.into(), from.into(), to.into()];
    if nth(link, |texts| &texts.nth_of, client, (from, to), ENTRIES_AT_ONCE).await?.is_none() {
        link.execute(&texts.remove_entries, &span).await?;
        return Ok(None);
    }
    let first = nth(link, |texts| &texts.nth_of, client, (from, to), 0).await?.unwrap_or(from);
    let last = nth(link, |texts| &texts.nth_last_of, client, (from, to), 0).await?.unwrap_or(to);
    let mut left = (first, last.saturating_add(1));
    if nth(link, |texts| &texts.nth_of, client, (last, to), ENTRIES_AT_ONCE).await?.is_none() {
        // Those of the last instant at once: the next charge may be of the same one, and is not to wait for all.
        link.execute(&texts.remove_entries, &[client.into(), last.into(), to.into()]).await?;
        left.1 = last;
    }
    Ok(Some(left))
}

/// Notes in the account where rows are left.
pub(crate) async fn leave<L: Link>(link: &mut L, client: &str, left: Option<Left>) -> Result<(), Error> {
    let (from, to) = left.map_or((0, 0), |left| left.span);
    let sums = i64::from(left.is_some_and(|left| left.sums));
    link.execute(&link.texts().leave, &[from.into(), to.into(), sums.into(), client.into()]).await?;
    Ok(())
}

/// Makes room among what a deletion has left for what is to be added at an instant and later: takes out all from there on. Gives what is
/// left then, and notes it in the account.
///
/// # Errors
/// [`Failure::Unfinished`] where that is too much to be taken out at once.
pub(crate) async fn make_room<L: Link>(
    link: &mut L,
    client: &ClientId,
    left: Left,
    at: i64,
) -> Result<Option<Left>, Failure> {
    let client = client.as_str();
    let (_, first) = left.until(at);
    if nth(link, |texts| &texts.nth_of, client, (at, left.span.1), ENTRIES_AT_ONCE).await?.is_some()
        || nth(link, |texts| &texts.nth_quarter, client, (first, left.quarters().1), ENTRIES_AT_ONCE).await?.is_some()
    {
        return Err(Failure::Unfinished);
    }
    take_out_from(link, client, left, at).await
}

/// Takes out some of what a deletion has left, the newest of it. Gives what is left then, and notes it in the account.
pub(crate) async fn take_out_some<L: Link>(link: &mut L, client: &str, left: Left) -> Result<Option<Left>, Failure> {
    let entry = nth(link, |texts| &texts.nth_last_of, client, left.span, ENTRIES_AT_ONCE).await?;
    if let Some(at) = entry.filter(|entry| left.ends_with(*entry)) {
        // More at one instant than are taken out at once.
        let texts = link.texts();
        let id = link.words(&texts.nth_id, &[client.into(), at.into(), ENTRIES_AT_ONCE.into()]).await?.pop();
        let id = id.unwrap_or_default();
        link.execute(&texts.remove_below, &[client.into(), at.into(), id.as_str().into()]).await?;
        return Ok(Some(left));
    }
    let quarter = nth(link, |texts| &texts.nth_last_quarter, client, left.quarters(), ENTRIES_AT_ONCE).await?;
    take_out_from(link, client, left, left.tail(entry, quarter)).await
}

async fn take_out_from<L: Link>(link: &mut L, client: &str, left: Left, at: i64) -> Result<Option<Left>, Failure> {
    let texts = link.texts();
    let (remaining, first) = left.until(at);
    link.execute(&texts.remove_entries, &[client.into(), at.into(), left.span.1.into()]).await?;
    if left.sums {
        link.execute(&texts.remove_quarters, &[client.into(), first.into(), left.quarters().1.into()]).await?;
    }
    leave(link, client, remaining).await?;
    Ok(remaining)
}

/// What such a statement finds in a span: the instant of an entry or the quarter of a sum, counted from 0.
pub(crate) async fn nth<L: Link>(
    link: &mut L,
    sql: fn(&Texts) -> &Sql,
    client: &str,
    (from, to): Span,
    nth: i64,
) -> Result<Option<i64>, Failure> {
    let texts = link.texts();
    Ok(link.numbers(sql(&texts), &[client.into(), from.into(), to.into(), nth.into()]).await?.pop())
}

async fn take_from_quarter<L: Link>(
    link: &mut L,
    client: &str,
    (at, label): (i64, &str),
    (micros, entries): (i64, i64),
) -> Result<(), Error> {
    let texts = link.texts();
    let (client, quarter, label) = (Bind::from(client), Bind::from(Cut::floor(at)), Bind::from(label));
    link.execute(&texts.take_from_quarter, &[micros.into(), entries.into(), client, quarter, label]).await?;
    link.execute(&texts.drop_empty_quarter, &[client, quarter, label]).await?;
    Ok(())
}
