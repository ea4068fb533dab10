//! The worked windows, and windows at the edges.

use proptest::prelude::*;
use quota_core::{Anchor, Instant, Lattice, Period, Tz, Unit, Window};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    period: Unit,
    every: u32,
    anchor: Instant,
    tz: String,
    now: Instant,
    start: Instant,
    end: Instant,
}

#[test]
fn worked_windows_hold() {
    let cases = include_str!("vectors/windows.jsonl");
    let mut count = 0;
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let anchor = Anchor::in_zone(case.anchor, &case.tz).unwrap();
        let lattice = Lattice::new(Period::new(case.period, case.every).unwrap(), anchor);
        let expected = Window::new(case.start, case.end).unwrap();
        assert_eq!(lattice.window_at(case.now), Ok(expected), "{line}");
        count += 1;
    }
    assert_eq!(count, 3000);
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn lattice(unit: Unit, every: u32, anchor: &str, zone: &str) -> Lattice {
    Lattice::new(Period::new(unit, every).unwrap(), Anchor::in_zone(at(anchor), zone).unwrap())
}

fn ends(lattice: Lattice, now: &str, count: usize) -> Vec<String> {
    lattice.windows_from(at(now), count).unwrap().iter().map(|window| format!("{:#}", window.end())).collect()
}

#[test]
fn a_month_from_the_31st_clamps_and_comes_back() {
    let months = lattice(Unit::Month, 1, "2023-01-31T00:00:00Z", "UTC");
    assert_eq!(
        ends(months, "2023-01-31T00:00:00Z", 4),
        ["2023-02-28T00:00:00Z", "2023-03-31T00:00:00Z", "2023-04-30T00:00:00Z", "2023-05-31T00:00:00Z"]
    );
}

#[test]
fn a_year_from_29_february_renews_on_the_28th_but_in_leap_years() {
    let years = lattice(Unit::Year, 1, "2020-02-29T12:00:00Z", "UTC");
    assert_eq!(
        ends(years, "2022-06-01T00:00:00Z", 3),
        ["2023-02-28T12:00:00Z", "2024-02-29T12:00:00Z", "2025-02-28T12:00:00Z"]
    );
}

#[test]
fn a_minute_lasts_a_minute_when_clocks_go_back() {
    let minutes = lattice(Unit::Minute, 1, "2024-01-01T00:00:00Z", "Europe/Berlin");
    let window = minutes.window_at(at("2024-10-27T00:59:30Z")).unwrap();
    assert_eq!(window.length().as_secs(), 60);
}

#[test]
fn a_day_has_23_or_25_hours_where_clocks_change() {
    let days = lattice(Unit::Day, 1, "2024-01-01T00:00:00+01:00", "Europe/Berlin");
    assert_eq!(days.window_at(at("2024-03-31T12:00:00Z")).unwrap().length().as_secs(), 23 * 3600);
    assert_eq!(days.window_at(at("2024-10-27T12:00:00Z")).unwrap().length().as_secs(), 25 * 3600);
}

#[test]
fn a_wall_time_that_does_not_occur_moves_forward_by_the_gap() {
    let days = lattice(Unit::Day, 1, "2024-03-01T02:30:00+01:00", "Europe/Berlin");
    assert_eq!(days.window_at(at("2024-03-31T12:00:00Z")).unwrap().start(), at("2024-03-31T01:30:00Z"));
}

#[test]
fn a_skipped_day_is_an_empty_window_that_holds_no_instant() {
    // Samoa had no 30 December 2011.
    let days = lattice(Unit::Day, 1, "2011-12-01T00:00:00-10:00", "Pacific/Apia");
    let before = days.window_at(at("2011-12-30T09:59:59.999Z")).unwrap();
    assert_eq!(before.end(), at("2011-12-30T10:00:00Z"));
    let after = days.window_at(at("2011-12-30T10:00:00Z")).unwrap();
    assert_eq!((after.start(), after.end()), (at("2011-12-30T10:00:00Z"), at("2011-12-31T10:00:00Z")));
    assert_eq!(days.windows_from(at("2011-12-30T00:00:00Z"), 2).unwrap(), [before, after]);
}

#[test]
fn a_days_end_belongs_to_the_next_day() {
    let days = lattice(Unit::Day, 1, "2024-01-01T00:00:00Z", "UTC");
    let end = at("2024-01-02T00:00:00Z");
    assert!(!days.window_at(at("2024-01-01T23:59:59.999Z")).unwrap().contains(end));
    assert_eq!(days.window_at(end).unwrap().start(), end);
}

#[test]
fn windows_reach_back_before_the_anchor() {
    let months = lattice(Unit::Month, 3, "2030-05-31T00:00:00Z", "UTC");
    let window = months.window_at(at("2024-03-01T00:00:00Z")).unwrap();
    assert_eq!((window.start(), window.end()), (at("2024-02-29T00:00:00Z"), at("2024-05-31T00:00:00Z")));
}

#[test]
fn a_window_beyond_1970_or_2099_is_an_error_that_names_quota_and_instant() {
    for (unit, every, anchor, now) in [
        (Unit::Year, 100, "2000-01-01T00:00:00Z", "2050-01-01T00:00:00Z"),
        (Unit::Year, 1, "2000-07-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (Unit::Day, 1, "2000-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z"),
        (Unit::Second, 100_000, "2000-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (Unit::Year, 100_000, "2000-01-01T00:00:00Z", "1999-01-01T00:00:00Z"),
        (Unit::Month, 100_000, "2099-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z"),
    ] {
        let lattice = lattice(unit, every, anchor, "UTC");
        let error = lattice.window_at(at(now)).unwrap_err();
        assert_eq!((error.period, error.instant), (lattice.period(), at(now)));
        assert!(error.to_string().contains(&lattice.period().to_string()));
    }
}

fn any_lattice() -> impl Strategy<Value = Lattice> {
    let unit = prop::sample::select(Unit::ALL.to_vec());
    let every = prop_oneof![3 => 1_u32..40, 1 => 1_u32..=Period::MAX_EVERY];
    let zone = prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec());
    (unit, every, any_instant(), zone).prop_map(|(unit, every, anchor, zone): (_, _, _, Tz)| {
        Lattice::new(Period::new(unit, every).unwrap(), Anchor::new(anchor, zone))
    })
}

fn any_instant() -> impl Strategy<Value = Instant> {
    (Instant::MIN.millis()..=Instant::MAX.millis()).prop_map(|millis| Instant::from_millis(millis).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// An instant lies in its window, and so do the window's first and last instant; the next window begins where
    /// it ends.
    #[test]
    fn windows_tile_time(lattice in any_lattice(), now in any_instant()) {
        let Ok(window) = lattice.window_at(now) else { return Ok(()) };
        prop_assert!(window.contains(now));
        prop_assert_eq!(lattice.window_at(window.start()), Ok(window));
        let last = Instant::from_millis(window.end().millis() - 1).unwrap();
        prop_assert_eq!(lattice.window_at(last), Ok(window));
        if let Ok(next) = lattice.window_at(window.end()) {
            prop_assert_eq!(next.start(), window.end());
        }
    }

    #[test]
    fn no_window_outlasts_the_longest(lattice in any_lattice(), now in any_instant()) {
        if let Ok(window) = lattice.window_at(now) {
            prop_assert!(window.length() <= lattice.period().longest(), "{window} of {}", lattice.period());
        }
    }

    /// The anchor is itself a boundary, unless its window cannot be told.
    #[test]
    fn the_anchor_is_a_boundary(lattice in any_lattice()) {
        let anchor = lattice.anchor().at();
        let Ok(window) = lattice.window_at(anchor) else { return Ok(()) };
        let elapsed = matches!(lattice.period().unit(), Unit::Second | Unit::Minute | Unit::Hour);
        // A wall time that occurs twice begins its window the first time.
        let repeated = anchor.millis() - window.start().millis();
        prop_assert!(repeated == 0 || (!elapsed && repeated < 4 * 3_600_000 && repeated > 0));
    }
}
