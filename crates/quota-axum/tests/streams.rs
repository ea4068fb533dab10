//! Bodies that are streamed, whose cost is known last.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::convert::Infallible;
use std::time::Duration;

use app::{client, get, layer, request, service, used};
use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::routing::get as on_get;
use futures_util::StreamExt;
use futures_util::stream::{iter, pending, repeat};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use quota_axum::{ClientQuota, IdempotencyKeys, OnDrop, Refused, RouteCost};
use quota_service::{Credits, Label, QuotaService, Ttl};
use quota_store_memory::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt, service_fn};

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

async fn held(service: &QuotaService<MemoryStore>) -> String {
    service.status(&client()).await.unwrap().lowest().unwrap().held().to_string()
}

fn app(service: &QuotaService<MemoryStore>) -> Router {
    routes().layer(layer(service).without_charge())
}

fn routes() -> Router {
    let handler = async |quota: ClientQuota, on_drop: OnDrop, last: &'static str| {
        let held = quota.hold(credits("8")).await?;
        let words = iter(["one", "two", "three"]).map(Ok::<_, Infallible>);
        let words = if last.is_empty() { words.boxed() } else { words.chain(pending()).boxed() };
        Ok::<_, Refused>(Body::from_stream(held.settle_after(words, |_| credits("0.5"), on_drop)))
    };
    Router::new()
        .route("/ends", on_get(move |quota: ClientQuota| handler(quota, OnDrop::Release, "")))
        .route("/hangs/release", on_get(move |quota: ClientQuota| handler(quota, OnDrop::Release, "hangs")))
        .route("/hangs/settle", on_get(move |quota: ClientQuota| handler(quota, OnDrop::Settle, "hangs")))
}

/// A router leaves bodies out of such answers; hyper, over HTTP/2, reads what it is given.
#[tokio::test]
async fn a_stream_that_answers_head_is_read_by_nobody_on_a_plain_service_either() {
    let service = service();
    let streams = service_fn(async |request: Request<Body>| {
        let mut parts = request.into_parts().0;
        let quota = ClientQuota::from_request_parts(&mut parts, &()).await?;
        let held = quota.hold(credits("5")).await?;
        let words = iter(["one", "two"]).map(Ok::<_, Infallible>);
        let body = Body::from_stream(held.settle_after(words, |_| credits("0.5"), OnDrop::Release));
        Ok::<_, Refused>(Response::new(body))
    });
    let all = layer(&service).with_every_request(Label::new("all").unwrap());
    for (quota, paid) in [(all.cost(RouteCost::by_handler()), ["1", "1"]), (all, ["3", "4"])] {
        for (method, paid) in [Method::GET, Method::HEAD].into_iter().zip(paid) {
            let body = match quota.layer(streams).oneshot(request(method.clone(), "/")).await {
                Ok(response) => response.into_body().collect().await.unwrap().to_bytes(),
                Err(_) => unreachable!("it holds"),
            };
            assert_eq!(body.is_empty(), method == Method::HEAD, "{method}");
            while held(&service).await != "0" {
                tokio::task::yield_now().await;
            }
            assert_eq!(used(&service).await, paid, "{method}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_is_released_or_settled_as_was_said() {
    for (path, paid) in [("/hangs/release", "0"), ("/hangs/settle", "1")] {
        let service = service();
        let response = app(&service).oneshot(request(Method::GET, path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        assert_eq!(held(&service).await, "8", "while it is streamed");
        drop(body);
        // That goes on by itself.
        while held(&service).await != "0" {
            tokio::task::yield_now().await;
        }
        assert_eq!(used(&service).await, paid, "{path}");
    }
}

/// hyper asks for nothing behind the last byte of a length that it is told.
#[tokio::test]
async fn a_body_that_says_its_length_is_settled_when_it_was_read_to_its_end() {
    let service = service();
    let handler = async |quota: ClientQuota| {
        let held = quota.hold(credits("4")).await?;
        let words = iter(["one", "two", "three"]).map(Ok::<_, Infallible>);
        let body = Body::from_stream(held.settle_after(words, |_| credits("0.5"), OnDrop::default()));
        Ok::<_, Refused>(([(CONTENT_LENGTH, "11")], body))
    };
    let app = Router::new().route("/a", on_get(handler));
    // What the layer has charged is written by a quicker way.
    for (quota, all) in [(layer(&service).without_charge(), "1.5"), (layer(&service), "4")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, app.clone().layer(quota)).into_future());
        let mut connection = TcpStream::connect(address).await.unwrap();
        let asked = b"GET /a HTTP/1.1\r\nHost: x\r\nX-Client-Id: client1\r\nConnection: close\r\n\r\n";
        connection.write_all(asked).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("three") && answer.contains("x-ratelimit-remaining"), "{answer}");
        let settled = async {
            while held(&service).await != "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap();
        assert_eq!(used(&service).await, all);
        server.abort();
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_released_and_its_key_is_free() {
    let service = service();
    let quota = layer(&service).without_charge().with_idempotency_keys(IdempotencyKeys::default());
    for path in ["/ends", "/hangs/settle"] {
        for _ in 0..2 {
            let app = routes().layer(quota.clone());
            let mut request = request(Method::GET, path);
            request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
            let response = app.oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            drop(response);
            while held(&service).await != "0" {
                tokio::task::yield_now().await;
            }
            assert_eq!(used(&service).await, "0");
        }
    }
}

#[tokio::test]
async fn a_hold_is_renewed_for_as_long_as_the_body_is_streamed() {
    let clock = app::clock();
    let service =
        QuotaService::builder(MemoryStore::new()).with_registry(app::plans()).with_clock(clock.clone()).build();
    let ttl = Ttl::new(Duration::from_millis(20)).unwrap();
    let handler = async move |quota: ClientQuota| {
        let held = quota.hold_for(credits("8"), ttl).await?;
        let ticks = repeat(()).then(async |()| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, Infallible>("tick")
        });
        Ok::<_, Refused>(Body::from_stream(held.settle_after(ticks.take(40), |_| credits("0.1"), OnDrop::Release)))
    };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge());
    let moving = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance(Duration::from_millis(1));
        }
    };
    let answer = tokio::select! {
        answer = get(&app, "/a") => answer,
        () = moving => unreachable!(),
    };
    // The headers were sent before: they tell of the hold.
    assert_eq!((answer.status, answer.remaining()), (StatusCode::OK, Some("2")));
    assert_eq!(answer.body.len(), 40 * 4);
    assert_eq!(used(&service).await, "4");
}
