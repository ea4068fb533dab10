//! What the ledger says, and what is taken out of it, statement by statement.

use diesel::result::Error;
use quota_core::{ClientId, Cut, Fact, Need, Removal, Span, Window};

use crate::changes::{ENTRIES_AT_ONCE, Removed};
use crate::failure::Failure;
use crate::rows::{self, Standing, id_column};
use crate::server::engine::Link;
use crate::statement::Bind;

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
    let binds = [span(quarters), span(head), span(tail)].concat();
    let rows = link.sums(&link.texts().sum, &binds).await?;
    Ok(rows.first().copied().unwrap_or_default())
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

/// Takes entries out, and their part of the sums. Of a range of more entries than are taken out at once only the sums: it
/// gives the span of the rows that are left, and notes it in the account.
pub(crate) async fn remove<L: Link>(link: &mut L, removed: &Removed<'_>) -> Result<Option<Span>, Failure> {
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
            if removed.standing.deleted.is_some() {
                return Err(Failure::Unfinished);
            }
            let Cut { quarters, edges } = Cut::new(*range, removed.standing.folded_until);
            for (from, to) in edges {
                let binds = [client.into(), from.into(), to.into()];
                for (label, micros, entries) in link.label_sums(&texts.sum_by_label, &binds).await? {
                    let label = rows::label(&label)?;
                    let counted = removed.labels.counted(label.as_ref());
                    take_from_quarter(link, client, (from, counted), (micros, entries)).await?;
                }
            }
            let whole = [client.into(), quarters.0.into(), quarters.1.into()];
            link.execute(&texts.remove_quarters, &whole).await?;
            remove_entries(link, client, (range.start().millis(), range.end().millis())).await
        }
    }
}

/// Takes out the entries of a span; or notes which are to be taken out where they are many.
async fn remove_entries<L: Link>(link: &mut L, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
    let texts = link.texts();
    let span = [client.into(), from.into(), to.into()];
    if nth_of(link, client, (from, to), ENTRIES_AT_ONCE).await?.is_none() {
        link.execute(&texts.remove_entries, &span).await?;
        return Ok(None);
    }
    let first = nth_of(link, client, (from, to), 0).await?.unwrap_or(from);
    let last = link.numbers(&texts.last_of, &span).await?.pop().unwrap_or(to);
    let mut left = (first, last.saturating_add(1));
    if nth_of(link, client, (last, to), ENTRIES_AT_ONCE).await?.is_none() {
        // Those of the last instant at once: the next charge may be of the same one, and is not to wait for all.
        link.execute(&texts.remove_entries, &[client.into(), last.into(), to.into()]).await?;
        left.1 = last;
    }
    link.execute(&texts.leave, &[left.0.into(), left.1.into(), client.into()]).await?;
    Ok(Some(left))
}

/// Makes room among deleted rows for what is to be added at an instant and later: takes out those from there on. Gives the
/// span of the rows that are left, and notes it in the account.
///
/// # Errors
/// [`Failure::Unfinished`] where they are too many to be taken out at once.
pub(crate) async fn make_room<L: Link>(
    link: &mut L,
    client: &ClientId,
    (from, to): Span,
    at: i64,
) -> Result<Option<Span>, Failure> {
    let (name, texts) = (client.as_str(), link.texts());
    if nth_of(link, name, (at, to), ENTRIES_AT_ONCE).await?.is_some() {
        return Err(Failure::Unfinished);
    }
    link.execute(&texts.remove_entries, &[name.into(), at.into(), to.into()]).await?;
    link.execute(&texts.leave, &[from.into(), at.into(), name.into()]).await?;
    Ok((from < at).then_some((from, at)))
}

/// The instant of an entry of this span, counted from 0.
pub(crate) async fn nth_of<L: Link>(
    link: &mut L,
    client: &str,
    (from, to): Span,
    nth: i64,
) -> Result<Option<i64>, Failure> {
    let texts = link.texts();
    Ok(link.numbers(&texts.nth_of, &[client.into(), from.into(), to.into(), nth.into()]).await?.pop())
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
