//! A check of two quotas in memory, against what others take for it.

use crate::contest::{Contestant, compete, visits};
use crate::effort::Effort;
use crate::number::{median, median_ratio};
use crate::ours::{DAY_AND_MONTH, ENOUGH, Ours, names, plan};
use crate::rivals::{Governor, Limitador};
use crate::row::{Goal, IN_MEMORY, Measured, Row};

const GROUP: &str = "memory, a day and a month quota";

/// The same clients in the same order: `QuotaService::charge`, two governors, limitador.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (clients, threads, is_judged) in [(1, 1, true), (100_000, 1, true), (100_000, 2, true), (1, 2, false)] {
        let names = names(clients);
        let ours = Ours::new(&names, plan(&DAY_AND_MONTH, ENOUGH)?)?;
        ours.charge_each()?;
        let governor = Governor::new(names.clone())?;
        governor.check_each()?;
        let limitador = Limitador::new(names)?;
        limitador.check_each()?;
        let contestants = [
            Contestant::new("ours", effort.visits, |visits: &_, start: &_| ours.allowed(visits, start)),
            Contestant::new("two governors", effort.visits, |visits: &_, start: &_| governor.run(visits, start)),
            Contestant::new("limitador", effort.slow_visits, |visits: &_, start: &_| limitador.run(visits, start)),
            Contestant::new("limitador, contexts ready", effort.slow_visits, |visits: &_, start: &_| {
                limitador.run_prepared(visits, start)
            }),
        ];
        let nanos = compete(&contestants, &visits(clients, effort.visits, threads), effort.rounds)?;
        let Some((ours, others)) = nanos.split_first() else { continue };
        let goals = [Some(Goal::AtMost(0.6)), Some(Goal::AtMost(1.0 / 30.0)), None];
        for ((contestant, theirs), goal) in contestants.iter().skip(1).zip(others).zip(goals) {
            let name = format!("{clients} client(s), {threads} thread(s), against {}", contestant.name);
            let measured = Measured { value: median(ours.clone()), unit: "ns" };
            let row = Row::new(GROUP, name, IN_MEMORY, measured);
            let row = row.against(contestant.name.as_str(), median(theirs.clone()), median_ratio(ours, theirs));
            rows.push(match goal.filter(|_| is_judged) {
                Some(goal) => row.goal(goal),
                None => row,
            });
        }
    }
    Ok(rows)
}
