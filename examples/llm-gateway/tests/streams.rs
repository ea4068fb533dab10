//! Streams are paid for what was made of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::time::Duration;

use app::{ACME, Answer, App, HOBBY, completion};
use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SHORT: &str = r#"{"prompt": "What is a quota?", "max_tokens": 50, "stream": true}"#;
const ENDLESS: &str = r#"{"prompt": "Go on forever", "max_tokens": 4096, "stream": true}"#;
const FAILING: &str = r#"{"prompt": "Please fail", "max_tokens": 50, "stream": true}"#;

fn json_of(event: &str) -> Value {
    serde_json::from_str(event).unwrap()
}

/// The data of each event.
fn events(answer: &Answer) -> Vec<&str> {
    answer.body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect()
}

/// Reads so many events.
async fn read(body: &mut Body, events: usize) -> String {
    let mut text = String::new();
    while text.matches("\n\n").count() < events {
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    text
}

#[tokio::test]
async fn a_stream_settles_what_was_sent_and_its_headers_tell_of_the_hold() {
    let app = App::new();
    let answer = app.complete(ACME, SHORT).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    // 4 tokens of the prompt and 50 more are held: 4 × 0.0005 + 50 × 0.0015.
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9.923"));

    let events = events(&answer);
    assert!(json_of(events[0])["id"].is_string(), "{}", events[0]);
    assert_eq!(events[1], r#"{"text":"a "}"#);
    assert_eq!(events.len(), 1 + 24 + 2, "{}", answer.body);
    assert_eq!(events[25], r#"{"usage":{"prompt_tokens":4,"completion_tokens":24,"credits":"0.038"}}"#);
    assert_eq!(events[26], "[DONE]");
    assert_eq!(app.used("acme").await, "0.038");
}

#[tokio::test]
async fn no_more_is_made_than_was_asked_for() {
    let app = App::new();
    let answer = app.complete(ACME, r#"{"prompt": "forever", "max_tokens": 30, "stream": true}"#).await;
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 30, "credits": "0.0455" });
    assert_eq!(json_of(events(&answer)[31]), json!({ "usage": usage }));
    assert_eq!(app.used("acme").await, "0.0455", "all that was held");
}

#[tokio::test]
async fn a_client_that_goes_away_pays_what_was_made() {
    let app = App::new();
    let mut body = app.send(completion(ACME, ENDLESS)).await.into_body();
    read(&mut body, 1 + 10).await;
    drop(body);
    assert_eq!(app.used("acme").await, "0.0165", "3 × 0.0005 + 10 × 0.0015");
}

#[tokio::test]
async fn a_client_that_hangs_up_at_done_pays_all() {
    let app = App::new();
    let mut body = app.send(completion(ACME, SHORT)).await.into_body();
    assert!(read(&mut body, 27).await.ends_with("data: [DONE]\n\n"));
    drop(body);
    assert_eq!(app.used("acme").await, "0.038");
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_model_began_pays_nothing() {
    let app = App::new();
    drop(app.send(completion(ACME, SHORT)).await);
    assert_eq!(app.used("acme").await, "0");
}

#[tokio::test]
async fn a_model_that_fails_ends_the_stream_with_an_error_and_is_paid_what_was_sent() {
    let app = App::new();
    let answer = app.complete(ACME, FAILING).await;
    assert_eq!(answer.status, StatusCode::OK, "it was sent before");
    let events = events(&answer);
    assert_eq!(events.len(), 1 + 5 + 1, "and no [DONE]: {}", answer.body);
    let usage = json!({ "prompt_tokens": 2, "completion_tokens": 5, "credits": "0.0085" });
    assert_eq!(json_of(events[6]), json!({ "error": { "message": "the model failed" }, "usage": usage }));
    assert_eq!(app.used("acme").await, "0.0085");
}

#[tokio::test]
async fn a_stream_that_is_denied_does_not_begin() {
    let app = App::new();
    assert_eq!(app.complete(HOBBY, SHORT).await.status, StatusCode::OK);
    let denied = app.complete(HOBBY, SHORT).await;
    assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(denied.header("content-type"), Some("application/problem+json"));
    assert_eq!(denied.header("retry-after"), Some("3600"));
    assert_eq!(denied.header("x-ratelimit-remaining"), Some("0.062"));
    assert_eq!(denied.json()["required"], "0.077");
    assert_eq!(app.used("hobby").await, "0.038", "the first alone");
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_and_settles_them() {
    let app = App::new();
    let mut response = app.send(completion(ACME, ENDLESS)).await;
    read(response.body_mut(), 1 + 10).await;
    app.stopper.stop();
    let rest = Answer::of(response).await;
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 10, "credits": "0.0165" });
    let last = json!({ "error": { "message": "the server is stopping" }, "usage": usage });
    assert_eq!(events(&rest).into_iter().map(json_of).collect::<Vec<_>>(), [last]);
    assert_eq!(app.used("acme").await, "0.0165");
}

#[tokio::test]
async fn a_connection_that_is_closed_stops_the_model() {
    let app = App::at_pace(Duration::from_millis(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app.router.clone()).into_future());

    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ACME}");
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{ENDLESS}", ENDLESS.len());
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(&mut connection).lines();
    let mut tokens = 0;
    while tokens < 10 {
        tokens += usize::from(lines.next_line().await.unwrap().unwrap().contains("text\""));
    }
    drop(connection);

    let used: f64 = app.used("acme").await.parse().unwrap();
    assert!((0.0165..1.0).contains(&used), "{used}: 10 tokens were read, and 4096 cost 6.1455");
    server.abort();
}
