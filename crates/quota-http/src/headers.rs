//! The quota headers of an answer.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use quota_core::{Balance, Decision, Denied, Instant, QuotaStatus, Quotas};

use crate::answers::{Answers, RateLimitFields};
use crate::digits::{push_credits, push_integer, push_period};

/// The lowest quota's limit, a decimal.
pub const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// What remains of the lowest quota, a decimal, never below `0`.
pub const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When the lowest quota resets: Unix seconds, rounded up.
pub const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// The finite quotas, as a structured list.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Where the finite quotas stand, as a structured list.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

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
pub(crate) fn write_decision(answers: &Answers, decision: &Decision, headers: &mut HeaderMap) {
    match decision {
        Decision::Allowed(allowed) => write_lowest(answers, allowed.quotas(), allowed.at(), headers),
        Decision::Denied(denied) => write_denied(answers, denied, headers),
        Decision::Unchecked => clear(answers, headers),
    }
}

/// Writes where quotas stand, the lowest one in `X-RateLimit`.
pub(crate) fn write_lowest(answers: &Answers, quotas: &Quotas, at: Instant, headers: &mut HeaderMap) {
    match quotas.lowest() {
        Some(shown) => write(answers, State { shown, quotas, at }, headers),
        None => clear(answers, headers),
    }
}

/// Writes where quotas stand after a denial.
pub(crate) fn write_denied(answers: &Answers, denied: &Denied, headers: &mut HeaderMap) {
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
fn clear(answers: &Answers, headers: &mut HeaderMap) {
    if answers.x_rate_limit() {
        for name in [X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING, X_RATE_LIMIT_RESET] {
            headers.remove(name);
        }
    }
    if answers.rate_limit_fields().is_some() {
        headers.remove(RATE_LIMIT_POLICY);
        headers.remove(RATE_LIMIT);
    }
}

/// All values share one allocation.
fn write(answers: &Answers, state: State<'_>, headers: &mut HeaderMap) {
    let quotas = state.quotas.as_slice().len();
    let mut values = Values { buffer: Vec::with_capacity(64 + 64 * quotas), ranges: Default::default() };
    let [limit, remaining, reset, policy, fields] = [0, 1, 2, 3, 4];
    if answers.x_rate_limit() {
        values.put(limit, |buffer| push_credits(buffer, state.shown.limit().credits().unwrap_or_default()));
        values.put(remaining, |buffer| push_credits(buffer, spendable(state.shown)));
        values.put(reset, |buffer| push_integer(buffer, state.shown.resets_at().ceil_seconds()));
    }
    match answers.rate_limit_fields() {
        Some(RateLimitFields::Draft08To11) => {
            values.put(policy, |buffer| push_policies(buffer, state));
            values.put(fields, |buffer| push_limits(buffer, state));
        }
        None => {}
    }
    values.insert_into(headers);
}

/// Header values one after the other in one buffer.
struct Values {
    buffer: Vec<u8>,
    /// In the order of [`NAMES`]; empty for a header that is not written.
    ranges: [Range<usize>; 5],
}

const NAMES: [HeaderName; 5] =
    [X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING, X_RATE_LIMIT_RESET, RATE_LIMIT_POLICY, RATE_LIMIT];

impl Values {
    fn put(&mut self, index: usize, push: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        push(&mut self.buffer);
        if let Some(range) = self.ranges.get_mut(index) {
            *range = start..self.buffer.len();
        }
    }

    fn insert_into(self, headers: &mut HeaderMap) {
        let shared = Bytes::from(self.buffer);
        if headers.try_reserve(self.ranges.len()).is_err() {
            // The application has set tens of thousands already.
            return;
        }
        for (name, range) in NAMES.into_iter().zip(self.ranges) {
            if range.is_empty() {
                continue;
            }
            // Digits, points and ASCII names always make a header value.
            if let Ok(value) = HeaderValue::from_maybe_shared(shared.slice(range)) {
                headers.insert(name, value);
            }
        }
    }
}

/// `"day";q=500;w=86400, "month";q=10000;w=2678400`
fn push_policies(buffer: &mut Vec<u8>, state: State<'_>) {
    push_list(buffer, state.quotas, |buffer, status| {
        push_parameter(buffer, b'q', status.limit().credits().unwrap_or_default().whole());
        push_parameter(buffer, b'w', ceil_seconds(status.window().length()));
    });
}

/// `"day";r=494;t=3600, "month";r=9994;t=86400`
fn push_limits(buffer: &mut Vec<u8>, state: State<'_>) {
    push_list(buffer, state.quotas, |buffer, status| {
        push_parameter(buffer, b'r', spendable(status).whole());
        push_parameter(buffer, b't', ceil_seconds(status.resets_at().since(state.at)));
    });
}

/// One item for each finite quota, short to long.
fn push_list(buffer: &mut Vec<u8>, quotas: &Quotas, parameters: impl Fn(&mut Vec<u8>, &QuotaStatus)) {
    let mut separator: &[u8] = b"";
    for status in quotas.iter().filter(|status| status.balance().is_some()) {
        buffer.extend_from_slice(separator);
        buffer.push(b'"');
        push_period(buffer, status.period());
        buffer.push(b'"');
        parameters(buffer, status);
        separator = b", ";
    }
}

fn push_parameter(buffer: &mut Vec<u8>, key: u8, value: u64) {
    buffer.extend_from_slice(&[b';', key, b'=']);
    push_integer(buffer, value);
}

/// What remains, none of it for a debt.
fn spendable(status: &QuotaStatus) -> quota_core::Credits {
    status.balance().map(Balance::spendable).unwrap_or_default()
}

/// Whole seconds, rounded up.
pub(crate) fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
