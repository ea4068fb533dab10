//! The usage API, mounted.

use http::Method;

use crate::http::HttpHarness;
use crate::http::ground::{Setting, request};

pub fn a_caller_reads_its_own_quotas_and_no_other<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    let own = ground.get("/quota/status");
    assert_eq!(own.status, 200);
    assert!(own.body.contains(r#""used":"5""#) && own.body.contains(r#""remaining":"5""#), "{}", own.body);
    own.assert_headers([("cache-control", Some("no-store")), ("content-type", Some("application/json"))]);
    own.assert_no_quota();
    let other = ground.get("/quota/clients/client1/status");
    assert_eq!(other.status, 401);
    other.assert_headers([("www-authenticate", Some("Bearer"))]);
    assert_eq!(ground.get("/quota/none").status, 404);
    ground.assert_used("5");
}

pub fn an_operator_reads_any_client_by_its_encoded_id<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (path, status) in [
        ("/quota/clients/a%2Fb/status", 200),
        ("/quota/clients/client1/usage?from=2024-03-01&to=2024-03-02", 200),
        ("/quota/clients/a/b/status", 404),
        ("/quota/clients/..%2Fclient1/status", 403),
        ("/quota/clients/%ff/status", 400),
    ] {
        let mut request = request(Method::GET, path);
        request.headers_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
        assert_eq!(ground.send(request).status, status, "{path}");
    }
}
