//! What else the gateway answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::time::Duration;

use app::{ACME, Answer, App, HOBBY, completion, request};
use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::json;

const ASKED: &str = r#"{"prompt": "What is a quota?", "max_tokens": 50}"#;

async fn get(app: &App, key: &str, path: &str) -> Answer {
    Answer::of(app.send(request(Method::GET, key, path).body(Body::empty()).unwrap()).await).await
}

#[tokio::test]
async fn an_answer_in_one_piece_is_settled_before_it_is_sent() {
    let app = App::new();
    let answer = app.complete(ACME, ASKED).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9.962"), "after settling");
    let body = answer.json();
    assert!(body["text"].as_str().unwrap().starts_with("a quota is a promise "), "{body}");
    assert_eq!(body["usage"], json!({ "prompt_tokens": 4, "completion_tokens": 24, "credits": "0.038" }));
    assert_eq!(app.used("acme").await, "0.038");
}

#[tokio::test]
async fn without_max_tokens_it_is_16() {
    let app = App::new();
    let answer = app.complete(ACME, r#"{"prompt": "forever", "model": "let be"}"#).await;
    assert_eq!(answer.json()["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn a_model_that_fails_hands_over_what_is_paid() {
    let app = App::new();
    let answer = app.complete(ACME, r#"{"prompt": "Please fail", "max_tokens": 50}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let body = answer.json();
    assert_eq!(
        (&body["text"], &body["error"]["message"]),
        (&json!("a quota is a promise "), &json!("the model failed"))
    );
    assert_eq!(body["usage"]["credits"], "0.0085");
    assert_eq!(app.used("acme").await, "0.0085");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_pays_what_was_made() {
    let app = App::at_pace(Duration::from_secs(1));
    let answer = tokio::time::timeout(Duration::from_millis(3_500), app.complete(ACME, ASKED)).await;
    assert!(answer.is_err());
    assert_eq!(app.used("acme").await, "0.0065", "4 × 0.0005 + 3 × 0.0015");
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_is_not_charged_again() {
    let app = App::new();
    let keyed = |body: &str| {
        let mut request = completion(ACME, body);
        request.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
        request
    };
    let first = Answer::of(app.send(keyed(ASKED)).await).await;
    assert_eq!((first.status, &first.json()["id"]), (StatusCode::OK, &json!("key:POST /v1/completions:k-1")));
    for body in [ASKED, r#"{"prompt": "another", "stream": true}"#] {
        let again = Answer::of(app.send(keyed(body)).await).await;
        assert_eq!((again.status, &again.json()["detail"]), (StatusCode::CONFLICT, &json!("already charged")));
    }
    assert_eq!(app.used("acme").await, "0.038");
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_its_member_and_costs_nothing() {
    let app = App::new();
    for (body, told) in [
        (r#"{"prompt": "x", "max_tokens": 4097}"#, "max_tokens: it is 1 to 4096"),
        (r#"{"prompt": "x", "max_tokens": 99999999999999999999}"#, "max_tokens: invalid type: floating point"),
        (r#"{"prompt": "x", "max_tokens": 5000000000}"#, "max_tokens: invalid value: integer `5000000000`"),
        (r#"{"prompt": "x", "max_tokens": 0}"#, "max_tokens: it is 1 to 4096"),
        (r#"{"prompt": "x", "max_tokens": -5}"#, "max_tokens: invalid value: integer `-5`"),
        (r#"{"prompt": "x", "max_tokens": 1.5}"#, "max_tokens: invalid type: floating point"),
        (r#"{"prompt": "x", "max_tokens": "many"}"#, "max_tokens: invalid type: string"),
        (r#"{"prompt": "x", "max_tokens": NaN}"#, "max_tokens: expected value"),
        (r#"{"prompt": "x", "stream": "yes"}"#, "stream: invalid type: string"),
        (r#"{"prompt": 5}"#, "prompt: invalid type: integer"),
        (r#"{"prompt": " "}"#, "prompt: it has no words"),
        (r#"{"max_tokens": 5}"#, "body: missing field `prompt`"),
        (r#"{"prompt": "x""#, "body: EOF"),
        (r#"{"prompt": "x", "prompt": "y"}"#, "body: duplicate field `prompt`"),
        (r#"{"prompt": "x"} {}"#, "body: trailing characters"),
        (r#"["x", 5, true]"#, "body: it is an object of JSON"),
        ("[]", "body: it is an object of JSON"),
        ("", "body: it is an object of JSON"),
    ] {
        let answer = app.complete(ACME, body).await;
        let problem = answer.json();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {problem}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(problem["detail"].as_str().unwrap().starts_with(told), "{body}: {problem}");
    }
    assert_eq!(app.used("acme").await, "0");
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let app = App::new();
    let body = |length: usize| format!(r#"{{"prompt": "{}"}}"#, "x".repeat(length - 14));
    assert_eq!(app.complete(ACME, &body(65_536)).await.status, StatusCode::OK);
    let answer = app.complete(ACME, &body(65_537)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["detail"], "a body has at most 65536 bytes");
}

#[tokio::test]
async fn a_key_that_is_nobodys_is_refused() {
    let app = App::new();
    let bare = |authorization: &[&str]| {
        let mut request = completion(ACME, ASKED);
        request.headers_mut().remove(AUTHORIZATION);
        for value in authorization {
            request.headers_mut().append(AUTHORIZATION, value.parse().unwrap());
        }
        request
    };
    let basic = format!("Basic {ACME}");
    let (one, other) = (format!("Bearer {ACME}"), format!("Bearer {HOBBY}"));
    for authorization in [&[][..], &["Bearer sk-nobody"], &["Bearer"], &["Bearer "], &[&basic], &[&one, &other]] {
        let answer = Answer::of(app.send(bare(authorization)).await).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let answer = Answer::of(app.send(bare(&[&format!("bearer  {ACME}")])).await).await;
    assert_eq!(answer.status, StatusCode::OK, "a scheme is written in any case");
    assert_eq!(get(&app, "sk-nobody", "/quota/status").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_usage_api_knows_callers_by_their_keys_and_operators_by_their_token() {
    let app = App::new();
    app.complete(ACME, ASKED).await;
    let status = get(&app, ACME, "/quota/status").await;
    assert!(status.status == StatusCode::OK && status.body.contains(r#""used":"0.038""#), "{}", status.body);
    let usage = get(&app, ACME, "/quota/usage?by=label").await;
    assert!(usage.body.contains("/v1/completions"), "{}", usage.body);
    assert!(get(&app, HOBBY, "/quota/status").await.body.contains(r#""used":"0""#));
    assert_eq!(get(&app, ACME, "/quota/clients").await.status, StatusCode::UNAUTHORIZED);
    assert!(get(&app, "s3cret", "/quota/clients/acme/status").await.body.contains(r#""used":"0.038""#));
}

#[tokio::test]
async fn a_server_that_stops_sells_nothing_more() {
    let app = App::new();
    app.stopper.stop();
    assert_eq!(app.complete(ACME, ASKED).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.used("acme").await, "0");
}

#[tokio::test]
async fn other_methods_and_paths_are_free() {
    let app = App::new();
    assert_eq!(get(&app, ACME, "/v1/completions").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = request(Method::POST, ACME, "/v1/chat").body(Body::empty()).unwrap();
    assert_eq!(app.send(elsewhere).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(app.used("acme").await, "0");
}
