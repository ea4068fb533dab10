//! Holds of routes that charge on success, asked without a framework.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use quota_core::{Anchor, Credits, Instant, Limit, Period, Plan, Quota, Tz, Window};
use quota_http::{Admitted, ClientBy, Framework, Metering, Passage, RouteCost};
use quota_service::{ClientId, Clock, EntriesQuery, PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;

const MINUTE: Duration = Duration::from_secs(60);

/// The least that a framework says: there is one route.
enum Plain {}

impl Framework for Plain {
    type Request<'r> = Parts;
    type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

    const ROUTES_BY_METHOD: bool = true;

    fn method(request: &Parts) -> Method {
        request.method.clone()
    }

    fn header<'a>(request: &'a Self::Request<'_>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        request.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn pattern(_: &Parts) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("/report"))
    }

    fn extension<T: Send + Sync + 'static, R>(request: &Parts, read: impl FnOnce(Option<&T>) -> R) -> R {
        read(request.extensions.get())
    }
}

/// Goes on with tokio's time, from noon.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        noon().saturating_add(self.0.elapsed())
    }
}

fn noon() -> Instant {
    "2024-03-01T12:00:00Z".parse().unwrap()
}

fn client() -> ClientId {
    ClientId::new("client1").unwrap()
}

/// Ten credits a day.
fn service() -> QuotaService<MemoryStore> {
    let anchor = Anchor::new("2024-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let day = Quota::new(Period::DAY, Limit::Finite(Credits::new(10).unwrap()), anchor);
    let plans = PlanRegistry::new().with(client(), Plan::new([day]).unwrap());
    let clock = TokioClock(tokio::time::Instant::now());
    QuotaService::builder(MemoryStore::with_entries()).with_registry(plans).with_clock(clock).build()
}

/// A request of a route that costs 4 on success.
async fn admitted(service: &QuotaService<MemoryStore>) -> Admitted {
    let by_header = ClientBy::<Plain>::header("x-client-id").unwrap();
    let metering = Metering::new(Arc::new(service.clone()), by_header).cost(RouteCost::from(4).on_success());
    let (request, ()) = http::Request::get("/report").header("x-client-id", "client1").body(()).unwrap().into_parts();
    let Passage::Metered(admission) = metering.passage(&request, None) else { panic!("it is metered") };
    match admission.now() {
        Ok(decided) => panic!("a hold is waited for: {decided:?}"),
        Err(admission) => admission.later().await.unwrap(),
    }
}

async fn held_and_used(service: &QuotaService<MemoryStore>) -> (String, String) {
    let status = service.status(&client()).await.unwrap();
    let day = status.quotas().iter().next().unwrap();
    (day.held().to_string(), day.used().to_string())
}

/// It holds for five minutes, and is renewed after two and a half: whoever takes nine is renewed more than once.
#[tokio::test(start_paused = true)]
async fn what_is_charged_on_success_is_held_for_as_long_as_its_handler_takes() {
    for (status, used, remaining) in [(StatusCode::OK, "4", "6"), (StatusCode::BAD_GATEWAY, "0", "10")] {
        let service = service();
        let admitted = admitted(&service).await;
        for minute in 0..9 {
            assert_eq!(held_and_used(&service).await, ("4".to_owned(), "0".to_owned()), "after {minute} minutes");
            tokio::time::sleep(MINUTE).await;
        }
        let mut headers = HeaderMap::new();
        admitted.conclude(status, &mut headers).await.unwrap();
        assert_eq!(headers["x-ratelimit-remaining"], remaining);
        assert_eq!(held_and_used(&service).await, ("0".to_owned(), used.to_owned()));

        let query = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
        let entries = service.entries(&client(), query).await.unwrap().entries;
        let at: Vec<Instant> = entries.iter().map(|entry| entry.at).collect();
        assert_eq!(at, if used == "4" { vec![noon()] } else { Vec::new() }, "where it was held, so it was in time");
    }
}
