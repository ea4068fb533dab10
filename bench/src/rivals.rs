//! Others that check two quotas in memory.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use limitador::limit::{Context, Expression, Limit, Namespace};

use crate::contest::Start;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Two keyed limiters of governor, one after the other: the second is asked only if the first allows.
pub(crate) struct Governor {
    keys: Vec<String>,
    day: DefaultKeyedRateLimiter<String>,
    month: DefaultKeyedRateLimiter<String>,
}

/// Limitador's memory storage with two limits for each user.
pub(crate) struct Limitador {
    keys: Vec<String>,
    namespace: Namespace,
    limiter: limitador::RateLimiter,
}

impl Governor {
    /// Limits that are never reached.
    pub(crate) fn new(keys: Vec<String>) -> anyhow::Result<Self> {
        let limiter = |window: Duration| {
            let burst = NonZeroU32::MAX;
            // Rounded down to a nanosecond, at least one.
            let each = (window / burst.get()).max(Duration::from_nanos(1));
            Quota::with_period(each).map(|quota| RateLimiter::dashmap(quota.allow_burst(burst)))
        };
        let (day, month) = limiter(DAY).zip(limiter(MONTH)).context("a period of zero")?;
        Ok(Self { keys, day, month })
    }

    /// Checks every client once, so that no visit makes its state.
    pub(crate) fn check_each(&self) -> anyhow::Result<()> {
        self.keys.iter().try_for_each(|key| self.check(key))
    }

    /// See [`crate::contest::Run`].
    pub(crate) fn run(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        start.wait();
        let began = Instant::now();
        for &visit in visits {
            let Some(key) = self.keys.get(visit) else { bail!("there is no client {visit}") };
            self.check(key)?;
        }
        Ok(began.elapsed())
    }

    fn check(&self, key: &String) -> anyhow::Result<()> {
        if self.day.check_key(key).is_err() || self.month.check_key(key).is_err() {
            bail!("{key} was denied");
        }
        Ok(())
    }
}

impl Limitador {
    /// Limits that are never reached.
    pub(crate) fn new(keys: Vec<String>) -> anyhow::Result<Self> {
        let namespace = Namespace::from("bench");
        // Its cache forgets counters when full: room for both counters of every client, and more.
        let room = u64::try_from(keys.len())?.saturating_mul(4).max(1_000);
        let limiter = limitador::RateLimiter::new(room);
        for window in [DAY, MONTH] {
            let user = Expression::try_from("user_id").context("the variable's name")?;
            let limit = Limit::new(namespace.clone(), u64::from(u32::MAX), window.as_secs(), Vec::new(), vec![user]);
            if !limiter.add_limit(limit) {
                bail!("a limit was not added");
            }
        }
        Ok(Self { keys, namespace, limiter })
    }

    /// Checks every client once, so that no visit makes its counters.
    pub(crate) fn check_each(&self) -> anyhow::Result<()> {
        (0..self.keys.len()).try_for_each(|visit| self.check(&self.context(visit)?))
    }

    /// See [`crate::contest::Run`]. Each check makes the context that limitador asks for, as every request has to.
    pub(crate) fn run(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        start.wait();
        let began = Instant::now();
        for &visit in visits {
            self.check(&self.context(visit)?)?;
        }
        Ok(began.elapsed())
    }

    /// The same with all contexts made before.
    pub(crate) fn run_prepared(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        let contexts = visits.iter().map(|&visit| self.context(visit)).collect::<Result<Vec<_>, _>>();
        start.wait();
        let contexts = contexts?;
        let began = Instant::now();
        for context in &contexts {
            self.check(context)?;
        }
        Ok(began.elapsed())
    }

    fn context(&self, visit: usize) -> anyhow::Result<Context<'static>> {
        let Some(key) = self.keys.get(visit) else { bail!("there is no client {visit}") };
        Ok(Context::from(HashMap::from([("user_id".to_owned(), key.clone())])))
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<()> {
        match self.limiter.check_rate_limited_and_update(&self.namespace, context, 1) {
            Ok(checked) if !checked.limited => Ok(()),
            Ok(_) => bail!("a client was limited"),
            // Its error is not Sync, which anyhow's has to be.
            Err(error) => bail!("{error}"),
        }
    }
}
