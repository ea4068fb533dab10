//! Who is charged.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};

use crate::http::ground::{Ground, request};
use crate::http::setting::Setting;
use crate::http::{HttpHarness, Named};

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
    // Where a framework does not show what is no UTF-8, nobody is named by it, and it does not count beside somebody.
    let hidden = H::HIDES_OTHER_THAN_UTF8;
    let answer = named(&[&b"client1\xff"[..]]);
    answer.assert_problem(
        401,
        if hidden { "the request names no client" } else { "the request names no valid client id" },
    );
    answer.assert_headers([("www-authenticate", Some("ApiKey"))]);
    ground.assert_used("0");
    let answer = named(&[&b"client1"[..], b"client1\xff"]);
    if hidden {
        assert_eq!((answer.status, answer.remaining()), (200, Some("9")));
    } else {
        answer.assert_problem(401, "the request names two different clients");
        ground.assert_used("0");
    }
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

pub fn the_challenge_is_the_applications<H: HttpHarness>() {
    let challenge = HeaderValue::from_static("Bearer realm=\"reports\"");
    let ground = Setting::<H>::ten().answers(|answers| answers.with_challenge(challenge)).serve();
    let mut request = request(Method::GET, "/one");
    request.headers_mut().remove("x-client-id");
    let mut own = request.clone();
    *own.uri_mut() = "/quota/status".parse().unwrap();
    for asked in [request, own] {
        let answer = ground.send(asked);
        answer.assert_problem(401, "the request names no client");
        answer.assert_headers([("www-authenticate", Some("Bearer realm=\"reports\""))]);
    }
    // Operators have a token, whatever callers have.
    ground.get("/quota/clients").assert_headers([("www-authenticate", Some("Bearer"))]);
}

pub fn nobody_is_looked_up_for_what_is_not_metered<H: HttpHarness>() {
    for named in [Named::Function, Named::Waiting] {
        let ground = Setting::<H>::ten().named(named).serve();
        let ask = |method: Method, path: &str, operator: bool| {
            let mut asked = with_token(path, Some("unasked"));
            *asked.method_mut() = method;
            if operator {
                asked.headers_mut().insert("authorization", HeaderValue::from_static("Bearer s3cret"));
            }
            asked.headers_mut().insert("access-control-request-method", HeaderValue::from_static("GET"));
            ground.try_send(asked).map(|answer| answer.status)
        };
        let asked = ground.asked();
        for (method, path, status) in [
            (Method::GET, "/free", 200),
            (Method::GET, "/none", 404),
            (Method::GET, "/quota/openapi.json", 200),
            (Method::GET, "/quota/none", 404),
            (Method::GET, "/v1/deep/quota/health", 200),
            (Method::GET, "/quota/health", 200),
            (Method::GET, "/quota/clients", 401),
            (Method::GET, "/quota/clients/client1/status", 401),
        ] {
            assert_eq!(ask(method, path, false), Some(status), "{path}");
        }
        // A preflight.
        assert!(matches!(ask(Method::OPTIONS, "/one", false), Some(404 | 405)));
        assert_eq!(ground.asked(), asked, "nor is the store asked of anybody's quotas");
        for (method, path, status) in [
            (Method::GET, "/clients", 200),
            (Method::GET, "/clients/client1/status", 200),
            (Method::DELETE, "/clients/client1/plan", 204),
        ] {
            assert_eq!(ask(method, &format!("/quota{path}"), true), Some(status), "{path}");
        }
        // It would be seen.
        for path in ["/one", "/idle", "/quota/status"] {
            let seen = ground.begin(with_token(path, Some("unasked"))).answer();
            assert!(seen.is_none_or(|answer| answer.status == 500), "{path}");
        }
    }
}

/// A request of the bearer of a token; it names a client by the header, too, which is not asked.
fn with_token(path: &str, token: Option<&str>) -> Request<Bytes> {
    let mut request = request(Method::GET, path);
    request.headers_mut().insert("x-client-id", HeaderValue::from_static("a/b"));
    if let Some(token) = token {
        request.headers_mut().insert("x-token", token.parse().unwrap());
    }
    request
}

/// The bearer of a token is the client, for what is metered and for the usage API; who has none is nobody.
fn tokens_name_the_client<H: HttpHarness>(named: Named) -> Ground<H> {
    let ground = Setting::<H>::ten().named(named).serve();
    // The first time it is not known yet whether a handler answers, the second time it is.
    for remaining in ["9", "8"] {
        let answer = ground.send(with_token("/one", Some("of client1")));
        assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)), "{named:?}");
    }
    assert_eq!(ground.send(with_token("/generate?max=4&actual=2", Some("of client1"))).remaining(), Some("6"));
    let own = ground.send(with_token("/quota/status", Some("of client1")));
    assert_eq!(own.json()["quotas"][0]["used"], "4", "{named:?}");
    for path in ["/one", "/answer?status=200", "/idle", "/quota/status"] {
        for token in [None, Some("client1")] {
            ground.send(with_token(path, token)).assert_problem(401, "the request names no client");
        }
    }
    let stranger = ground.send(with_token("/one", Some("of a stranger")));
    stranger.assert_problem(403, "no quota is available to this client");
    ground.assert_used("4");
    ground
}

pub fn authentication_may_name_the_client<H: HttpHarness>() {
    tokens_name_the_client::<H>(Named::Extension);
}

pub fn a_function_may_name_the_client<H: HttpHarness>() {
    for named in [Named::Function, Named::Waiting] {
        let ground = tokens_name_the_client::<H>(named);
        for path in ["/one", "/answer?status=200", "/idle"] {
            let refused = ground.send(with_token(path, Some("stolen")));
            assert_eq!((refused.status, refused.body.as_str()), (451, "stolen"), "{path}");
            refused.assert_headers([("x-why", Some("stolen")), ("www-authenticate", None)]);
            refused.assert_no_quota();
        }
        let long = ground.send(with_token("/one", Some(&format!("of {}", "x".repeat(10_000)))));
        long.assert_problem(401, "the request names no valid client id");
        ground.assert_used("4");
    }
}
