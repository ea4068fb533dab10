//! How a check in memory grows with clients, quotas, ids and denials.

use quota_core::Unit;

use crate::contest::{Contestant, Start, compete, visits};
use crate::effort::Effort;
use crate::number::{median, median_ratio};
use crate::ours::{DAY_AND_MONTH, ENOUGH, Ours, names, plan};
use crate::row::{IN_MEMORY, Measured, Row};

const GROUP: &str = "memory, how it grows";

#[derive(Clone, Copy)]
enum Charges {
    Allowed,
    Denied,
    WithIds,
}

struct Case {
    name: &'static str,
    clients: usize,
    units: &'static [Unit],
    charges: Charges,
}

const CASES: [Case; 8] = [
    Case { name: "1,000 clients, 2 quotas, allowed", clients: 1_000, units: &DAY_AND_MONTH, charges: Charges::Allowed },
    Case { name: "1 client", clients: 1, units: &DAY_AND_MONTH, charges: Charges::Allowed },
    Case { name: "100,000 clients", clients: 100_000, units: &DAY_AND_MONTH, charges: Charges::Allowed },
    Case { name: "1,000,000 clients", clients: 1_000_000, units: &DAY_AND_MONTH, charges: Charges::Allowed },
    Case { name: "1 quota", clients: 1_000, units: &[Unit::Day], charges: Charges::Allowed },
    Case { name: "7 quotas, second to year", clients: 1_000, units: &Unit::ALL, charges: Charges::Allowed },
    // Long windows: at midnight, a day would admit again.
    Case { name: "denied", clients: 1_000, units: &[Unit::Month, Unit::Year], charges: Charges::Denied },
    Case { name: "an id each", clients: 1_000, units: &DAY_AND_MONTH, charges: Charges::WithIds },
];

/// Every case in turns with the first, which the others are compared with.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let base = case_run(&CASES[0])?;
    let mut rows = Vec::new();
    for case in &CASES {
        let ours = case_run(case)?;
        // Ids are remembered: fewer of them, so that the run stays small.
        let length = if matches!(case.charges, Charges::WithIds) { effort.visits / 10 } else { effort.visits };
        let run = |visits: &[usize], start: &Start<'_>| match case.charges {
            Charges::Allowed => ours.allowed(visits, start),
            Charges::Denied => ours.denied(visits, start),
            Charges::WithIds => ours.with_ids(visits, start),
        };
        let mut nanos = (Vec::new(), Vec::new());
        let of_case = visits(case.clients, length, 1);
        let of_base = visits(CASES[0].clients, length, 1);
        // Their visits differ, so they are compared a round at a time.
        for _ in 0..effort.rounds {
            let allowed = |visits: &[usize], start: &Start<'_>| base.allowed(visits, start);
            nanos.0.extend(compete(&[Contestant::new(case.name, length, run)], &of_case, 1)?.concat());
            nanos.1.extend(compete(&[Contestant::new("base", length, allowed)], &of_base, 1)?.concat());
        }
        let row = Row::new(GROUP, case.name, IN_MEMORY, Measured { value: median(nanos.0.clone()), unit: "ns" });
        let ratio = median_ratio(&nanos.0, &nanos.1);
        rows.push(row.against("1,000 clients, 2 quotas", median(nanos.1), ratio));
    }
    Ok(rows)
}

fn case_run(case: &Case) -> anyhow::Result<Ours> {
    // One is taken before; a client that never got any leaves no account, which is another case.
    let limit = if matches!(case.charges, Charges::Denied) { 1 } else { ENOUGH };
    let ours = Ours::new(&names(case.clients), plan(case.units, limit)?)?;
    ours.charge_each()?;
    Ok(ours)
}
