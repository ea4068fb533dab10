//! What a handler does, by the query of its request.

use std::future::ready;
use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use quota_core::{Credits, OperationId, Ttl};
use quota_http::{Malformed, OnDrop, credits_from_query, member_from_query};
use quota_service::Charge;

use crate::http::Pause;

/// What is charged: `credits`, under an `id` and `at` an instant where there are such.
///
/// # Errors
/// [`Malformed`] where there are no `credits`, or something is given more than once.
///
/// # Panics
/// Where the id or the instant is none.
pub fn charge_from_query(query: Option<&str>) -> Result<Charge, Malformed> {
    charge_of(query, "credits")
}

/// What is held: `max`, otherwise as [`charge_from_query`].
///
/// # Errors
/// As there.
///
/// # Panics
/// As there.
pub fn hold_from_query(query: Option<&str>) -> Result<Charge, Malformed> {
    charge_of(query, "max")
}

fn charge_of(query: Option<&str>, credits: &str) -> Result<Charge, Malformed> {
    let mut charge = Charge::new(credits_from_query(query, credits)?);
    if let Some(id) = member_from_query(query, "id")? {
        charge = charge.with_id(OperationId::new(id).unwrap());
    }
    if let Some(at) = member_from_query(query, "at")? {
        charge = charge.with_at(at.parse().unwrap());
    }
    Ok(charge)
}

/// How long something is held: `ttl`, in milliseconds; [`Ttl::DEFAULT`] where nothing is said.
///
/// # Errors
/// [`Malformed`] where it is given more than once.
///
/// # Panics
/// Where it is no number, or none that a hold may last.
pub fn ttl_from_query(query: Option<&str>) -> Result<Ttl, Malformed> {
    let millis = member_from_query(query, "ttl")?;
    let ttl = |millis: String| Ttl::new(Duration::from_millis(millis.parse().unwrap())).unwrap();
    Ok(millis.map_or(Ttl::DEFAULT, ttl))
}

/// What becomes of the hold of a body that is dropped before its end: it is settled where there is an `on_drop`.
///
/// # Errors
/// [`Malformed`] where it is given more than once.
pub fn on_drop_from_query(query: Option<&str>) -> Result<OnDrop, Malformed> {
    Ok(member_from_query(query, "on_drop")?.map_or(OnDrop::Release, |_| OnDrop::Settle))
}

/// What a handler streams: an `x` for each of `chunks`, those after the first when the pause is over. Then it ends, or
/// does what `then` says: `fail`, or `panic`.
///
/// # Errors
/// [`Malformed`] where something is given more than once.
///
/// # Panics
/// Where `chunks` is no number, and when it is asked to.
pub fn chunks_from_query(
    pause: &Pause,
    query: Option<&str>,
) -> Result<impl Stream<Item = io::Result<&'static str>> + Send + use<>, Malformed> {
    let chunks: u32 = member_from_query(query, "chunks")?.unwrap_or_default().parse().unwrap();
    let (then, pause) = (member_from_query(query, "then")?, pause.clone());
    let chunk = move |number: u32| {
        let (then, pause) = (then.clone(), pause.clone());
        async move {
            if number > 0 && (number < chunks || then.is_some()) {
                pause.over().await;
            }
            match then.as_deref() {
                _ if number < chunks => Some(Ok("x")),
                Some("fail") => Some(Err(io::Error::other("a body fails, as it was asked to"))),
                Some("panic") => panic!("a body panics, as it was asked to"),
                _ => None,
            }
        }
    };
    Ok(stream::iter(0..=chunks).then(chunk).filter_map(ready))
}

/// What a chunk costs: 1, and nothing where it failed.
pub fn cost_of_chunk<T>(chunk: &io::Result<T>) -> Credits {
    chunk.as_ref().map_or(Credits::ZERO, |_| Credits::ONE)
}
