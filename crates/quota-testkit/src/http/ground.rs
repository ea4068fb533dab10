//! A served program with a clock, plans and a store that can fail.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use quota_core::{Anchor, ClientId, Credits, Limit, Period, Plan, Quota, Tz};
use quota_http::{Answers, IdempotencyKeys, OperatorToken, RateLimitFields, UsageApi};
use quota_service::{ManualClock, OnStoreError, PlanRegistry, QuotaService, StoreError};
use quota_store_memory::MemoryStore;

use crate::http::{HttpHarness, Program};

/// A program at work.
pub(super) struct Ground<H> {
    harness: H,
    service: QuotaService<Failing>,
    runtime: tokio::runtime::Runtime,
    fails: Arc<AtomicBool>,
}

/// What a program is made of, before it is served.
pub(super) struct Setting<H> {
    plan: Plan,
    answers: Answers,
    keys: Option<IdempotencyKeys>,
    on_store_error: OnStoreError,
    harness: PhantomData<H>,
}

/// An answer, read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: http::HeaderMap,
    pub(super) body: String,
}

/// The client with a plan.
pub(super) const CLIENT: &str = "client1";

/// A memory store that stops answering when it is told to.
pub(super) struct Failing {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
}

/// The quota of a period, aligned to 2022-01-01 in UTC.
pub(super) fn quota(period: Period, limit: &str) -> Quota {
    let limit = if limit == "unlimited" { Limit::Unlimited } else { Limit::Finite(limit.parse().unwrap()) };
    Quota::new(period, limit, Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC))
}

impl<H: HttpHarness> Setting<H> {
    /// At noon of 2024-03-01, with these quotas and both families of headers.
    pub(super) fn with<const N: usize>(quotas: [Quota; N]) -> Self {
        Self {
            plan: Plan::new(quotas).unwrap(),
            answers: Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11),
            keys: None,
            on_store_error: OnStoreError::FailClosed,
            harness: PhantomData,
        }
    }

    /// Ten credits a day.
    pub(super) fn ten() -> Self {
        Self::with([quota(Period::DAY, "10")])
    }

    pub(super) fn answers(mut self, change: impl FnOnce(Answers) -> Answers) -> Self {
        self.answers = change(self.answers);
        self
    }

    pub(super) fn keys(mut self, keys: IdempotencyKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    pub(super) const fn on_store_error(mut self, on_store_error: OnStoreError) -> Self {
        self.on_store_error = on_store_error;
        self
    }

    pub(super) fn serve(self) -> Ground<H> {
        let fails = Arc::new(AtomicBool::new(false));
        let store = Failing { store: MemoryStore::new(), fails: Arc::clone(&fails) };
        let plans = [CLIENT, "a/b"]
            .into_iter()
            .fold(PlanRegistry::new(), |plans, client| plans.with(ClientId::new(client).unwrap(), self.plan.clone()));
        let service = QuotaService::builder(store)
            .with_registry(plans)
            .with_clock(Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap())))
            .with_on_store_error(self.on_store_error)
            .build();
        let usage = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
        let harness =
            H::serve(Program { service: Arc::new(service.clone()), answers: self.answers, keys: self.keys, usage });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Ground { harness, service, runtime, fails }
    }
}

impl<H: HttpHarness> Ground<H> {
    pub(super) fn send(&self, request: Request<Bytes>) -> Answer {
        let (parts, body) = self.harness.send(request).into_parts();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path))
    }

    /// With an idempotency key.
    pub(super) fn get_with_key(&self, path: &str, key: &str) -> Answer {
        let mut request = request(Method::GET, path);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        self.send(request)
    }

    /// What the client has used; nothing is held.
    #[track_caller]
    pub(super) fn assert_used(&self, credits: &str) {
        let status = self.runtime.block_on(self.service.status(&ClientId::new(CLIENT).unwrap())).unwrap();
        let quota = status.quotas().iter().next().unwrap();
        assert_eq!((quota.held().to_string(), quota.used().to_string()), ("0".to_owned(), credits.to_owned()));
    }

    /// Usage that was recorded elsewhere.
    pub(super) fn record(&self, credits: &str) {
        let credits: Credits = credits.parse().unwrap();
        let client = ClientId::new(CLIENT).unwrap();
        let recorded = self.service.record(&client, credits.into());
        assert!(self.runtime.block_on(recorded).unwrap().is_allowed());
    }

    /// Whether the store fails from here on.
    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

/// A request of the client.
pub(super) fn request(method: Method, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).header("x-client-id", CLIENT).body(Bytes::new()).unwrap()
}

impl Answer {
    /// The header's only value, if it is there.
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| value.to_str().unwrap())
    }

    /// These headers say this, and where nothing is given they are not there.
    #[track_caller]
    pub(super) fn assert_headers<const N: usize>(&self, expected: [(&str, Option<&str>); N]) {
        for (name, value) in expected {
            assert_eq!(self.header(name), value, "{name} of {self:?}");
        }
    }

    /// No header tells of quotas.
    #[track_caller]
    pub(super) fn assert_no_quota(&self) {
        for name in QUOTA_HEADERS {
            assert_eq!(self.header(name), None, "{name} of {self:?}");
        }
    }

    /// A problem document that is no more than its status and this detail.
    #[track_caller]
    pub(super) fn assert_problem(&self, status: u16, detail: &str) {
        let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
        let detail = detail.replace('"', "\\\"");
        let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#);
        assert_eq!((self.status, self.body.as_str()), (status, body.as_str()));
        self.assert_headers([("content-type", Some("application/problem+json")), ("cache-control", Some("no-store"))]);
    }

    pub(super) fn remaining(&self) -> Option<&str> {
        self.header("x-ratelimit-remaining")
    }
}

const QUOTA_HEADERS: [&str; 5] =
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit"];

impl Failing {
    pub(super) const fn store(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(StoreError::not_done("redis://:pass@10.0.0.7", refused));
        }
        Ok(())
    }
}
