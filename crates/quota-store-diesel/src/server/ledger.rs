//! What the ledger says, and what is taken out of it, statement by statement.

use diesel::result::Error;
use quota_core::{ClientId, Cut, Fact, Instant, Need, Removal, Span, Window};

use crate::failure::Failure;
use crate::rows::{self, id_column};
use crate::server::engine::Link;
use crate::server::writing::Taken;
use crate::statement::Bind;

/// Micros and entries of a range.
pub(crate) async fn sum<L: Link>(
    link: &mut L,
    client: &ClientId,
    range: Window,
    folded_until: Instant,
) -> Result<(i64, i64), Error> {
    if range.is_empty() {
        return Ok((0, 0));
    }
    let Cut { quarters, edges: [head, tail] } = Cut::new(range, folded_until);
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
    folded_until: Instant,
    need: &Need,
) -> Result<Fact, Failure> {
    match need {
        // Ids are looked up for all clients at once.
        Need::Entry(_) => Ok(Fact::Entry(None)),
        Need::Sum { window, except } => {
            let mut micros = 0_i64;
            for part in window.without(*except) {
                // The lifetime sum bounds it.
                micros = micros.saturating_add(sum(link, client, part, folded_until).await?.0);
            }
            Ok(Fact::Sum(rows::credits(micros)?))
        }
        Need::Count(range) => {
            let (micros, entries) = sum(link, client, *range, folded_until).await?;
            Ok(Fact::Count { entries: rows::count(entries)?, credits: rows::credits(micros)? })
        }
    }
}

/// Takes entries out, and their part of the sums.
pub(crate) async fn remove<L: Link>(link: &mut L, taken: &Taken) -> Result<(), Failure> {
    let texts = link.texts();
    let client = taken.client.as_str();
    match &taken.removal {
        Removal::Entry(entry) => {
            let (at, id) = (entry.at.millis(), id_column(entry.id.as_ref()));
            let counted = taken.labels.counted(entry.label.as_ref());
            link.execute(&texts.remove_entry, &[client.into(), at.into(), id.as_str().into()]).await?;
            take_from_quarter(link, client, (at, counted), (entry.credits.micros(), 1)).await?;
        }
        Removal::Range(range) => {
            let Cut { quarters, edges } = Cut::new(*range, taken.folded_until);
            for (from, to) in edges {
                let binds = [client.into(), from.into(), to.into()];
                for (label, micros, entries) in link.label_sums(&texts.sum_by_label, &binds).await? {
                    let label = rows::label(&label)?;
                    let counted = taken.labels.counted(label.as_ref());
                    take_from_quarter(link, client, (from, counted), (micros, entries)).await?;
                }
            }
            let whole = [client.into(), quarters.0.into(), quarters.1.into()];
            link.execute(&texts.remove_quarters, &whole).await?;
            let entries = [client.into(), range.start().millis().into(), range.end().millis().into()];
            link.execute(&texts.remove_entries, &entries).await?;
        }
    }
    Ok(())
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
