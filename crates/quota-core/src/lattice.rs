//! The windows of a period, laid out from its anchor.

use std::fmt;
use std::num::NonZeroU32;

use chrono::offset::LocalResult;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use thiserror::Error;

use crate::instant::{Instant, InstantError};
use crate::period::{Period, Unit};
use crate::window::Window;

/// An instant and a time zone that align the windows of a quota. It starts nothing: windows reach back
/// before it as they reach forward after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Anchor {
    at: Instant,
    zone: Tz,
}

/// A period and its anchor: every window of a quota, without its limit.
///
/// Boundary `B(k)` stands `k` periods from the anchor. Seconds, minutes and hours are elapsed time; days,
/// weeks, months and years are the anchor's wall time on a later or earlier date, the day clamped to the
/// month's last and always counted from the anchor itself, so a clamp never carries over. A wall time that
/// occurs twice is the earlier instant; one that does not occur is moved forward by the length of the gap
/// (RFC 5545, Temporal's "compatible").
///
/// ```
/// use quota_core::{Anchor, Lattice, Period};
///
/// let anchor = Anchor::new("2023-01-31T00:00:00Z".parse()?, chrono_tz::UTC);
/// let month = Lattice::new(Period::MONTH, anchor).window_at("2023-03-15T00:00:00Z".parse()?)?;
/// assert_eq!(month.start(), "2023-02-28T00:00:00Z".parse()?);
/// assert_eq!(month.end(), "2023-03-31T00:00:00Z".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lattice {
    // Flat, and so 16 bytes instead of 24: every slot of every account has one.
    at: Instant,
    every: NonZeroU32,
    zone: Tz,
    unit: Unit,
}

/// A window begins before 1970 or ends after 2099.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the {period} quota has no window from 1970 to 2099 that holds {instant}")]
pub struct WindowOutOfRange {
    /// Whose window.
    pub period: Period,
    /// The instant whose window was sought.
    pub instant: Instant,
}

/// A name that the IANA time zone database does not know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is no IANA time zone")]
pub struct UnknownZone {
    name: String,
}

impl Anchor {
    /// Aligns windows to `at`, calendar units to its wall time in `zone`.
    #[must_use]
    pub const fn new(at: Instant, zone: Tz) -> Self {
        Self { at, zone }
    }

    /// The same with a zone by its IANA name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`UnknownZone`]
    pub fn in_zone(at: Instant, name: &str) -> Result<Self, UnknownZone> {
        zone(name).map(|zone| Self { at, zone })
    }

    /// The instant.
    #[must_use]
    pub const fn at(self) -> Instant {
        self.at
    }

    /// The zone whose wall time and calendar count.
    #[must_use]
    pub const fn zone(self) -> Tz {
        self.zone
    }
}

/// The zone of an IANA name, compared by bytes.
///
/// # Errors
/// [`UnknownZone`]
pub fn zone(name: &str) -> Result<Tz, UnknownZone> {
    name.parse().map_err(|_| UnknownZone { name: name.chars().take(64).collect() })
}

impl Lattice {
    /// The windows of `period`, aligned to `anchor`.
    #[must_use]
    pub const fn new(period: Period, anchor: Anchor) -> Self {
        let (unit, every) = period.parts();
        Self { at: anchor.at, every, zone: anchor.zone, unit }
    }

    /// The period.
    #[must_use]
    pub const fn period(self) -> Period {
        Period::of_parts(self.unit, self.every)
    }

    /// The anchor.
    #[must_use]
    pub const fn anchor(self) -> Anchor {
        Anchor::new(self.at, self.zone)
    }

    /// The one window with `start <= now < end`, in constant time however far the anchor is.
    ///
    /// # Errors
    /// [`WindowOutOfRange`] where it begins before 1970 or ends after 2099.
    pub fn window_at(self, now: Instant) -> Result<Window, WindowOutOfRange> {
        self.index_at(now)
            .and_then(|index| self.window(index))
            .ok_or(WindowOutOfRange { period: self.period(), instant: now })
    }

    /// The window of `now` and the ones that follow, at most `count` and none that ends after 2099. Windows
    /// that a zone skipped are left out.
    ///
    /// # Errors
    /// [`WindowOutOfRange`] as for [`Lattice::window_at`].
    pub fn windows_from(self, now: Instant, count: usize) -> Result<Vec<Window>, WindowOutOfRange> {
        let first = self.index_at(now).ok_or(WindowOutOfRange { period: self.period(), instant: now })?;
        let windows: Vec<_> =
            (first..).map_while(|index| self.window(index)).filter(|window| !window.is_empty()).take(count).collect();
        if windows.is_empty() {
            return Err(WindowOutOfRange { period: self.period(), instant: now });
        }
        Ok(windows)
    }

    fn window(self, index: i64) -> Option<Window> {
        let next = index.checked_add(1)?;
        let start = Instant::from_millis(self.boundary(index)?).ok()?;
        let end = Instant::from_millis(self.boundary(next)?).ok()?;
        Window::new(start, end).ok()
    }

    /// `k` with `B(k) <= now < B(k+1)`.
    fn index_at(self, now: Instant) -> Option<i64> {
        let every = i64::from(self.every.get());
        let elapsed = now.millis() - self.at.millis();
        let mut index = match self.unit_millis() {
            Some(unit) => return Some(elapsed.div_euclid(every * unit)),
            None => self.calendar_distance(now).div_euclid(every),
        };
        // The estimate ignores the time of day and what zones do to it: off by one, by two next to a skipped day.
        while self.boundary(index)? > now.millis() {
            index -= 1;
        }
        while self.boundary(index + 1).is_some_and(|next| next <= now.millis()) {
            index += 1;
        }
        Some(index)
    }

    /// Milliseconds of a unit that is elapsed time.
    const fn unit_millis(self) -> Option<i64> {
        match self.unit {
            Unit::Second => Some(1_000),
            Unit::Minute => Some(60_000),
            Unit::Hour => Some(3_600_000),
            Unit::Day | Unit::Week | Unit::Month | Unit::Year => None,
        }
    }

    /// Whole units by date from the anchor to `now`.
    fn calendar_distance(self, now: Instant) -> i64 {
        let from = local(self.at, self.zone).date();
        let to = local(now, self.zone).date();
        match self.unit {
            Unit::Month => month_number(to) - month_number(from),
            Unit::Year => (month_number(to) - month_number(from)).div_euclid(12),
            Unit::Week => (to - from).num_days().div_euclid(7),
            Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => (to - from).num_days(),
        }
    }

    /// `B(k)` in milliseconds since 1970; none where chrono's calendar ends.
    fn boundary(self, index: i64) -> Option<i64> {
        let units = index.checked_mul(i64::from(self.every.get()))?;
        if let Some(unit) = self.unit_millis() {
            return self.at.millis().checked_add(units.checked_mul(unit)?);
        }
        let wall = local(self.at, self.zone);
        let wall = match self.unit {
            Unit::Month => add_months(wall, units)?,
            Unit::Year => add_months(wall, units.checked_mul(12)?)?,
            Unit::Week => add_days(wall, units.checked_mul(7)?)?,
            Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => add_days(wall, units)?,
        };
        instant_of_wall(wall, self.zone)
    }
}

fn month_number(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn add_days(wall: NaiveDateTime, days: i64) -> Option<NaiveDateTime> {
    let count = Days::new(days.unsigned_abs());
    if days < 0 { wall.checked_sub_days(count) } else { wall.checked_add_days(count) }
}

/// Chrono clamps the day to the month's last, as the rule asks.
fn add_months(wall: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { wall.checked_sub_months(count) } else { wall.checked_add_months(count) }
}

/// The wall time of an instant in a zone.
pub(crate) fn local(at: Instant, zone: Tz) -> NaiveDateTime {
    zone.from_utc_datetime(&at.to_utc().naive_utc()).naive_local()
}

impl Instant {
    /// The first instant of a calendar day in a zone. A day that the zone skipped begins when the next one does; where
    /// midnight occurs twice, the first counts.
    ///
    /// # Errors
    /// [`InstantError::OutOfRange`] before 1970 and after 2099.
    pub fn first_of_day(day: NaiveDate, zone: Tz) -> Result<Self, InstantError> {
        let midnight = day.and_time(NaiveTime::MIN);
        instant_of_wall(midnight, zone).map_or(Err(InstantError::OutOfRange), Self::from_millis)
    }
}

/// The instant of a wall time, in milliseconds since 1970.
fn instant_of_wall(wall: NaiveDateTime, zone: Tz) -> Option<i64> {
    let found: DateTime<Utc> = match zone.from_local_datetime(&wall) {
        LocalResult::Single(one) => one.to_utc(),
        LocalResult::Ambiguous(one, other) => one.to_utc().min(other.to_utc()),
        LocalResult::None => {
            // The offset from before the gap moves the wall time forward by the gap's length. A day
            // earlier is before it: no offset exceeds 15 hours.
            let before = wall.checked_sub_signed(TimeDelta::days(1))?;
            let offset = zone.offset_from_utc_datetime(&before).fix();
            wall.checked_sub_signed(TimeDelta::seconds(i64::from(offset.local_minus_utc())))?.and_utc()
        }
    };
    Some(found.timestamp_millis())
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchor({} {})", self.at, self.zone)
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lattice({} from {} {})", self.period(), self.at, self.zone)
    }
}
