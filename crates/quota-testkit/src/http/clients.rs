//! Who is charged.

use http::{HeaderValue, Method};

use crate::http::HttpHarness;
use crate::http::ground::{Setting, request};

pub fn who_names_no_client_is_challenged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let long = "x".repeat(10_000);
    let named = |values: &[&[u8]]| {
        let mut request = request(Method::GET, "/one");
        request.headers_mut().remove("x-client-id");
        for value in values {
            request.headers_mut().append("x-client-id", HeaderValue::from_bytes(value).unwrap());
        }
        ground.send(request)
    };
    for (values, detail) in [
        (&[][..], "the request names no client"),
        (&[&b"client1"[..], b"client2"], "the request names two different clients"),
        (&[&b""[..]], "the request names no valid client id"),
        (&[long.as_bytes()], "the request names no valid client id"),
    ] {
        let answer = named(values);
        answer.assert_problem(401, detail);
        answer.assert_headers([("www-authenticate", Some("ApiKey"))]);
        answer.assert_no_quota();
    }
    // Some frameworks do not show what is no UTF-8.
    assert_eq!(named(&[&b"client1\xff"[..]]).status, 401);
    ground.assert_used("0");
}

pub fn a_client_without_a_plan_is_forbidden<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for name in ["stranger", "../client1", "client1%2F", "CLIENT1"] {
        let mut request = request(Method::GET, "/one");
        request.headers_mut().insert("x-client-id", name.parse().unwrap());
        let answer = ground.send(request);
        answer.assert_problem(403, "no quota is available to this client");
        answer.assert_no_quota();
    }
    ground.assert_used("0");
}

pub fn the_same_client_named_twice_is_one<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut request = request(Method::GET, "/one");
    request.headers_mut().append("x-client-id", HeaderValue::from_static("client1"));
    assert_eq!(ground.send(request).status, 200);
    ground.assert_used("1");
}
