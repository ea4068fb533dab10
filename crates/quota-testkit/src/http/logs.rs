//! What is logged of what operators change: who, and what.

use http::{HeaderValue, Method};
use serde_json::json;

use crate::gated::Gate;
use crate::http::HttpHarness;
use crate::http::ground::{Ground, operators, request};
use crate::http::leaving::Leaving;
use crate::http::log::{self, Log};
use crate::http::setting::Setting;

/// Quotas of a day and of a month.
fn plan() -> String {
    let anchor = "2024-01-01T00:00:00Z";
    let quotas = [("DAY", "7.5"), ("MONTH", "unlimited")];
    let quotas = quotas
        .map(|(period, limit)| json!({ "period": period, "every": 1, "limit": limit, "anchor": anchor, "tz": "UTC" }));
    json!({ "quotas": quotas }).to_string()
}

/// The client charges 5 and 0.5.
fn charges<H: HttpHarness>(ground: &Ground<H>, log: &Log) {
    for path in ["/five", "/half"] {
        let mut asked = request(Method::GET, path);
        asked.headers_mut().insert("x-client-id", log.client().parse().unwrap());
        assert_eq!(ground.send(asked).status, 200, "{path}");
    }
}

/// Asks for a change of this client's, by an operator whom the application names or by the token's bearer.
fn change<H: HttpHarness>(ground: &Ground<H>, log: &Log, (method, of): (Method, &str), by_role: bool) -> u16 {
    let body = if method == Method::PUT { plan() } else { String::new() };
    let mut asked = operators(method, &format!("/clients/{}/{of}", log.client()), &body);
    if by_role {
        asked.headers_mut().insert("x-role", HeaderValue::from_static("operator"));
    }
    ground.send(asked).status
}

const SET: (Method, &str) = (Method::PUT, "plan");
const DELETE: (Method, &str) = (Method::DELETE, "usage?all=true");
const REMOVE: (Method, &str) = (Method::DELETE, "plan");

pub fn what_operators_change_is_told_with_who_and_what<H: HttpHarness>() {
    for (by_role, who) in [(false, "operator=\"the operator's token\""), (true, "operator=\"an operator by role\"")] {
        let log = Log::begin();
        let setting = Setting::<H>::ten();
        let ground = if by_role { setting.operators_by_role() } else { setting }.serve();
        assert_eq!(change(&ground, &log, SET, by_role), 200);
        charges(&ground, &log);
        let noon = "usage?from=2024-03-01T12:00:00Z&to=2024-03-01T13:00:00Z";
        assert_eq!(change(&ground, &log, (Method::DELETE, noon), by_role), 200);
        assert_eq!(change(&ground, &log, DELETE, by_role), 200);
        assert_eq!(change(&ground, &log, REMOVE, by_role), 204);
        let lines = log.saying(who);
        let expected = [
            ["a plan was set", "quotas=\"day: 7.5, month: unlimited\"", ""],
            ["usage was deleted", "from=2024-03-01T12:00:00.000Z to=2024-03-01T13:00:00.000Z", "deleted=2"],
            ["usage was deleted", "from=1970-01-01T00:00:00.000Z", "deleted=0"],
            ["a plan was removed", "", ""],
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, said) in lines.iter().zip(expected) {
            assert!(line.contains(" INFO ") && said.iter().all(|said| line.contains(said)), "{said:?}: {line}");
        }
        assert!(
            !log::all().iter().any(|line| line.contains("s3cret")),
            "who proves to be an operator, how is a secret"
        );
    }
}

pub fn what_is_not_changed_is_not_told<H: HttpHarness>() {
    let log = Log::begin();
    let ground = Setting::<H>::ten().operators_by_role().serve();
    for asked in [SET, DELETE, REMOVE] {
        // The token counts for nothing here.
        assert_eq!(change(&ground, &log, asked, false), 401);
    }
    let path = |of: &str| format!("/clients/{}/{of}", log.client());
    let refused = [
        (Method::PUT, path("plan"), "{\"quotas\":[{}]}", 400),
        (Method::DELETE, path("usage"), "", 400),
        (Method::POST, path("plan"), "", 405),
    ];
    let read = [(Method::GET, path("usage"), "", 200), (Method::GET, path("entries"), "", 200)];
    for (method, path, body, status) in refused.into_iter().chain(read) {
        let mut asked = operators(method, &path, body);
        asked.headers_mut().insert("x-role", HeaderValue::from_static("operator"));
        assert_eq!(ground.send(asked).status, status, "{path}");
    }
    assert_eq!(log.saying(""), [""; 0]);
    // What the store did not do is an error, and no change.
    let stored = Setting::<H>::ten().stored_plans().serve();
    stored.fail(true);
    for asked in [SET, DELETE, REMOVE] {
        assert_eq!(change(&stored, &log, asked, false), 503);
    }
    let lines = log.saying("");
    assert!(
        lines.iter().all(|line| line.contains("ERROR") && line.contains("the usage API could not answer")),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
}

pub fn what_was_perhaps_changed_is_told_as_that<H: HttpHarness>() {
    let log = Log::begin();
    let ground = Setting::<H>::ten().stored_plans().queued(9).serve();
    ground.set_gate(Gate::UnknownDone);
    let who = "operator=\"the operator's token\"";
    for (asked, said) in
        [(SET, "a plan was perhaps set"), (DELETE, "usage was perhaps deleted"), (REMOVE, "a plan was perhaps removed")]
    {
        assert_eq!(change(&ground, &log, asked, false), 503, "{said}");
        let lines = log.saying(said);
        assert!(
            lines.len() == 1 && lines.iter().all(|line| line.contains(" WARN ") && line.contains(who)),
            "{lines:?}"
        );
    }
}

pub fn a_change_is_told_though_its_operator_goes_away<H: HttpHarness>() {
    let log = Log::begin();
    let ground = Setting::<H>::ten().queued(9).serve();
    assert_eq!(change(&ground, &log, SET, false), 200);
    charges(&ground, &log);
    ground.set_gate(Gate::HeldBefore);
    let path = format!("/clients/{}/usage?all=true", log.client());
    let asked = Leaving::ask(&ground, operators(Method::DELETE, &path, ""));
    ground.wait_for_a_held_batch();
    let _connection = asked.leave::<H>();
    ground.set_gate(Gate::Open);
    let line = log.wait_for("usage was deleted");
    assert!(line.contains("operator=\"the operator's token\"") && line.contains("deleted=2"), "{line}");
}

pub fn why_a_handler_has_no_quota_is_told<H: HttpHarness>() {
    let _log = Log::begin();
    let ground = Setting::<H>::ten().serve();
    let (asked, said) = if H::PAYS_BY_TYPE {
        let mut preflight = request(Method::OPTIONS, "/any");
        preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        (preflight, ["path=\"/any\"", "a route asks for quotas and is exempt"])
    } else {
        (request(Method::GET, "/unlayered"), ["route=\"/unlayered\"", "has no QuotaLayer"])
    };
    let answer = ground.send(asked);
    answer.assert_problem(500, "the request could not be metered");
    answer.assert_no_quota();
    let is_said = |line: &String| line.contains("ERROR") && said.iter().all(|said| line.contains(said));
    assert!(log::all().iter().any(is_said), "{:?}", log::all());
    ground.assert_used("0");
}
