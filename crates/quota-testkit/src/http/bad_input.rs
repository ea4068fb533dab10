//! What the usage API is asked wrongly: a problem document that names the member at fault, and nothing is changed.

use http::Method;
use serde_json::{Value, json};

use crate::http::HttpHarness;
use crate::http::ground::operators;
use crate::http::setting::Setting;

pub fn what_a_query_says_wrongly_is_named<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let long = format!("tz={}", "x".repeat(4_000));
    for (query, member) in [
        ("from=x", "from"),
        ("from=", "from"),
        ("from=2024-02-30", "from"),
        ("from=2024-03-01T00:00:00Z", "from"),
        ("from=-2024-03-01", "from"),
        ("from=2024-03-01&from=2024-03-01", "from"),
        ("to=2024-13-01", "to"),
        ("to=99999-01-01", "to"),
        ("from=2024-03-02&to=2024-03-01", "to"),
        ("from=1924-03-01&to=2024-03-01", "to"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=", "tz"),
        ("tz=../../etc/passwd", "tz"),
        ("tz=UTC%00", "tz"),
        ("tz=%3Cscript%3E", "tz"),
        ("tz=%FF", "tz"),
        (long.as_str(), "tz"),
        ("by=client", "by"),
    ] {
        ground.get(&format!("/quota/usage?{query}")).assert_malformed(member);
        ground.operate(Method::GET, &format!("/clients/client1/usage?{query}"), "").assert_malformed(member);
    }
    // 3,660 days, and one more.
    assert_eq!(ground.get("/quota/usage?from=2014-01-01&to=2024-01-09").status, 200);
    ground.get("/quota/usage?from=2014-01-01&to=2024-01-10").assert_malformed("to");
    assert_eq!(ground.operate(Method::GET, "/clients?limit=200", "").status, 200);
    assert_eq!(ground.operate(Method::GET, "/clients/client1/entries?limit=1000", "").status, 200);
    let long = format!("after={}", "x".repeat(4_000));
    for (query, member) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%2B5", "limit"),
        (&long, "after"),
        ("after=", "after"),
        ("prefix=%00", "prefix"),
        ("prefix=a%0A", "prefix"),
        ("prefix=%FF", "prefix"),
        ("prefix=caf%C3", "prefix"),
        ("after=%FF", "after"),
    ] {
        ground.operate(Method::GET, &format!("/clients?{query}"), "").assert_malformed(member);
    }
    // The character that stands for what is not UTF-8 may be sent itself.
    assert_eq!(ground.operate(Method::GET, "/clients?prefix=%EF%BF%BD", "").status, 200);
    for (query, member) in [
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("after=1709294400000-00", "after"),
        ("after=1709294400000-6100", "after"),
        ("after=%FF", "after"),
        ("from=2024-03-01", "from"),
        ("from=2024-03-02T00:00:00Z&to=2024-03-01T00:00:00Z", "to"),
    ] {
        ground.operate(Method::GET, &format!("/clients/client1/entries?{query}"), "").assert_malformed(member);
    }
}

/// A quota of which one member is said otherwise.
fn quota(member: &str, value: Value) -> Value {
    let mut quota =
        json!({ "period": "DAY", "every": 1, "limit": "10", "anchor": "2024-01-01T00:00:00Z", "tz": "UTC" });
    quota[member] = value;
    quota
}

fn plan(quotas: &[Value]) -> String {
    json!({ "quotas": quotas }).to_string()
}

pub fn what_a_body_says_wrongly_is_named<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let good = plan(&[quota("every", json!(1))]);
    let twice = plan(&[quota("every", json!(1)), quota("limit", json!("20"))]);
    let many = plan(&vec![json!({}); 65]);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, member) in [
        (String::new(), "body"),
        ("null".to_owned(), "body"),
        ("{}".to_owned(), "body"),
        (r#"{"quotas":[],"more":1}"#.to_owned(), "more"),
        (r#"{"quotas":[],"quotas":[]}"#.to_owned(), "body: duplicate field `quotas`"),
        (good.replace(r#""every":1"#, r#""every":1,"every":1"#), "quotas[0]: duplicate field `every`"),
        (format!("{good}x"), "body"),
        ("\u{0}".to_owned(), "body"),
        (good[..good.len() - 1].to_owned(), "body"),
        (good[..20].to_owned(), "quotas[0]"),
        (deep.clone(), "body"),
        (format!(r#"{{"quotas":{deep}}}"#), "quotas[0]"),
        (plan(&[json!(["DAY", 1, "10", "2024-01-01T00:00:00Z", "UTC"])]), "quotas[0]"),
        (twice, "quotas"),
        (many, "quotas[0]"),
        (plan(&[quota("limit", json!(10))]), "quotas[0].limit"),
        (plan(&[quota("limit", json!("-1"))]), "quotas[0].limit"),
        (plan(&[quota("limit", json!("NaN"))]), "quotas[0].limit"),
        (plan(&[quota("limit", json!("1e400"))]), "quotas[0].limit"),
        (plan(&[quota("limit", json!("0.0000001"))]), "quotas[0].limit"),
        (plan(&[quota("period", json!("FORTNIGHT"))]), "quotas[0].period"),
        (plan(&[quota("every", json!(0))]), "quotas[0]"),
        (plan(&[quota("every", json!(-1))]), "quotas[0].every"),
        (plan(&[quota("every", json!(1.5))]), "quotas[0].every"),
        (plan(&[quota("tz", json!("Mars/Olympus"))]), "quotas[0].tz"),
        (plan(&[quota("anchor", json!("2024-02-30T00:00:00Z"))]), "quotas[0].anchor"),
    ] {
        for (method, path) in [(Method::PUT, "/plan"), (Method::POST, "/plan/preview")] {
            let answer = ground.operate(method, &format!("/clients/client1{path}"), &body);
            assert_eq!(answer.status, 400, "{body:.80}: {answer:?}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(member), "{body:.80}: {detail}, not {member}");
        }
    }
    assert_eq!(ground.get("/quota/status").json()["quotas"][0]["limit"], "10");
}

pub fn a_body_that_is_cut_off_is_no_plan<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let head = "PUT /quota/clients/client1/plan HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n";
    let chunk = "d\r\n{\"quotas\":[]}\r\n";
    for rest in [
        "Content-Length: 500\r\n\r\n{\"quotas\":[]}".to_owned(),
        "Content-Length: 500\r\n\r\n{\"quotas\":[]}  ".to_owned(),
        "Content-Length: 20\r\n\r\n{\"quo".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}9\r\n"),
    ] {
        let answer = ground.send_raw(&format!("{head}{rest}"));
        answer.assert_problem(400, "body: it ended before it was whole");
    }
    let whole = ground.send_closing(&format!("{head}Connection: close\r\nContent-Length: 13\r\n\r\n{{\"quotas\":[]}}"));
    assert_eq!(whole.status, 200, "what is whole is taken");
}

pub fn a_body_that_is_too_long_is_not_read<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let padded = |bytes: usize| format!("{{\"quotas\":[]{}}}", " ".repeat(bytes - 13));
    let too_long = ground.operate(Method::PUT, "/clients/client1/plan", &padded((64 << 10) + 1));
    too_long.assert_problem(413, "a body has at most 64 KiB");
    assert_eq!(ground.get("/quota/status").json()["quotas"].as_array().unwrap().len(), 1);
    assert_eq!(ground.operate(Method::PUT, "/clients/client1/plan", &padded(64 << 10)).status, 200);
    assert_eq!(ground.get("/quota/status").json()["quotas"].as_array().unwrap().len(), 0);
    // Far more than that may be cut before it is answered.
    if let Some(answer) = ground.try_send(operators(Method::PUT, "/clients/client1/plan", &padded(8 << 20))) {
        assert_eq!(answer.status, 413);
    }
}

pub fn ids_that_are_none_are_named<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let long = "x".repeat(10_000);
    for id in ["%00", "%FF", "%0A", "", long.as_str()] {
        for (method, of) in [(Method::GET, "status"), (Method::GET, "entries"), (Method::DELETE, "usage?all=true")] {
            ground.operate(method, &format!("/clients/{id}/{of}"), "").assert_malformed("id");
        }
    }
    for id in ["..", ".", "%2E%2E", "<b>", "client1%3Bdrop%20table", "%F0%9F%A6%80"] {
        let id = id.replace('<', "%3C").replace('>', "%3E");
        let answer = ground.operate(Method::GET, &format!("/clients/{id}/status"), "");
        assert!(matches!(answer.status, 403), "{id}: {answer:?}");
    }
}
