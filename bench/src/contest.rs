//! Several contestants do the same visits, in turns.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::number::nanos_each;

/// Makes the checks of some visits and says how long they took, from the moment that all threads have started.
pub(crate) type Run<'a> = Box<dyn Fn(&[usize], &Start<'_>) -> anyhow::Result<Duration> + Sync + 'a>;

/// Where threads wait for each other.
pub(crate) struct Start<'a>(&'a Barrier);

/// What is measured.
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    pub(crate) run: Run<'a>,
    /// How many of the visits it makes in a round.
    pub(crate) visits: usize,
}

impl Start<'_> {
    /// Call it exactly once, after everything that is not to be timed, also where that went wrong.
    pub(crate) fn wait(&self) {
        self.0.wait();
    }
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(
        name: impl Into<String>,
        visits: usize,
        run: impl Fn(&[usize], &Start<'_>) -> anyhow::Result<Duration> + Sync + 'a,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run), visits }
    }
}

/// The order in which `clients` are visited, `length` visits of each thread: shuffled, and the same in every run.
pub(crate) fn visits(clients: usize, length: usize, threads: usize) -> Vec<Vec<usize>> {
    let visits_of = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut order: Vec<usize> = (0..clients).collect();
        let mut visits = Vec::with_capacity(length);
        while visits.len() < length {
            random.shuffle(&mut order);
            visits.extend(order.iter().take(length - visits.len()));
        }
        visits
    };
    (1..).take(threads).map(visits_of).collect()
}

/// Nanoseconds of a check as a thread sees it: for each contestant one number a round, after a round that does not count.
pub(crate) fn compete(
    contestants: &[Contestant<'_>],
    visits: &[Vec<usize>],
    rounds: usize,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut nanos = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..=rounds {
        for (contestant, nanos) in contestants.iter().zip(&mut nanos) {
            let took = once(contestant, visits, round).with_context(|| contestant.name.clone())?;
            if round > 0 {
                nanos.push(took);
            }
        }
    }
    Ok(nanos)
}

/// Who makes fewer visits makes others in the next round, so that it meets as many clients as the rest.
fn once(contestant: &Contestant<'_>, visits: &[Vec<usize>], round: usize) -> anyhow::Result<f64> {
    let barrier = Barrier::new(visits.len());
    let slowest = std::thread::scope(|scope| {
        let threads: Vec<_> = visits
            .iter()
            .map(|visits| {
                let visits = visits.chunks_exact(contestant.visits).cycle().nth(round).unwrap_or(visits);
                let barrier = &barrier;
                scope
                    .spawn(move || (contestant.run)(visits, &Start(barrier)).map(|took| nanos_each(took, visits.len())))
            })
            .collect();
        let mut slowest = 0.0_f64;
        for thread in threads {
            let Ok(nanos) = thread.join() else { bail!("a thread panicked") };
            slowest = slowest.max(nanos?);
        }
        Ok(slowest)
    })?;
    Ok(slowest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_client_is_visited_before_one_is_visited_again() {
        let visits = visits(10, 25, 2);
        assert_eq!(visits.len(), 2);
        for visits in &visits {
            assert_eq!(visits.len(), 25);
            assert_eq!(visits[..10].iter().collect::<BTreeSet<_>>().len(), 10);
        }
        assert_ne!(visits[0], visits[1]);
        assert_eq!(visits, super::visits(10, 25, 2));
    }

    #[test]
    fn the_warm_up_does_not_count_and_errors_name_the_contestant() {
        let constant = Contestant::new("constant", 5, |visits: &[usize], start: &Start<'_>| {
            start.wait();
            Ok(Duration::from_nanos(10) * u32::try_from(visits.len()).unwrap())
        });
        let nanos = compete(&[constant], &visits(3, 9, 2), 4).unwrap();
        assert_eq!(nanos[0].len(), 4);
        assert!(nanos[0].iter().all(|nanos| (nanos - 10.0).abs() < 0.01), "{nanos:?}");

        let failing = Contestant::new("failing", 5, |_: &[usize], start: &Start<'_>| {
            start.wait();
            bail!("denied")
        });
        let error = compete(&[failing], &visits(3, 9, 2), 1).unwrap_err();
        assert_eq!(format!("{error:#}"), "failing: denied");
    }
}
