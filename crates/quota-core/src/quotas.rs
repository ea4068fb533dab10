//! Where each quota of a client stands.

use std::fmt;

use crate::credits::{Balance, Credits};
use crate::period::Period;
use crate::plan::Limit;
use crate::slot::NOWHERE;
use crate::window::Window;

/// Stands for no limit in a [`QuotaStatus`]; a finite limit is never negative.
const UNLIMITED: i64 = -1;

/// One quota of a client at one instant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    pub(crate) period: Period,
    /// Millionths, or [`UNLIMITED`]: half the size of a [`Limit`], and answers are copied often.
    limit: i64,
    pub(crate) used: Credits,
    pub(crate) held: Credits,
    pub(crate) window: Window,
}

/// All quotas of a client at one instant, short to long.
#[derive(Clone)]
pub struct Quotas(Statuses);

/// Two in place without an allocation, which is what most plans have. Not a `SmallVec`: it is built apart and then
/// copied, and that copy was a tenth of a charge.
#[derive(Clone)]
enum Statuses {
    /// The first so many of them.
    Few(u8, [QuotaStatus; 2]),
    Many(Box<[QuotaStatus]>),
}

/// Fills a place that is not counted.
const NONE: QuotaStatus =
    QuotaStatus { period: Period::SECOND, limit: UNLIMITED, used: Credits::ZERO, held: Credits::ZERO, window: NOWHERE };

/// What remains of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// So much; negative for a client in debt.
    Finite(Balance),
    /// As much as one likes.
    Unlimited,
}

impl QuotaStatus {
    /// A quota with this limit, of which `used` and `held` are taken in `window`.
    #[must_use]
    pub fn new(period: Period, limit: Limit, used: Credits, held: Credits, window: Window) -> Self {
        let limit = limit.credits().map_or(UNLIMITED, Credits::micros);
        Self { period, limit, used, held, window }
    }

    /// The period; its `Display` is the quota's name.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    /// What the window admits.
    #[must_use]
    pub fn limit(&self) -> Limit {
        Credits::from_micros(self.limit).map_or(Limit::Unlimited, Limit::Finite)
    }

    /// The sum of the entries in the window.
    #[must_use]
    pub const fn used(&self) -> Credits {
        self.used
    }

    /// The sum of the active holds in the window.
    #[must_use]
    pub const fn held(&self) -> Credits {
        self.held
    }

    /// The current window.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }

    /// When the window began.
    #[must_use]
    pub const fn starts_at(&self) -> crate::instant::Instant {
        self.window.start()
    }

    /// When the quota renews.
    #[must_use]
    pub const fn resets_at(&self) -> crate::instant::Instant {
        self.window.end()
    }

    /// Limit - used - held of a finite quota; negative is a debt.
    #[must_use]
    pub const fn balance(&self) -> Option<Balance> {
        if self.limit == UNLIMITED {
            return None;
        }
        // Cannot overflow: the lifetime sum bounds used + held.
        Some(Balance::from_micros(self.limit.saturating_sub(self.used.micros()).saturating_sub(self.held.micros())))
    }

    /// What remains.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        self.balance().map_or(Remaining::Unlimited, Remaining::Finite)
    }

    /// Whether `cost` fits.
    #[must_use]
    pub fn admits(&self, cost: Credits) -> bool {
        self.balance().is_none_or(|balance| balance.covers(cost))
    }
}

impl Quotas {
    /// Two quotas, the shorter first.
    pub(crate) fn pair(shorter: QuotaStatus, longer: QuotaStatus) -> Self {
        Self(Statuses::Few(2, [shorter, longer]))
    }

    /// The quotas, short to long.
    #[must_use]
    pub fn as_slice(&self) -> &[QuotaStatus] {
        match &self.0 {
            Statuses::Few(count, statuses) => statuses.get(..usize::from(*count)).unwrap_or(statuses),
            Statuses::Many(statuses) => statuses,
        }
    }

    /// The quotas, short to long.
    pub fn iter(&self) -> std::slice::Iter<'_, QuotaStatus> {
        self.as_slice().iter()
    }

    /// The finite quota with the fewest remaining; of equals, the one that resets later; of equals still,
    /// the shorter period. None where every quota is unlimited, or there is none.
    #[must_use]
    pub fn lowest(&self) -> Option<&QuotaStatus> {
        scarcest(self.iter())
    }

    /// The quotas that do not admit `cost`, short to long.
    pub fn violated_by(&self, cost: Credits) -> impl Iterator<Item = &QuotaStatus> {
        self.iter().filter(move |status| !status.admits(cost))
    }
}

/// Fewest remaining, then latest reset, then first (shortest).
pub(crate) fn scarcest<'a>(quotas: impl Iterator<Item = &'a QuotaStatus>) -> Option<&'a QuotaStatus> {
    quotas
        .filter_map(|status| status.balance().map(|balance| (balance, status)))
        .min_by_key(|(balance, status)| (*balance, std::cmp::Reverse(status.resets_at())))
        .map(|(_, status)| status)
}

impl<'a> IntoIterator for &'a Quotas {
    type Item = &'a QuotaStatus;
    type IntoIter = std::slice::Iter<'a, QuotaStatus>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<QuotaStatus> for Quotas {
    fn from_iter<I: IntoIterator<Item = QuotaStatus>>(quotas: I) -> Self {
        let quotas: Vec<QuotaStatus> = quotas.into_iter().collect();
        Self(match *quotas.as_slice() {
            [] => Statuses::Few(0, [NONE, NONE]),
            [one] => Statuses::Few(1, [one, NONE]),
            [one, other] => Statuses::Few(2, [one, other]),
            _ => Statuses::Many(quotas.into()),
        })
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self::from_iter([])
    }
}

impl PartialEq for Quotas {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Quotas {}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(balance) => balance.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl fmt::Debug for QuotaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {} used, {} held, {:?}", self.period, self.used, self.limit(), self.held, self.window)
    }
}
