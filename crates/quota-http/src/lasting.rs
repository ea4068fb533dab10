//! Header values that are the same in many answers.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quota_core::{Credits, Period, QuotaStatus, Quotas};

use crate::digits::{push_credits, push_integer, push_period};

/// How many a thread keeps: more than most applications have plans.
const MOST: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// The values that clients with quotas of the same limits share, whatever is left of them.
#[derive(Clone)]
pub(crate) struct Lasting {
    /// Of `X-RateLimit-Limit`.
    pub(crate) limit: Bytes,
    /// Of `RateLimit-Policy`.
    pub(crate) policy: Bytes,
}

struct Kept {
    shown: Period,
    terms: Vec<Term>,
    lasting: Lasting,
}

/// What is said of a finite quota: its period, its limit and how long its current window is.
type Term = (Period, Credits, Duration);

/// The values for these finite quotas, of which `shown` is the one that the `X-RateLimit` headers tell of.
pub(crate) fn lasting(quotas: &Quotas, shown: &QuotaStatus) -> Option<Lasting> {
    // Where the thread ends, nothing is kept any more.
    KEPT.try_with(|kept| find(&mut kept.borrow_mut(), quotas, shown)).unwrap_or_else(|_| written(quotas, shown))
}

fn find(kept: &mut Vec<Kept>, quotas: &Quotas, shown: &QuotaStatus) -> Option<Lasting> {
    let fits = |kept: &&Kept| kept.shown == shown.period() && kept.terms.iter().copied().eq(terms(quotas));
    if let Some(found) = kept.iter().find(fits) {
        return Some(found.lasting.clone());
    }
    let lasting = written(quotas, shown)?;
    if kept.len() >= MOST {
        kept.clear();
    }
    kept.push(Kept { shown: shown.period(), terms: terms(quotas).collect(), lasting: lasting.clone() });
    Some(lasting)
}

fn terms(quotas: &Quotas) -> impl Iterator<Item = Term> {
    let term = |status: &QuotaStatus| Some((status.period(), status.limit().credits()?, status.window().length()));
    quotas.iter().filter_map(term)
}

fn written(quotas: &Quotas, shown: &QuotaStatus) -> Option<Lasting> {
    let mut limit = BytesMut::new();
    push_credits(&mut limit, shown.limit().credits()?);
    Some(Lasting { limit: limit.freeze(), policy: policy(quotas).freeze() })
}

/// `"day";q=500;w=86400, "month";q=10000;w=2678400`
fn policy(quotas: &Quotas) -> BytesMut {
    let mut buffer = BytesMut::new();
    for (period, limit, length) in terms(quotas) {
        start_item(&mut buffer, period);
        push_parameter(&mut buffer, b'q', limit.whole());
        push_parameter(&mut buffer, b'w', ceil_seconds(length));
    }
    buffer
}

/// Begins an item of a structured list, after those before: `, "day"`.
pub(crate) fn start_item(buffer: &mut BytesMut, period: Period) {
    if !buffer.is_empty() {
        buffer.extend_from_slice(b", ");
    }
    buffer.extend_from_slice(b"\"");
    push_period(buffer, period);
    buffer.extend_from_slice(b"\"");
}

/// `;q=500`
pub(crate) fn push_parameter(buffer: &mut BytesMut, key: u8, value: u64) {
    buffer.extend_from_slice(&[b';', key, b'=']);
    push_integer(buffer, value);
}

/// Whole seconds, rounded up.
pub(crate) fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
