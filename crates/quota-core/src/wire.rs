//! serde in the wire form: amounts as decimal strings, instants as RFC 3339, units in upper case.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use crate::credits::{Balance, Credits};
use crate::days::DayUsage;
use crate::decision::{Allowed, Denied, Status};
use crate::id::{ClientId, Label, OperationId};
use crate::instant::Instant;
use crate::lattice::{Anchor, UnknownZone, zone};
use crate::period::{Period, PeriodError, Unit};
use crate::plan::{Limit, Plan, Quota};
use crate::quotas::{QuotaStatus, Quotas, Remaining};

/// Reads a string through `FromStr`.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($type:ty: $expected:literal),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text::<Self>($expected, PhantomData))
            }
        }
    )*};
}

as_text! {
    Credits: "an amount of credits as a decimal string",
    Instant: "an instant in RFC 3339",
    ClientId: "a client id",
    OperationId: "an operation id",
    Label: "a label",
    Unit: "a unit in upper case",
    Limit: "an amount of credits as a decimal string, or \"unlimited\""
}

impl FromStr for Limit {
    type Err = crate::credits::CreditsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" { Ok(Self::Unlimited) } else { text.parse().map(Self::Finite) }
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Remaining {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A quota as it is written: no member more, none less.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireQuota {
    period: Unit,
    every: Every,
    limit: Limit,
    anchor: Instant,
    tz: Zone,
}

/// A count of units. It is refused where it stands, so that a reader of a file is told the line.
struct Every(u32);

/// A time zone by its name, refused where it stands.
struct Zone(Tz);

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;

        impl Visitor<'_> for Count {
            type Value = Every;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a count from 1 to {}", Period::MAX_EVERY)
            }

            fn visit_u64<E: de::Error>(self, every: u64) -> Result<Every, E> {
                let count = u32::try_from(every).map_err(|_| E::custom(PeriodError::Every { every }))?;
                // Whichever the unit is: the bounds are the same.
                Period::new(Unit::Second, count).map(|period| Every(period.every())).map_err(E::custom)
            }

            /// JSON has one kind of number: 1.0 is 1.
            fn visit_f64<E: de::Error>(self, every: f64) -> Result<Every, E> {
                match every.to_string().parse() {
                    Ok(whole) => self.visit_u64(whole),
                    Err(_) => Err(E::invalid_type(de::Unexpected::Float(every), &self)),
                }
            }
        }

        deserializer.deserialize_u64(Count)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        zone(name).map(Self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::<Self>("the name of a time zone", PhantomData))
    }
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireQuota {
            period: self.period().unit(),
            every: Every(self.period().every()),
            limit: self.limit(),
            anchor: self.anchor().at(),
            tz: Zone(self.anchor().zone()),
        }
        .serialize(serializer)
    }
}

/// An object's members by their names: what is derived takes a list of them in their order as well, which says nothing
/// of what they are.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = WireQuota;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with period, every, limit, anchor and tz")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<WireQuota, A::Error> {
        WireQuota::deserialize(de::value::MapAccessDeserializer::new(members))
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = match deserializer.is_human_readable() {
            true => deserializer.deserialize_map(Members)?,
            false => WireQuota::deserialize(deserializer)?,
        };
        let period = Period::new(wire.period, wire.every.0).map_err(de::Error::custom)?;
        Ok(Self::new(period, wire.limit, Anchor::new(wire.anchor, wire.tz.0)))
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.quotas().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quotas = Vec::<Quota>::deserialize(deserializer)?;
        Self::new(quotas).map_err(de::Error::custom)
    }
}

impl Serialize for QuotaStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("QuotaStatus", 8)?;
        object.serialize_field("period", &self.period().unit())?;
        object.serialize_field("every", &self.period().every())?;
        object.serialize_field("limit", &self.limit())?;
        object.serialize_field("used", &self.used())?;
        object.serialize_field("held", &self.held())?;
        object.serialize_field("remaining", &self.remaining())?;
        object.serialize_field("starts_at", &self.starts_at())?;
        object.serialize_field("resets_at", &self.resets_at())?;
        object.end()
    }
}

impl Serialize for Quotas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

/// A quota in a decision: what remains and when it renews.
struct Left<'a>(&'a QuotaStatus);

impl Serialize for Left<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Quota", 4)?;
        object.serialize_field("period", &self.0.period().unit())?;
        object.serialize_field("every", &self.0.period().every())?;
        object.serialize_field("remaining", &self.0.remaining())?;
        object.serialize_field("resets_at", &self.0.resets_at())?;
        object.end()
    }
}

/// A quota by its period alone.
struct Named(Period);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Quota", 2)?;
        object.serialize_field("period", &self.0.unit())?;
        object.serialize_field("every", &self.0.every())?;
        object.end()
    }
}

fn left(quotas: &Quotas) -> Vec<Left<'_>> {
    quotas.iter().map(Left).collect()
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Status", 2)?;
        object.serialize_field("quotas", self.quotas())?;
        object.serialize_field("lowest", &self.lowest().map(Left))?;
        object.end()
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Allowed", 3)?;
        object.serialize_field("allowed", &true)?;
        object.serialize_field("quotas", &left(self.quotas()))?;
        if self.replayed() {
            object.serialize_field("replayed", &true)?;
        }
        object.end()
    }
}

impl Serialize for Denied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let violated: Vec<_> = self.violated().map(|status| Named(status.period())).collect();
        let mut object = serializer.serialize_struct("Denied", 5)?;
        object.serialize_field("allowed", &false)?;
        object.serialize_field("violated", &violated)?;
        object.serialize_field("binding", &self.binding().map(Left))?;
        object.serialize_field("retry_at", &self.retry_at())?;
        object.serialize_field("quotas", &left(self.quotas()))?;
        object.end()
    }
}

impl Serialize for DayUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("DayUsage", 4)?;
        object.serialize_field("day", &self.day.to_string())?;
        if let Some(label) = &self.label {
            object.serialize_field("label", label)?;
        }
        object.serialize_field("credits", &self.credits)?;
        object.serialize_field("entries", &self.entries)?;
        object.end()
    }
}
