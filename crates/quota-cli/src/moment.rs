//! Days and instants as they are typed.

use anyhow::{Context, bail};
use quota_core::{Instant, NaiveDate, Tz, Window, zone};

/// Reads a time zone's name.
pub(crate) fn read_zone(name: &str) -> Result<Tz, String> {
    zone(name).map_err(|error| error.to_string())
}

/// Reads a calendar day: `2024-03-31`.
pub(crate) fn read_day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| format!("{text:?} is no day: write it as 2024-03-31"))
}

/// A day's first instant in a zone, or an instant with its offset: `2024-03-31` or `2024-03-31T12:00:00Z`.
pub(crate) fn moment(text: &str, zone: Tz) -> anyhow::Result<Instant> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Instant::first_of_day(day, zone).with_context(|| text.to_owned());
    }
    text.parse().with_context(|| format!("{text:?} is no day (2024-03-31) and no instant (2024-03-31T12:00:00Z)"))
}

/// The same, for what repeats at its time of day.
///
/// # Errors
/// On a day that begins later there, since its midnight is skipped.
pub(crate) fn midnight(text: &str, zone: Tz) -> anyhow::Result<Instant> {
    let at = moment(text, zone)?;
    if text.parse::<NaiveDate>().is_ok() && at.to_utc().with_timezone(&zone).time() != Default::default() {
        bail!("{text} has no midnight in {zone}, whose clocks skip it: name another day, or an instant");
    }
    Ok(at)
}

/// A half-open range of moments. The day after the last of all days ends it with the last instant there is, and the first of all
/// days begins it with the first.
pub(crate) fn range(from: &str, to: &str, zone: Tz) -> anyhow::Result<Window> {
    let is_new_year = |text: &str, year| NaiveDate::from_ymd_opt(year, 1, 1).is_some_and(|day| text.parse() == Ok(day));
    let or = |text: &str, year, instead| match moment(text, zone) {
        Err(_) if is_new_year(text, year) => Ok(instead),
        moment => moment,
    };
    Ok(Window::new(or(from, 1970, Instant::MIN)?, or(to, 2100, Instant::MAX)?)?)
}

/// The day in a zone that holds an instant.
pub(crate) fn day_of(at: Instant, zone: Tz) -> anyhow::Result<NaiveDate> {
    let mut days = (-1..=1).filter_map(|offset| NaiveDate::from_num_days_from_ce_opt(day_number(at) + offset));
    let holds = |day: &NaiveDate| {
        let begins = Instant::first_of_day(*day, zone);
        let ends = day.succ_opt().and_then(|next| Instant::first_of_day(next, zone).ok());
        begins.is_ok_and(|begins| begins <= at) && ends.is_none_or(|ends| at < ends)
    };
    match days.find(holds) {
        Some(day) => Ok(day),
        None => bail!("no day in {zone} holds {at}"),
    }
}

/// Days since the first of the year 1, in UTC.
fn day_number(at: Instant) -> i32 {
    const UNTIL_1970: i64 = 719_163;
    i32::try_from(at.millis().div_euclid(86_400_000) + UNTIL_1970).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_midnight_repeats_at_none() {
        let (beirut, sao_paulo) = (Tz::Asia__Beirut, Tz::America__Sao_Paulo);
        for (day, zone) in [("2024-03-31", beirut), ("2018-11-04", sao_paulo)] {
            let refused = midnight(day, zone).unwrap_err().to_string();
            assert!(refused.contains("has no midnight"), "{refused}");
        }
        assert_eq!(midnight("2024-03-30", beirut).unwrap(), moment("2024-03-30", beirut).unwrap());
        assert_eq!(midnight("2024-03-31T01:00:00Z", beirut).unwrap().to_string(), "2024-03-31T01:00:00.000Z");
    }

    #[test]
    fn a_day_begins_at_its_zones_midnight() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let new_york = read_zone("America/New_York").unwrap();
        assert_eq!(moment("2024-03-10", new_york).unwrap(), at("2024-03-10T05:00:00Z"));
        assert_eq!(moment("2024-03-11", new_york).unwrap(), at("2024-03-11T04:00:00Z"));
        assert_eq!(moment("2024-03-11T00:00:00+02:00", new_york).unwrap(), at("2024-03-10T22:00:00Z"));
        for (instant, day) in [("2024-03-10T04:59:59.999Z", "2024-03-09"), ("2024-03-10T05:00:00Z", "2024-03-10")] {
            assert_eq!(day_of(at(instant), new_york).unwrap().to_string(), day);
        }
        assert!(moment("yesterday", new_york).is_err());
        assert!(range("2024-03-11", "2024-03-10", new_york).is_err());
        assert_eq!(range("2099-12-31", "2100-01-01", Tz::UTC).unwrap().end(), Instant::MAX);
        assert!(range("2099-12-31", "2100-01-02", Tz::UTC).is_err());
        let berlin = read_zone("Europe/Berlin").unwrap();
        assert_eq!(range("1970-01-01", "1970-01-02", berlin).unwrap().start(), Instant::MIN);
        assert_eq!(range("1970-01-01", "1970-01-02", new_york).unwrap().start(), at("1970-01-01T05:00:00Z"));
        assert!(range("1969-12-31", "1970-01-02", berlin).is_err());
    }
}
