//! What vectors write, read into the types that refuse what is none.

use std::str::FromStr;
use std::time::Duration;

use quota_core::{
    Anchor, ClientId, Credits, CreditsError, IdError, Instant, InstantError, Label, Limit, OperationId, PastEntry,
    Period, PeriodError, Plan, PlanError, Quota, Ttl, Tz, Unit, Window,
};
use serde_json::{Map, Value};

/// The name of an error in the form of the input.
pub(super) type Code = &'static str;

/// One step or window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a Map<String, Value>);

/// A type that vectors write as a string.
pub(super) trait Written: FromStr {
    /// The name of the error.
    fn code(error: &Self::Err) -> Code;
    /// The name of the error where something else than a string is written.
    const NOT_TEXT: Code;
}

impl Written for Credits {
    fn code(_: &CreditsError) -> Code {
        Self::NOT_TEXT
    }

    const NOT_TEXT: Code = "invalid_credits";
}

impl Written for Instant {
    fn code(error: &InstantError) -> Code {
        if *error == InstantError::OutOfRange { "instant_out_of_range" } else { Self::NOT_TEXT }
    }

    const NOT_TEXT: Code = "invalid_instant";
}

impl Written for ClientId {
    fn code(_: &IdError) -> Code {
        Self::NOT_TEXT
    }

    const NOT_TEXT: Code = "invalid_client";
}

impl Written for OperationId {
    fn code(_: &IdError) -> Code {
        Self::NOT_TEXT
    }

    const NOT_TEXT: Code = "invalid_id";
}

impl Written for Label {
    fn code(_: &IdError) -> Code {
        Self::NOT_TEXT
    }

    const NOT_TEXT: Code = "invalid_label";
}

impl Written for Unit {
    fn code(_: &PeriodError) -> Code {
        Self::NOT_TEXT
    }

    const NOT_TEXT: Code = "invalid_period";
}

impl<'a> Input<'a> {
    pub(super) fn text(self, member: &str) -> Option<&'a str> {
        self.0.get(member).and_then(Value::as_str)
    }

    /// The member, where it is what it should be.
    pub(super) fn read<T: Written>(self, member: &str) -> Result<T, Code> {
        self.text(member).ok_or(T::NOT_TEXT)?.parse().map_err(|error| T::code(&error))
    }

    /// As [`Input::read`]; none where it is left out.
    pub(super) fn optional<T: Written>(self, member: &str) -> Result<Option<T>, Code> {
        match self.0.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.read(member).map(Some),
        }
    }

    pub(super) fn ttl(self) -> Result<Ttl, Code> {
        let millis = self.0.get("ttl_ms").and_then(Value::as_u64).ok_or("invalid_ttl")?;
        Ttl::new(Duration::from_millis(millis)).map_err(|_| "invalid_ttl")
    }

    pub(super) fn range(self) -> Result<Window, Code> {
        Window::new(self.read("from")?, self.read("to")?).map_err(|_| "invalid_range")
    }

    pub(super) fn zone(self) -> Result<Tz, Code> {
        quota_core::zone(self.text("tz").ok_or("unknown_zone")?).map_err(|_| "unknown_zone")
    }

    pub(super) fn period(self) -> Result<Period, Code> {
        let every = self.0.get("every").and_then(Value::as_u64).and_then(|every| u32::try_from(every).ok());
        Period::new(self.read("period")?, every.ok_or("invalid_period")?).map_err(|_| "invalid_period")
    }

    pub(super) fn anchor(self) -> Result<Anchor, Code> {
        Ok(Anchor::new(self.read("anchor")?, self.zone()?))
    }

    fn quota(self) -> Result<Quota, Code> {
        let limit = match self.text("limit") {
            Some("unlimited") => Limit::Unlimited,
            _ => Limit::Finite(self.read("limit")?),
        };
        Ok(Quota::new(self.period()?, limit, self.anchor()?))
    }

    pub(super) fn plan(self) -> Result<Plan, Code> {
        let quotas: Result<Vec<Quota>, Code> =
            self.objects("quotas").ok_or("invalid_plan")?.map(|quota| quota.ok_or("invalid_plan")?.quota()).collect();
        Plan::new(quotas?).map_err(|error| match error {
            PlanError::DuplicatePeriod { .. } => "duplicate_period",
            PlanError::TooManyQuotas { .. } => "too_many_quotas",
            _ => "invalid_plan",
        })
    }

    pub(super) fn entries(self) -> Result<Vec<PastEntry>, Code> {
        let entries = self.objects("entries").ok_or("invalid_entries")?;
        entries
            .map(|entry| {
                let entry = entry.ok_or("invalid_entries")?;
                let (id, at, credits) = (entry.read("id")?, entry.read("at")?, entry.read("credits")?);
                Ok(PastEntry { id, at, credits, label: entry.optional("label")? })
            })
            .collect()
    }

    fn objects(self, member: &str) -> Option<impl Iterator<Item = Option<Input<'a>>> + use<'a>> {
        Some(self.0.get(member)?.as_array()?.iter().map(|value| value.as_object().map(Input)))
    }
}
