//! What was chosen for a store.

use std::time::Duration;

use quota_core::{Detail, Instant, Terms};

use crate::id_counts::{HOURS, last_hour_of};
use crate::keys::{DAY_MILLIS, Key, KeyPrefix, day_of};
use crate::stored::Memory;

/// What was chosen for a store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: KeyPrefix,
    pub(crate) detail: Detail,
    pub(crate) retention: Option<Duration>,
    pub(crate) ids_for: Duration,
    /// How many replicas a commit waits for, and how long.
    pub(crate) wait: Option<(usize, Duration)>,
    /// How long a commit is tried again while others change the account.
    pub(crate) patience: Duration,
}

/// How many ids of callers a ledger with quarters remembers for a client.
const MAX_IDS: u64 = 100_000;

/// Milliseconds for which ids of one key are gathered that were made for callers who gave none. They are there for the
/// retry of an operation whose fate is not known, for one to two such spans.
const RETRIES_MILLIS: i64 = 600_000;

/// Keys outlive what they are needed for by so much: the server's clock decides about them, and no other.
const MARGIN: Duration = Duration::from_secs(86_400);

/// Ids that are remembered for longer are counted by day, that the account may stay short.
const COUNTED_BY_HOUR: Duration = Duration::from_secs(3 * 86_400);

impl Settings {
    /// Ids for a day, and all else for ever.
    #[cfg(test)]
    pub(crate) fn of_tests(detail: Detail) -> Self {
        let (prefix, ids_for) = (KeyPrefix::default(), Duration::from_secs(86_400));
        Self { prefix, detail, retention: None, ids_for, wait: None, patience: Duration::ZERO }
    }

    /// With quarters: from which day of writing on ids are remembered.
    pub(crate) fn first_day_of_ids(&self, now: Instant) -> i64 {
        day_of(now.saturating_sub(self.ids_for).millis())
    }

    /// The same, by the hours that they count in.
    pub(crate) fn first_hour_of_ids(&self, now: Instant) -> i64 {
        hour_of(now.saturating_sub(self.ids_for).millis())
    }

    /// The hour that an id counts in.
    pub(crate) fn hour_of_id(&self, written: Instant) -> i64 {
        let millis = written.millis();
        if self.ids_for <= COUNTED_BY_HOUR { hour_of(millis) } else { last_hour_of(day_of(millis)) }
    }

    /// Which ten minutes.
    pub(crate) const fn retries_of(now: Instant) -> i64 {
        now.millis().div_euclid(RETRIES_MILLIS)
    }

    pub(crate) fn is_forgotten(&self, written: Instant, now: Instant) -> bool {
        self.detail == Detail::Quarters && now.since(written) >= self.ids_for
    }

    pub(crate) fn terms(&self, memory: &Memory, now: Instant) -> Terms {
        let room = match self.detail {
            Detail::Entries => usize::MAX,
            Detail::Quarters => {
                let ids = memory.ids.since(self.first_hour_of_ids(now));
                usize::try_from(MAX_IDS.saturating_sub(ids)).unwrap_or_default()
            }
        };
        let Self { detail, retention, .. } = *self;
        Terms { detail, folded_until: memory.folded_until, room_for_ids: room, retention }
    }

    /// In how many milliseconds the sums and entries of a day may go; none where they are kept for ever. Counted from now
    /// and not to an instant, for the account's time need not be the server's.
    pub(crate) fn expiry_of_day(&self, day: i64, now: Instant) -> Option<String> {
        let retention = self.retention?.saturating_add(MARGIN);
        let left = day.saturating_add(1).saturating_mul(DAY_MILLIS).saturating_sub(now.millis());
        Some(left.max(0).saturating_add(millis(retention)).to_string())
    }

    /// The first millisecond of the first day whose keys are still there; none where they are kept for ever.
    pub(crate) fn horizon(&self, now: Instant) -> Option<i64> {
        let retention = self.retention?.saturating_add(MARGIN);
        Some(day_of(now.saturating_sub(retention).millis()).saturating_mul(DAY_MILLIS))
    }

    /// In how many milliseconds a day's ids may go, from when its first is written.
    pub(crate) fn expiry_of_ids(&self) -> String {
        millis(self.ids_for.saturating_add(MARGIN)).saturating_add(DAY_MILLIS).to_string()
    }

    /// Whether nobody looks any more for ids that were made in a key's span: two later ones have begun, and so has a third for who is slow.
    pub(crate) const fn is_past(&self, key: Key, now: Instant) -> bool {
        matches!(key, Key::Retries(span) if span.saturating_add(2) < Self::retries_of(now))
    }

    pub(crate) fn expiry_of_retries() -> String {
        (3 * RETRIES_MILLIS).to_string()
    }
}

/// Counted from 1970.
const fn hour_of(millis: i64) -> i64 {
    millis.div_euclid(DAY_MILLIS / HOURS)
}

fn millis(duration: Duration) -> i64 {
    // PEXPIRE takes no more than what still gives an instant: 10,000 years are for ever.
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(10_000 * 366 * DAY_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 19_797;
    const START: i64 = DAY * DAY_MILLIS;
    const END: i64 = START + DAY_MILLIS;

    fn settings(retention: Option<Duration>, ids_for: Duration) -> Settings {
        Settings { retention, ids_for, ..Settings::of_tests(Detail::Quarters) }
    }

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 86_400)
    }

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis).unwrap()
    }

    /// When a day's keys may go that were written at an instant.
    fn expires(settings: &Settings, written: i64) -> i64 {
        written + settings.expiry_of_day(DAY, at(written)).unwrap().parse::<i64>().unwrap()
    }

    #[test]
    fn keys_of_a_day_outlive_its_end_by_the_retention_and_a_day() {
        let settings = settings(Some(days(400)), days(1));
        for written in [START - 30 * DAY_MILLIS, START, START + DAY_MILLIS / 2, END - 1] {
            let expires = expires(&settings, written);
            assert!(expires >= END + 401 * DAY_MILLIS, "{written}");
            assert!(settings.horizon(at(expires)).unwrap() > START, "nobody reads the day any more");
        }
        for written in [END, END + 1, END + 900 * DAY_MILLIS] {
            assert!(expires(&settings, written) >= written + 401 * DAY_MILLIS, "{written}");
        }
    }

    #[test]
    fn a_day_is_read_for_as_long_as_its_retention() {
        let settings = settings(Some(days(400)), days(1));
        for age in [0, 1, DAY_MILLIS, 400 * DAY_MILLIS] {
            assert!(settings.horizon(at(END + age)).unwrap() <= START, "{age}");
        }
    }

    #[test]
    fn without_a_retention_a_day_is_kept_for_ever() {
        let settings = settings(None, days(1));
        assert_eq!((settings.expiry_of_day(DAY, at(START)), settings.horizon(at(START))), (None, None));
    }

    #[test]
    fn a_retention_without_an_end_is_one_that_servers_take() {
        let settings = settings(Some(Duration::MAX), Duration::MAX);
        let ids = START + settings.expiry_of_ids().parse::<i64>().unwrap();
        for expires in [expires(&settings, START), ids] {
            assert!((9_000 * 365 * DAY_MILLIS..i64::MAX / 2).contains(&expires), "{expires}");
        }
    }

    #[test]
    fn ids_take_room_until_the_hour_that_they_were_forgotten_in_is_over() {
        for (ids_for, most) in [(days(1) / 24, 1), (days(1), 1), (days(3), 1), (days(4), 24)] {
            let settings = settings(None, ids_for);
            for minute in [0, 1, 59, 60, 719, 1_439] {
                let written = at(START + minute * 60_000);
                let mut memory = Memory::default();
                memory.ids.add(settings.hour_of_id(written), MAX_IDS);
                let room = |now: Instant| settings.terms(&memory, now).room_for_ids;
                let forgotten = written.saturating_add(ids_for);
                assert_eq!(room(at(forgotten.millis() - 1)), 0, "{ids_for:?} {minute}");
                assert_eq!(room(at(forgotten.millis() + most * 3_600_000)), 100_000, "{ids_for:?} {minute}");
            }
        }
    }

    #[test]
    fn ids_of_a_day_outlive_the_last_of_them_by_what_they_are_remembered_for_and_a_day() {
        for ids_for in [Duration::ZERO, Duration::from_secs(1), days(1), days(30)] {
            let settings = settings(None, ids_for);
            // Counted from the first.
            let expires = START + settings.expiry_of_ids().parse::<i64>().unwrap();
            let remembered = at(END - 1).saturating_add(ids_for);
            assert!(at(expires).since(remembered) >= MARGIN, "{ids_for:?}");
            assert!(settings.is_forgotten(at(END - 1), at(expires)) && settings.first_day_of_ids(at(expires)) > DAY);
        }
    }

    #[test]
    fn ids_that_were_made_outlive_the_span_after_theirs_by_ten_minutes() {
        let span = Settings::retries_of(at(START));
        let mut last = START;
        // They are looked for in the present span and in the one before.
        while Settings::retries_of(at(last + 60_000)) <= span + 1 {
            last += 60_000;
        }
        let expires = START + Settings::expiry_of_retries().parse::<i64>().unwrap();
        assert!(last >= START + 19 * 60_000 && expires >= last + 600_000, "{last} {expires}");
    }
}
