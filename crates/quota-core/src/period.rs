//! How long a window lasts.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// The unit of a [`Period`], short to long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A second of elapsed time.
    Second,
    /// Sixty seconds of elapsed time.
    Minute,
    /// Sixty minutes of elapsed time.
    Hour,
    /// A calendar day in the anchor's zone: 23 or 25 hours where clocks change.
    Day,
    /// Seven calendar days in the anchor's zone.
    Week,
    /// A calendar month in the anchor's zone.
    Month,
    /// Twelve calendar months in the anchor's zone.
    Year,
}

/// A unit and a count: every 15 minutes, every 3 months. Ordered short to long: by unit, then by count.
///
/// ```
/// use quota_core::{Period, Unit};
///
/// assert_eq!(Period::new(Unit::Minute, 15)?.to_string(), "15-minute");
/// assert_eq!(Period::DAY.to_string(), "day");
/// assert!(Period::new(Unit::Day, 0).is_err());
/// # Ok::<(), quota_core::PeriodError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    unit: Unit,
    every: NonZeroU32,
}

/// Why a unit and a count are no period.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeriodError {
    /// A count of 0 or above [`Period::MAX_EVERY`].
    #[error("every {every} is not between 1 and {}", Period::MAX_EVERY)]
    Every {
        /// The count that was given.
        every: u64,
    },
    /// Not the name of a unit.
    #[error("{name:?} is no unit: use SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR")]
    UnknownUnit {
        /// The name that was given.
        name: String,
    },
}

impl Unit {
    /// All units, short to long.
    pub const ALL: [Self; 7] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The name in plans: upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// The name in headers and problem documents: lower case.
    #[must_use]
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl Period {
    /// The greatest count.
    pub const MAX_EVERY: u32 = 100_000;
    /// Every second.
    pub const SECOND: Self = Self::single(Unit::Second);
    /// Every minute.
    pub const MINUTE: Self = Self::single(Unit::Minute);
    /// Every hour.
    pub const HOUR: Self = Self::single(Unit::Hour);
    /// Every day.
    pub const DAY: Self = Self::single(Unit::Day);
    /// Every week.
    pub const WEEK: Self = Self::single(Unit::Week);
    /// Every month.
    pub const MONTH: Self = Self::single(Unit::Month);
    /// Every year.
    pub const YEAR: Self = Self::single(Unit::Year);

    const fn single(unit: Unit) -> Self {
        Self { unit, every: NonZeroU32::MIN }
    }

    pub(crate) const fn parts(self) -> (Unit, NonZeroU32) {
        (self.unit, self.every)
    }

    /// The period that had these parts.
    pub(crate) const fn of_parts(unit: Unit, every: NonZeroU32) -> Self {
        Self { unit, every }
    }

    /// Every `every` units.
    ///
    /// # Errors
    /// [`PeriodError::Every`] for 0 and above [`Period::MAX_EVERY`].
    pub fn new(unit: Unit, every: u32) -> Result<Self, PeriodError> {
        match NonZeroU32::new(every) {
            Some(count) if every <= Self::MAX_EVERY => Ok(Self { unit, every: count }),
            _ => Err(PeriodError::Every { every: u64::from(every) }),
        }
    }

    /// What no window of this period outlasts, whatever its anchor, its zone and the length of its months: a calendar day
    /// more than the calendar's longest, for clocks may be put back by up to a day (as Alaska's were in 1867).
    #[must_use]
    pub fn longest(self) -> Duration {
        let every = u64::from(self.every());
        // At most 100,000 years: far below 2^64 seconds.
        let days = |days: u64| days.saturating_mul(86_400);
        let calendar = |most: u64| days(most.saturating_add(1));
        Duration::from_secs(match self.unit {
            Unit::Second => every,
            Unit::Minute => every.saturating_mul(60),
            Unit::Hour => every.saturating_mul(3_600),
            Unit::Day => calendar(every),
            Unit::Week => calendar(every.saturating_mul(7)),
            Unit::Month => calendar(every.saturating_mul(31).min(every.div_ceil(12).saturating_mul(366))),
            Unit::Year => calendar(every.saturating_mul(366)),
        })
    }

    /// The unit.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// How many units, 1 to [`Period::MAX_EVERY`].
    #[must_use]
    pub const fn every(self) -> u32 {
        self.every.get()
    }
}

impl FromStr for Unit {
    type Err = PeriodError;

    fn from_str(name: &str) -> Result<Self, PeriodError> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.as_str() == name)
            .ok_or_else(|| PeriodError::UnknownUnit { name: name.chars().take(64).collect() })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Writes the name of the quota: `day`, `15-minute`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.every() {
            1 => f.write_str(self.unit.lower()),
            every => write!(f, "{every}-{}", self.unit.lower()),
        }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({self})")
    }
}
