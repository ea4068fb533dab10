//! The routes.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::StreamExt;
use http::HeaderValue;
use quota_axum::{
    Answers, ClientBy, ClientQuota, IdempotencyKeys, Malformed, OnDrop, QuotaLayer, Refused, UsageApi, UsageRoutes,
};
use quota_service::{QuotaService, UsageStore};

use crate::answer::Answer;
use crate::completion::Completion;
use crate::completion_request::CompletionRequest;
use crate::event::Event;
use crate::keys::{Caller, Keys, authenticate};
use crate::model::Model;
use crate::rates::Rates;
use crate::stop::Stop;

/// A model, what its tokens cost, and the end of it.
#[derive(Clone, Debug)]
pub struct Gateway {
    model: Model,
    rates: Rates,
    stop: Stop,
}

impl Gateway {
    /// Sells the tokens of a model until it is asked to stop.
    #[must_use]
    pub const fn new(model: Model, rates: Rates, stop: Stop) -> Self {
        Self { model, rates, stop }
    }

    /// All routes: completions are metered, and the usage API tells of them.
    pub fn router<S: UsageStore>(self, service: &QuotaService<S>, usage: UsageApi, keys: Keys) -> Router {
        let client = ClientBy::extension(|Caller(client): &Caller| Ok(client.clone()));
        let answers = Answers::default().with_challenge(HeaderValue::from_static("Bearer"));
        let quota = QuotaLayer::new(service.clone(), client.clone())
            .with_answers(answers.clone())
            .with_idempotency_keys(IdempotencyKeys::default())
            .without_charge();
        Router::new()
            .route("/v1/completions", post(complete.layer(quota)))
            .merge(UsageRoutes::new(usage.with_answers(answers), client).at("/quota"))
            .layer(DefaultBodyLimit::max(CompletionRequest::MAX_BODY))
            // Added after the quotas' layer, so it runs before it.
            .layer(from_fn_with_state(Arc::new(keys), authenticate))
            .with_state(self)
    }
}

/// Holds what it costs at most, and settles what was made when the stream has ended.
async fn complete(
    State(gateway): State<Gateway>,
    quota: ClientQuota,
    asked: CompletionRequest,
) -> Result<Response, Refused> {
    if gateway.stop.is_asked() {
        return Err(quota.answers().unavailable().into());
    }
    let quote = gateway.rates.quote(asked.prompt_tokens(), asked.max_tokens());
    let quote = quote.map_err(|error| Malformed::new("max_tokens", error))?;
    let held = quota.hold(quote.bound).await?;

    let tokens = gateway.model.tokens(asked.prompt(), asked.max_tokens());
    let completion = Completion::new(held.id().clone(), tokens, quote, gateway.stop);
    // Settled too if the client goes away: tokens that the model made have to be paid upstream, whoever reads them. It
    // makes no more then, so that is all. With `OnDrop::Release`, a client that hangs up at the last token, or as many do
    // at `[DONE]`, would have had them all for nothing.
    let events = held.settle_after(completion.events(), Event::price, OnDrop::Settle);

    if asked.is_streamed() {
        let events = events.map(|event| event.to_sse());
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    // The stream's end is seen when it is settled, so the headers tell of that.
    let answer = events.fold(Answer::default(), |answer, event| ready(answer.with(event))).await;
    Ok(answer.into_response())
}
