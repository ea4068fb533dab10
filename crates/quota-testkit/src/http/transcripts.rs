//! One script for every framework, and every byte that comes back: what each case compares with is a file.

use quota_core::Period;
use quota_http::{Answers, IdempotencyKeys, OnReplay};
use quota_service::OnStoreError;

use crate::http::HttpHarness;
use crate::http::setting::{Setting, quota};
use crate::http::transcript::{Expected, Transcript};

/// A file of the folder `transcripts`.
macro_rules! expected {
    ($name:literal) => {
        Expected { name: $name, text: include_str!(concat!("transcripts/", $name, ".txt")) }
    };
}

pub fn what_is_allowed<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "500"), quota(Period::MONTH, "10000")]).serve();
    ground.pause().end();
    let script = [
        "GET /one",
        "HEAD /five",
        "GET /half",
        "GET /by-query?n=0.25",
        "GET /by-waiting?n=0.000001",
        "POST /created",
        "OPTIONS /any",
        "GET /free",
        "GET /answer?status=200",
        "GET /answer?status=404",
        "GET /accepted?status=202",
        "GET /idle",
        "GET /compute?credits=2.5",
        "GET /generate?max=8&actual=2.5",
        "GET /generate?max=8&actual=2.5&fail=true",
        "GET /stream?max=8&chunks=3",
        "GET /twice",
        "GET /told",
    ];
    Transcript::of(&ground).ask(script).is(&expected!("what_is_allowed"));
}

const USUAL: [&str; 9] = [
    "GET /one",
    "HEAD /five",
    "GET /compute?credits=11",
    "GET /five",
    "GET /answer?status=404",
    "GET /generate?max=4&actual=1.5",
    "POST /created",
    "GET /idle",
    "GET /one\nx-client-id: ",
];

pub fn what_is_shown_by_default<H: HttpHarness>() {
    let ground = Setting::<H>::ten().answers(|_| Answers::default()).serve();
    Transcript::of(&ground).ask(USUAL).is(&expected!("what_is_shown_by_default"));
}

pub fn what_is_shown_without_quota_headers<H: HttpHarness>() {
    let ground = Setting::<H>::ten().answers(|_| Answers::default().without_x_rate_limit()).serve();
    Transcript::of(&ground).ask(USUAL).is(&expected!("what_is_shown_without_quota_headers"));
}

const UNBOUND: [&str; 10] = [
    "GET /one",
    "HEAD /five",
    "GET /compute?credits=1000",
    "GET /answer?status=404",
    "GET /generate?max=4&actual=2.5",
    "GET /twice",
    "POST /created",
    "GET /idle",
    "GET /quota/status",
    "GET /quota/clients/client1/plan\nauthorization: Bearer s3cret",
];

pub fn what_is_unlimited<H: HttpHarness>() {
    let quotas = [Period::DAY, Period::MONTH].map(|period| quota(period, "unlimited"));
    let ground = Setting::<H>::with(quotas).serve();
    Transcript::of(&ground).ask(UNBOUND).is(&expected!("what_is_unlimited"));
}

pub fn what_has_no_quota<H: HttpHarness>() {
    let ground = Setting::<H>::with([]).serve();
    Transcript::of(&ground).ask(UNBOUND).is(&expected!("what_has_no_quota"));
}

pub fn what_is_denied<H: HttpHarness>() {
    let quotas = [quota(Period::DAY, "10"), quota(Period::MONTH, "14"), quota(Period::YEAR, "unlimited")];
    let ground = Setting::<H>::with(quotas).serve();
    Transcript::of(&ground)
        .ask(["GET /compute?credits=14.5", "GET /compute?credits=10.5", "GET /compute?credits=7", "GET /five"])
        .ask(["GET /answer?status=200", "GET /generate?max=4&actual=1", "GET /stream?max=4&chunks=1"])
        .meanwhile("12.25 are recorded elsewhere", |ground| ground.record("12.25"))
        .ask(["GET /one", "HEAD /five", "GET /compute?credits=0.000001", "GET /idle"])
        .is(&expected!("what_is_denied"));
}

pub fn what_is_refused<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let script = [
        "GET /one\nx-client-id: ",
        "GET /one\nx-client-id: client1\nx-client-id: client2",
        "GET /one\nx-client-id: stranger",
        "GET /answer?status=200\nx-client-id: stranger",
        "GET /idle\nx-client-id: stranger",
        "GET /by-query?n=-1",
        "GET /by-query?n=NaN",
        "GET /by-waiting?n=1e400",
        "GET /compute?credits=0.0000001",
        "GET /compute",
        "GET /compute?credits=1&id=key%3Amine",
        "GET /compute?credits=1&id=order-7",
        "GET /compute?credits=2&id=order-7",
        "GET /generate?max=1&actual=9223372036854.775807",
        "GET /quota/status\nx-client-id: ",
    ];
    Transcript::of(&ground).ask(script).is(&expected!("what_is_refused"));
}

pub fn what_is_sent_again<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
    let script = [
        "GET /one\nidempotency-key: k",
        "GET /one\nidempotency-key: \"k\"",
        "GET /one\nidempotency-key: another",
        "GET /one\nidempotency-key: no key",
        "GET /one\nidempotency-key: a\nidempotency-key: b",
        "GET /by-query?n=1\nidempotency-key: k",
        "GET /by-query?n=2\nidempotency-key: k",
        "GET /answer?status=500\nidempotency-key: k",
        "GET /answer?status=200\nidempotency-key: k",
        "GET /answer?status=200\nidempotency-key: k",
        "GET /generate?max=2&actual=1\nidempotency-key: k",
        "GET /generate?max=2&actual=1\nidempotency-key: k",
    ];
    Transcript::of(&ground).ask(script).is(&expected!("what_is_sent_again"));
}

pub fn what_cannot_be_metered<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let metered = ["GET /one", "GET /compute?credits=1", "GET /answer?status=200", "GET /generate?max=1&actual=1"];
    let usage = ["GET /quota/status", "GET /quota/usage", "GET /quota/health"];
    Transcript::of(&ground)
        .ask(metered)
        .meanwhile("the store fails", |ground| ground.fail(true))
        .ask(metered)
        .ask(usage)
        .meanwhile("the store answers again", |ground| ground.fail(false))
        .ask(metered)
        .is(&expected!("what_cannot_be_metered"));
}

pub fn what_runs_again<H: HttpHarness>() {
    let keys = IdempotencyKeys::default().with_on_replay(OnReplay::Run);
    let ground = Setting::<H>::ten().keys(keys).serve();
    let script = [
        "GET /one\nidempotency-key: k",
        "GET /one\nidempotency-key: k",
        "HEAD /one\nidempotency-key: k",
        "GET /by-query?n=1\nidempotency-key: k",
        "GET /by-query?n=2\nidempotency-key: k",
        "GET /answer?status=500\nidempotency-key: k",
        "GET /answer?status=200\nidempotency-key: k",
        "GET /answer?status=200\nidempotency-key: k",
        "GET /answer?status=500\nidempotency-key: k",
        "GET /compute?credits=0.5\nidempotency-key: k",
        "GET /compute?credits=0.5\nidempotency-key: k",
        "GET /compute?credits=1\nidempotency-key: k",
        "GET /generate?max=2&actual=1\nidempotency-key: k",
        "GET /generate?max=2&actual=1\nidempotency-key: k",
    ];
    Transcript::of(&ground).ask(script).is(&expected!("what_runs_again"));
}

pub fn what_runs_unchecked<H: HttpHarness>() {
    let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
    let script = [
        "GET /one",
        "HEAD /one",
        "GET /by-query?n=0.25",
        "GET /compute?credits=1",
        "GET /answer?status=200",
        "GET /answer?status=404",
        "GET /generate?max=4&actual=1.5",
        "GET /generate?max=4&actual=1.5&fail=true",
        "GET /stream?max=8&chunks=1",
        "GET /idle",
        "GET /twice",
        "GET /told",
        "POST /created",
        "GET /quota/status",
    ];
    Transcript::of(&ground)
        .ask(["GET /one"])
        .meanwhile("the store fails", |ground| ground.fail(true))
        .ask(script)
        .meanwhile("the store answers again", |ground| ground.fail(false))
        .ask(["GET /one", "GET /compute?credits=1"])
        .is(&expected!("what_runs_unchecked"));
}

pub fn what_a_caller_reads_back<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "10"), quota(Period::MONTH, "unlimited")]).serve();
    let script = [
        "GET /compute?credits=2.5&id=order-7",
        "GET /compute?credits=1&id=%3D1%2B1",
        "GET /five",
        "GET /quota/status",
        "HEAD /quota/status",
        "GET /quota/usage",
        "GET /quota/usage?from=2024-02-28&to=2024-03-02&tz=Asia/Tokyo&by=label",
        "GET /quota/usage?by=label\naccept: text/csv",
        "GET /quota/usage?from=2024-03-02&to=2024-03-01",
        "GET /quota/usage?from=1924-03-01&to=2024-03-01",
        "GET /quota/usage?tz=Mars/Olympus",
        "GET /quota/health",
        "GET /quota/clients",
        "GET /quota/none",
        "POST /quota/status",
    ];
    Transcript::of(&ground).ask(script).is(&expected!("what_a_caller_reads_back"));
}

pub fn what_an_operator_does<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/compute?credits=2.5&id=order-7");
    ground.get("/compute?credits=1&id=%3D1%2B1");
    ground.get("/compute?credits=11");
    let token = "authorization: Bearer s3cret";
    let plan = concat!(
        r#"{"quotas":[{"period":"DAY","every":1,"limit":"3.5","anchor":"2024-01-01T06:00:00Z","tz":"Europe/Berlin"},"#,
        r#"{"period":"MONTH","every":3,"limit":"unlimited","anchor":"2024-01-31T00:00:00Z","tz":"UTC"}]}"#
    );
    let script = [
        format!("GET /quota/clients?limit=1\n{token}"),
        format!("GET /quota/clients?prefix=cl&after=a\n{token}"),
        format!("GET /quota/clients/client1/status\n{token}"),
        format!("GET /quota/clients/a%2Fb/usage?from=2024-03-01&to=2024-03-02\n{token}"),
        format!("GET /quota/clients/client1/plan\n{token}"),
        format!("POST /quota/clients/client1/plan/preview\n{token}\n\n{plan}"),
        format!("PUT /quota/clients/client1/plan\n{token}\n\n{plan}"),
        format!("PUT /quota/clients/client1/plan\n{token}\n\n{{\"quotas\":[{{\"period\":\"FORTNIGHT\"}}]}}"),
        format!("PUT /quota/clients/client1/plan\n{token}\n\n{{\"quo"),
        format!("GET /quota/clients/client1/denials\n{token}"),
        format!("GET /quota/clients/client1/entries?limit=1\n{token}\naccept: text/csv"),
        format!("GET /quota/clients/client1/entries\n{token}"),
        format!("GET /quota/clients/%00/status\n{token}"),
        format!("GET /quota/clients/stranger/status\n{token}"),
        format!("DELETE /quota/clients/client1/usage\n{token}"),
        format!("DELETE /quota/clients/client1/usage?all=true\n{token}"),
        format!("DELETE /quota/clients/client1/plan\n{token}"),
        format!("GET /quota/clients/client1/plan\n{token}"),
        format!("PATCH /quota/clients\n{token}"),
        "GET /quota/clients\nauthorization: Bearer wrong".to_owned(),
    ];
    Transcript::of(&ground).ask(script.each_ref().map(String::as_str)).is(&expected!("what_an_operator_does"));
}
