//! Finding a quota's window.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context;
use quota_core::{Anchor, Instant, Lattice, Period, Unit, Window};

use crate::contest::{Contestant, Start, compete, visits};
use crate::effort::Effort;
use crate::number::{median, median_ratio};
use crate::row::{Measured, PURE, Row};

const GROUP: &str = "windows";

/// One check of a current window, and for each unit the computation of a window near its anchor and 50 years from it.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let instants = instants()?;
    let near: Instant = "2024-01-31T10:30:00Z".parse()?;
    let far: Instant = "1974-01-31T10:30:00Z".parse()?;
    let visits = visits(instants.len(), effort.visits / 4, 1);
    let mut rows = vec![current(effort, &instants, &visits)?];
    for (unit, zone) in
        Unit::ALL.map(|unit| (unit, "Europe/Berlin")).into_iter().chain([(Unit::Day, "UTC"), (Unit::Month, "UTC")])
    {
        let period = Period::new(unit, 1)?;
        let lattice = |at| Anchor::in_zone(at, zone).map(|anchor| Lattice::new(period, anchor));
        let contestants =
            [finder("near", lattice(near)?, &instants, effort), finder("far", lattice(far)?, &instants, effort)];
        let nanos = compete(&contestants, &visits, effort.rounds)?;
        let [near, far] = nanos.as_slice() else { continue };
        let measured = Measured { value: median(far.clone()), unit: "ns" };
        let row = Row::new(GROUP, format!("find a {period} window, 50 years from the anchor ({zone})"), PURE, measured);
        rows.push(row.against("near the anchor", median(near.clone()), median_ratio(far, near)));
    }
    Ok(rows)
}

/// Instants all over the year 2024.
fn instants() -> anyhow::Result<Vec<Instant>> {
    let first: Instant = "2024-02-01T00:00:00Z".parse()?;
    let mut random = fastrand::Rng::with_seed(1);
    Ok((0..1_024).map(|_| first.saturating_add(Duration::from_secs(random.u64(0..28_000_000)))).collect())
}

fn current(effort: &Effort, instants: &[Instant], visits: &[Vec<usize>]) -> anyhow::Result<Row> {
    let window = Window::new("2024-01-01T00:00:00Z".parse()?, "2025-01-01T00:00:00Z".parse()?)?;
    let check = Contestant::new("contains", effort.visits / 4, |visits: &[usize], start: &Start<'_>| {
        start.wait();
        let began = std::time::Instant::now();
        for &visit in visits {
            let now = *instants.get(visit).context("no such instant")?;
            black_box(black_box(window).contains(now));
        }
        Ok(began.elapsed())
    });
    let nanos = compete(&[check], visits, effort.rounds)?;
    let measured = Measured { value: median(nanos.into_iter().flatten().collect()), unit: "ns" };
    Ok(Row::new(GROUP, "still inside the current window, any unit", PURE, measured))
}

fn finder<'a>(name: &str, lattice: Lattice, instants: &'a [Instant], effort: &Effort) -> Contestant<'a> {
    Contestant::new(name, effort.visits / 4, move |visits: &[usize], start: &Start<'_>| {
        start.wait();
        let began = std::time::Instant::now();
        for &visit in visits {
            let now = *instants.get(visit).context("no such instant")?;
            black_box(black_box(lattice).window_at(now)?);
        }
        Ok(began.elapsed())
    })
}
