//! The quota headers of an answer.

use bytes::{Bytes, BytesMut};
use http::HeaderName;
use quota_core::{Balance, Decision, Denied, Instant, QuotaStatus, Quotas};

use crate::answers::{Answers, RateLimitFields};
use crate::block::write_to_block;
use crate::digits::{push_credits, push_integer};
use crate::lasting::{ceil_seconds, lasting, push_parameter, start_item};
use crate::quota_headers::{HeadersMut, QuotaHeader};

/// The lowest quota's limit, a decimal.
pub const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static(QuotaHeader::XRateLimitLimit.as_str());
/// What remains of the lowest quota, a decimal, never below `0`.
pub const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static(QuotaHeader::XRateLimitRemaining.as_str());
/// When the lowest quota resets: Unix seconds, rounded up.
pub const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static(QuotaHeader::XRateLimitReset.as_str());
/// The finite quotas, as a structured list.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static(QuotaHeader::RateLimitPolicy.as_str());
/// Where the finite quotas stand, as a structured list.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static(QuotaHeader::RateLimit.as_str());

/// What the headers of one answer are written from.
#[derive(Clone, Copy)]
struct State<'a> {
    /// The quota that the three `X-RateLimit` headers tell of.
    shown: &'a QuotaStatus,
    quotas: &'a Quotas,
    /// The caller's instant.
    at: Instant,
}

/// Writes what a decision leaves; nothing where it is unchecked or no quota is finite.
pub(crate) fn write_decision(answers: &Answers, decision: &Decision, headers: &mut impl HeadersMut) {
    match decision {
        Decision::Allowed(allowed) => write_lowest(answers, allowed.quotas(), allowed.at(), headers),
        Decision::Denied(denied) => write_denied(answers, denied, headers),
        Decision::Unchecked => clear(answers, headers),
    }
}

/// Writes where quotas stand, the lowest one in `X-RateLimit`.
pub(crate) fn write_lowest(answers: &Answers, quotas: &Quotas, at: Instant, headers: &mut impl HeadersMut) {
    match quotas.lowest() {
        Some(shown) => write(answers, State { shown, quotas, at }, headers),
        None => clear(answers, headers),
    }
}

/// Writes where quotas stand after a denial.
pub(crate) fn write_denied(answers: &Answers, denied: &Denied, headers: &mut impl HeadersMut) {
    match shown_on_denial(denied) {
        Some(shown) => write(answers, State { shown, quotas: denied.quotas(), at: denied.at() }, headers),
        None => clear(answers, headers),
    }
}

/// The violated quota that resets last (of equals the scarcer, then the shorter), so that a client which reads
/// only `X-RateLimit` waits long enough; the binding one where waiting never helps.
fn shown_on_denial(denied: &Denied) -> Option<&QuotaStatus> {
    if denied.retry_at().is_none() {
        return denied.binding();
    }
    denied.violated().min_by_key(|status| (std::cmp::Reverse(status.resets_at()), status.balance()))
}

/// Takes out what the application set under these names.
fn clear(answers: &Answers, headers: &mut impl HeadersMut) {
    if answers.x_rate_limit() {
        for header in [QuotaHeader::XRateLimitLimit, QuotaHeader::XRateLimitRemaining, QuotaHeader::XRateLimitReset] {
            headers.remove(header);
        }
    }
    if answers.rate_limit_fields().is_some() {
        headers.remove(QuotaHeader::RateLimitPolicy);
        headers.remove(QuotaHeader::RateLimit);
    }
}

fn write(answers: &Answers, state: State<'_>, headers: &mut impl HeadersMut) {
    let Some(lasting) = lasting(state.quotas, state.shown) else { return clear(answers, headers) };
    if !headers.reserve(to_come(answers)) {
        // The application has set tens of thousands already.
        return;
    }
    let Values { remaining, reset, fields } = Values::of(answers, state);
    if answers.x_rate_limit() {
        headers.insert(QuotaHeader::XRateLimitLimit, lasting.limit);
        headers.insert(QuotaHeader::XRateLimitRemaining, remaining);
        headers.insert(QuotaHeader::XRateLimitReset, reset);
    }
    match answers.rate_limit_fields() {
        Some(RateLimitFields::Draft08To11) => {
            headers.insert(QuotaHeader::RateLimitPolicy, lasting.policy);
            headers.insert(QuotaHeader::RateLimit, fields);
        }
        None => {}
    }
}

/// How many headers the answer will get: ours, and `Content-Length`, which comes after and would else make a map of the usual
/// size grow when it is full.
fn to_come(answers: &Answers) -> usize {
    let ours = if answers.x_rate_limit() { 3 } else { 0 } + if answers.rate_limit_fields().is_some() { 2 } else { 0 };
    ours + 1
}

/// The values that change from answer to answer.
struct Values {
    remaining: Bytes,
    reset: Bytes,
    fields: Bytes,
}

impl Values {
    fn of(answers: &Answers, state: State<'_>) -> Self {
        write_to_block(64 + 32 * state.quotas.as_slice().len(), |buffer| {
            match answers.rate_limit_fields() {
                Some(RateLimitFields::Draft08To11) => push_limits(buffer, state),
                None => {}
            }
            let fields = buffer.split().freeze();
            push_credits(buffer, spendable(state.shown));
            let remaining = buffer.split().freeze();
            push_integer(buffer, state.shown.resets_at().ceil_seconds());
            Self { remaining, reset: buffer.split().freeze(), fields }
        })
    }
}

/// `"day";r=494;t=3600, "month";r=9994;t=86400`: one item for each finite quota, short to long.
fn push_limits(buffer: &mut BytesMut, state: State<'_>) {
    for status in state.quotas.iter().filter(|status| status.balance().is_some()) {
        start_item(buffer, status.period());
        push_parameter(buffer, b'r', spendable(status).whole());
        push_parameter(buffer, b't', ceil_seconds(status.resets_at().since(state.at)));
    }
}

/// What remains, none of it for a debt.
fn spendable(status: &QuotaStatus) -> quota_core::Credits {
    status.balance().map(Balance::spendable).unwrap_or_default()
}
