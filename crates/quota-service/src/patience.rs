//! How long a commit that compares and sets is tried again.

use std::time::Duration;

use tokio::time::Instant;

use crate::store_error::StoreError;

/// For stores that compare and set: tries again for so long, the more slowly the more often others were quicker.
///
/// Bounded by time and not by a count: who loses often has waited often, and each loss is another's commit. The waits
/// are random, so that losers do not come back together.
#[derive(Debug)]
pub struct Patience {
    /// None is never.
    until: Option<Instant>,
    losses: u32,
}

/// The first wait is up to this long, the next up to twice.
const FIRST: Duration = Duration::from_micros(200);

/// No wait after a conflict is longer.
const LONGEST: Duration = Duration::from_millis(10);

/// Who is next in a queue looks again within this time, or within two answers of a server that is slow.
const NEXT_IN_QUEUE: Duration = Duration::from_millis(2);

/// A turn takes at least so many answers of the server, one that reads and one that writes: who is further back looks again when it
/// may be next, but within [`LONGEST_IN_QUEUE`].
const ANSWERS_OF_A_TURN: u32 = 2;

const LONGEST_IN_QUEUE: Duration = Duration::from_millis(500);

impl Patience {
    /// From now on for so long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { until: Instant::now().checked_add(limit), losses: 0 }
    }

    /// Waits after a conflict, but for the first.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] where the time is over.
    pub async fn lose(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.losses = self.losses.saturating_add(1);
        // The answer brought the account as it is now: the first loser may win at once.
        if self.losses > 1 {
            wait(FIRST.saturating_mul(1 << self.losses.min(10)).min(LONGEST)).await;
        }
        Ok(())
    }

    /// Waits for a turn, where the store keeps a queue, so many are ahead, and the server took so long to say so: many that
    /// ask must not make it slower still.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] where the time is over.
    pub async fn queue(&mut self, ahead: u32, pace: Duration) -> Result<(), StoreError> {
        self.check()?;
        let turn = pace.saturating_mul(ANSWERS_OF_A_TURN);
        match ahead.saturating_sub(1) {
            0 => wait(NEXT_IN_QUEUE.max(turn).min(LONGEST_IN_QUEUE)).await,
            before => {
                let least = turn.saturating_mul(before).min(LONGEST_IN_QUEUE);
                tokio::time::sleep(least.saturating_sub(least / 4)).await;
                wait(least / 4).await;
            }
        }
        Ok(())
    }

    /// For who waits otherwise.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] where the time is over.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            let message = match self.losses {
                0 => "other processes were first at the account".to_owned(),
                losses => format!("other processes were at the account; it had changed {losses} times meanwhile"),
            };
            return Err(StoreError::NotDone { message, source: None });
        }
        Ok(())
    }
}

/// Waits for a random time, at most so long.
async fn wait(most: Duration) {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..=micros))).await;
}
