//! The clients of the example.

use quota_service::{Anchor, ClientId, Credits, IdError, Limit, Period, Plan, PlanRegistry, Quota, Tz};

use crate::keys::Keys;

/// A key for `acme` and one for `hobby`. They are no secrets: they stand in the README.
///
/// # Errors
/// None, since both are ids.
pub fn keys() -> Result<Keys, IdError> {
    Ok(Keys::new().with("sk-acme-7f3c", ClientId::new("acme")?).with("sk-hobby-19ab", ClientId::new("hobby")?))
}

/// `acme` has 10 credits a day and 100 a month; `hobby` has a tenth of one an hour, which is soon used.
///
/// # Errors
/// None, since all of it is in range.
pub fn plans() -> anyhow::Result<PlanRegistry> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse()?, Tz::UTC);
    let quota = |period, limit: Credits| Quota::new(period, Limit::Finite(limit), anchor);
    let acme = Plan::new([quota(Period::DAY, Credits::new(10)?), quota(Period::MONTH, Credits::new(100)?)])?;
    let hobby = Plan::new([quota(Period::HOUR, "0.1".parse()?)])?;
    Ok(PlanRegistry::new().with(ClientId::new("acme")?, acme).with(ClientId::new("hobby")?, hobby))
}
