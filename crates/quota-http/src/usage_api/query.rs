//! What the usage API is asked for in a query or a body.

use std::fmt::Display;

use chrono::{DateTime, Days, NaiveDate};
use http::HeaderValue;
use quota_core::{ClientId, GroupBy, Instant, Plan, Tz, Window, zone};
use quota_service::{ClientsQuery, DailyQuery, EntriesQuery};
use serde::Deserialize;

use crate::member::{Malformed, MemberError, member_from_query};

/// The days that are told where none are asked for.
const DAYS: u64 = 30;

/// The greatest number of days.
const MAX_DAYS: i64 = 3_660;

/// Clients and entries in a page, and at most.
const CLIENTS: (usize, usize) = (100, 200);
const ENTRIES: (usize, usize) = (100, 1_000);

/// The members of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

/// Local days, half-open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DayRange {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    pub(crate) query: DailyQuery,
}

/// The body of a plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    quotas: Plan,
}

fn wrong(member: &str, error: impl Display) -> Malformed {
    Malformed::new(member, error.to_string())
}

impl Query<'_> {
    fn text(self, member: &str) -> Result<Option<String>, Malformed> {
        member_from_query(Some(self.0), member)
    }

    /// The days between `from` and `to` in `tz`, by label or not: by default the last 30 that have begun.
    pub(crate) fn days(self, now: Instant) -> Result<DayRange, Malformed> {
        let tz = match self.text("tz")? {
            Some(name) => zone(&name).map_err(|error| wrong("tz", error))?,
            None => Tz::UTC,
        };
        let by = match self.text("by")?.as_deref() {
            None => GroupBy::Day,
            Some("label") => GroupBy::DayAndLabel,
            Some(_) => return Err(wrong("by", "it is label, or absent")),
        };
        let given = |member| self.text(member)?.map(|text| day(member, &text)).transpose();
        let (from, to) = (given("from")?, given("to")?);
        // At fault is what was asked for: what follows from the other bound is named by that.
        let of_from = if from.is_none() && to.is_some() { "to" } else { "from" };
        let of_to = if to.is_none() && from.is_some() { "from" } else { "to" };
        let to = match to {
            Some(to) => to,
            None => tomorrow(now, tz).ok_or_else(|| wrong(of_to, "there is no tomorrow in this zone"))?,
        };
        let from = from.unwrap_or_else(|| to.checked_sub_days(Days::new(DAYS)).unwrap_or(to));
        if to < from {
            return Err(wrong(of_to, format!("the days end on {to}, before they begin on {from}")));
        }
        if to.signed_duration_since(from).num_days() > MAX_DAYS {
            return Err(wrong(of_to, format!("from {from} to {to} it is more than {MAX_DAYS} days")));
        }
        let first = |member, day| Instant::first_of_day(day, tz).map_err(|error| wrong(member, error));
        let range = Window::new(first(of_from, from)?, first(of_to, to)?).map_err(|error| wrong(of_to, error))?;
        Ok(DayRange { from, to, query: DailyQuery { range, zone: tz, by } })
    }

    /// A page of entries between two instants, by default of all.
    pub(crate) fn entries(self) -> Result<EntriesQuery, Malformed> {
        let range = self.window()?.unwrap_or(Window::ALL);
        Ok(EntriesQuery { range, after: self.text("after")?, limit: self.limit(ENTRIES)? })
    }

    /// Where the next page is, for a `Link` (RFC 8288): the same query after this cursor, relative to the request.
    pub(crate) fn link_to(self, after: &str) -> Option<HeaderValue> {
        let members = form_urlencoded::parse(self.0.as_bytes()).filter(|(name, _)| name != "after");
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(members).append_pair("after", after).finish();
        HeaderValue::try_from(format!("<?{query}>; rel=\"next\"")).ok()
    }

    /// A page of clients.
    pub(crate) fn clients(self) -> Result<ClientsQuery, Malformed> {
        let after = self.text("after")?.map(|text| ClientId::new(text).map_err(|error| wrong("after", error)));
        let prefix = self.text("prefix")?.unwrap_or_default();
        if !prefix.is_empty() {
            // What no id begins with need not be looked for.
            ClientId::new(&prefix).map_err(|error| wrong("prefix", error))?;
        }
        Ok(ClientsQuery { prefix, after: after.transpose()?, limit: self.limit(CLIENTS)? })
    }

    /// What is to be deleted: both bounds, or all. Nothing is deleted by leaving something out.
    pub(crate) fn range_to_delete(self) -> Result<Window, Malformed> {
        match (self.text("all")?.as_deref(), self.window()?) {
            (None, Some(range)) if self.text("from")?.is_some() && self.text("to")?.is_some() => Ok(range),
            (None, None) => Err(Malformed::new("from", MemberError::Missing)),
            (None, Some(_)) if self.text("from")?.is_none() => Err(Malformed::new("from", MemberError::Missing)),
            (None, Some(_)) => Err(Malformed::new("to", MemberError::Missing)),
            (Some("true"), None) => Ok(Window::ALL),
            (Some("true"), Some(_)) => Err(wrong("all", "it stands without from and to")),
            (Some(_), _) => Err(wrong("all", "it is true, or absent")),
        }
    }

    /// From one instant to another; none where neither is given.
    fn window(self) -> Result<Option<Window>, Malformed> {
        let instant = |member| {
            let text = self.text(member)?;
            text.map(|text| text.parse::<Instant>().map_err(|error| wrong(member, error))).transpose()
        };
        match (instant("from")?, instant("to")?) {
            (None, None) => Ok(None),
            (from, to) => {
                let (from, to) = (from.unwrap_or(Instant::MIN), to.unwrap_or(Instant::MAX));
                Window::new(from, to).map(Some).map_err(|error| wrong("to", error))
            }
        }
    }

    fn limit(self, (usual, most): (usize, usize)) -> Result<usize, Malformed> {
        let Some(text) = self.text("limit")? else { return Ok(usual) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text);
        let limit = digits.and_then(|text| text.parse().ok()).filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| wrong("limit", format!("it is a number from 1 to {most}")))
    }
}

/// The plan in a body of JSON: `{"quotas": [...]}`.
pub(crate) fn plan(body: &[u8]) -> Result<Plan, Malformed> {
    // What is derived would take an array of its members as well.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("body", "it is an object of JSON: {\"quotas\": [...]}"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read: Result<PlanBody, _> = serde_path_to_error::deserialize(&mut json);
    let body = read.map_err(|error| {
        // A place of which nothing is known is told by what it lies in.
        let path = error.path().to_string();
        let path = path.trim_end_matches('?').trim_end_matches('.');
        if path.is_empty() { wrong("body", error.inner()) } else { wrong(path, without_place(error.inner())) }
    })?;
    json.end().map_err(|error| wrong("body", error))?;
    Ok(body.quotas)
}

/// What is wrong, without the line and the column: the member is named.
fn without_place(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// A calendar day as `2024-03-31`, and in no other form.
fn day(member: &str, text: &str) -> Result<NaiveDate, Malformed> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = text.parse().ok().filter(|_| is_plain);
    day.ok_or_else(|| wrong(member, "it is a day such as 2024-03-31"))
}

fn tomorrow(now: Instant, tz: Tz) -> Option<NaiveDate> {
    DateTime::from_timestamp_millis(now.millis())?.with_timezone(&tz).date_naive().succ_opt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-03-31T23:30:00Z";

    fn days(query: &str) -> Result<(String, String), String> {
        let days = Query(query).days(NOW.parse().unwrap());
        days.map(|days| (days.from.to_string(), days.to.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_last_thirty_days_are_told_in_the_zone() {
        assert_eq!(days(""), Ok(("2024-03-02".to_owned(), "2024-04-01".to_owned())));
        assert_eq!(days("tz=Europe/Berlin"), Ok(("2024-03-03".to_owned(), "2024-04-02".to_owned())));
        assert_eq!(days("from=2024-03-30"), Ok(("2024-03-30".to_owned(), "2024-04-01".to_owned())));
        assert_eq!(days("from=2024-03-30&to=2024-03-30"), Ok(("2024-03-30".to_owned(), "2024-03-30".to_owned())));
    }

    #[test]
    fn what_is_no_range_of_days_is_named() {
        for (query, member) in [
            ("from=2024-3-1", "from"),
            ("from=%2B2024-03-1", "from"),
            ("to=2024-02-30", "to"),
            ("to=", "to"),
            ("from=2024-03-02&to=2024-03-01", "to"),
            ("from=2000-01-01&to=2024-01-01", "to"),
            ("from=1969-01-01&to=1969-02-01", "from"),
            ("from=2024-05-01", "from"),
            ("from=1970-01-01", "from"),
            ("to=1970-01-20", "to"),
            ("to=9999-12-31", "to"),
            ("tz=Mars/Olympus", "tz"),
            ("tz=../../etc/passwd", "tz"),
            ("by=client", "by"),
            ("from=2024-03-01&from=2024-03-02", "from"),
        ] {
            let error = days(query).unwrap_err();
            assert!(error.starts_with(&format!("{member}: ")), "{query}: {error}");
        }
    }

    #[test]
    fn nothing_is_deleted_by_leaving_something_out() {
        let range = |query| Query(query).range_to_delete().map_err(|error| error.member().to_owned());
        assert_eq!(range("all=true"), Ok(Window::ALL));
        assert!(range("from=2024-03-01T00:00:00Z&to=2024-03-02T00:00:00Z").is_ok());
        for (query, member) in [
            ("", "from"),
            ("from=2024-03-01T00:00:00Z", "to"),
            ("to=2024-03-01T00:00:00Z", "from"),
            ("all=yes", "all"),
            ("all=true&from=2024-03-01T00:00:00Z&to=2024-03-02T00:00:00Z", "all"),
            ("from=2024-03-02T00:00:00Z&to=2024-03-01T00:00:00Z", "to"),
            ("from=2024-03-01&to=2024-03-02", "from"),
        ] {
            assert_eq!(range(query), Err(member.to_owned()), "{query}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_named_by_its_place() {
        let quota = r#"{"period":"DAY","every":1,"limit":"5","anchor":"2024-01-01T00:00:00Z","tz":"UTC"}"#;
        assert_eq!(plan(format!(r#"{{"quotas":[{quota}]}}"#).as_bytes()).unwrap().quotas().len(), 1);
        let deep = format!("{{\"quotas\":{}", "[".repeat(10_000));
        for (body, member) in [
            (format!(r#"{{"quotas":[{quota},{quota}]}}"#), "quotas"),
            (format!(r#"{{"quotas":[{}]}}"#, quota.replace("UTC", "Mars")), "quotas[0].tz"),
            (format!(r#"{{"quotas":[{quota}]}} x"#), "body"),
            (format!(r#"{{"quotas":[{quota}]"#), "body"),
            (r#"{"quotas":[],"x":1}"#.to_owned(), "x"),
            (deep, "quotas[0]"),
            (String::new(), "body"),
        ] {
            let error = plan(body.as_bytes()).unwrap_err();
            assert_eq!(error.member(), member, "{error}");
            assert_eq!(error.to_string().contains(" at line "), member == "body" && !body.is_empty(), "{error}");
        }
    }
}
