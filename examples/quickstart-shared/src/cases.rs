//! What every quickstart does, called over HTTP: cases for its own process.

use std::fs;

use rustix::process::Signal;
use tempfile::{TempDir, tempdir};

use crate::server::{Server, command};

/// Makes a `#[test]` of every case for a program by its path.
#[macro_export]
macro_rules! quickstart_tests {
    ($program:expr) => {
        $crate::quickstart_tests! { @ $program;
            without_settings_it_keeps_an_sqlite_file_and_client1_has_a_day_and_a_month
            every_route_costs_and_answers_what_the_readme_says
            who_is_nobody_or_unknown_is_refused_and_other_paths_are_free
            a_restart_shows_the_same_remaining
            what_was_answered_before_it_stopped_is_stored
            many_callers_never_get_more_than_the_limit
            the_usage_api_tells_callers_their_own_and_operators_all
            without_a_token_of_operators_nobody_is_one
            the_page_is_served_beside_the_usage_api
            a_plan_that_an_operator_sets_is_still_there_after_a_restart
            a_demonstration_shows_something
            a_wrong_setting_is_named_and_nothing_starts
        }
    };
    (@ $program:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $crate::cases::$case($program);
        })*
    };
}

/// Plans whose one window outlasts every test.
fn yearly(folder: &TempDir, limit: &str) -> String {
    let path = folder.path().join("plans.json");
    let quota =
        format!(r#"{{"period":"YEAR","every":20,"limit":"{limit}","anchor":"2020-01-01T00:00:00Z","tz":"UTC"}}"#);
    fs::write(&path, format!(r#"{{"clients":{{"client1":{{"quotas":[{quota}]}}}}}}"#)).unwrap();
    path.to_str().unwrap().to_owned()
}

pub fn without_settings_it_keeps_an_sqlite_file_and_client1_has_a_day_and_a_month(program: &str) {
    let folder = tempdir().unwrap();
    let server = Server::start(program, &folder, &[]);
    let answer = server.get("/api/fetch-data");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-ratelimit-limit"), Some("500"));
    assert_eq!(answer.remaining(), "499");
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with(r#""day";q=500;w=86400, "month";q=10000;w="#), "{policy}");
    let limits = answer.header("ratelimit").unwrap();
    assert!(limits.starts_with(r#""day";r=499;t="#) && limits.contains(r#", "month";r=9999;t="#), "{limits}");
    assert!(server.stop().success());
    assert!(folder.path().join("quota.db").exists());
}

const JSON: Option<&str> = Some("application/json");
const PROBLEM: Option<&str> = Some("application/problem+json");

/// A path, its status, what remains, and the type and the body of its answer, which no framework says in its own way.
type Told = (&'static str, u16, &'static str, Option<&'static str>, String);

fn problem(status: u16, title: &str, detail: &str) -> String {
    format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#)
}

fn malformed(detail: &str) -> String {
    problem(400, "Bad Request", detail)
}

fn denial(required: &str, remaining: &str) -> String {
    let (kind, end) = ("https://iana.org/assignments/http-problem-types#quota-exceeded", "2040-01-01T00:00:00Z");
    let title = "Request cannot be satisfied as assigned quota has been exceeded";
    let detail = format!("{required} credits are required, {remaining} remain in the 20-year quota until {end}");
    let what = format!(r#""violated-policies":["20-year"],"required":"{required}","remaining":"{remaining}""#);
    let when = format!(r#""resets_at":"{end}","retry_at":"{end}""#);
    format!(r#"{{"type":"{kind}","title":"{title}","status":429,"detail":"{detail}",{what},{when}}}"#)
}

/// Of 100 credits in all.
fn told() -> [Told; 14] {
    let digits = "credits: an amount of credits is digits, optionally a point and one to six decimals";
    let data = || r#"{"data":[1,2,3]}"#.to_owned();
    let generated = |credits: &str| format!(r#"{{"generated":"{credits}","late":false}}"#);
    [
        ("/api/fetch-data", 200, "99", JSON, data()),
        ("/api/fetch-expensive-data", 200, "94", JSON, data()),
        ("/api/compute?credits=2.5", 200, "91.5", JSON, r#"{"computed":"2.5"}"#.to_owned()),
        ("/api/compute", 400, "91.5", PROBLEM, malformed("credits: it is missing")),
        ("/api/compute?credits=x", 400, "91.5", PROBLEM, malformed(digits)),
        ("/api/compute?credits=-1", 400, "91.5", PROBLEM, malformed("credits: an amount of credits is not negative")),
        ("/api/compute?credits=92", 429, "91.5", PROBLEM, denial("92", "91.5")),
        ("/api/generate?max=50&actual=1.5", 200, "90", JSON, generated("1.5")),
        ("/api/generate?max=50&actual=60", 200, "30", JSON, generated("60")),
        ("/api/generate?max=20&actual=10&fail=true", 500, "30", None, "the work failed\n".to_owned()),
        ("/api/generate?max=31&actual=1", 429, "30", PROBLEM, denial("31", "30")),
        ("/api/generate?max=20", 400, "30", PROBLEM, malformed("actual: it is missing")),
        ("/api/generate?max=20&actual=1&fail=maybe", 400, "30", PROBLEM, malformed("fail: it is true or false")),
        ("/api/fetch-data", 200, "29", JSON, data()),
    ]
}

pub fn every_route_costs_and_answers_what_the_readme_says(program: &str) {
    let folder = tempdir().unwrap();
    let plans = yearly(&folder, "100");
    for store in ["sqlite:quota.db", "memory:"] {
        let server = Server::start(program, &folder, &[("QUOTA_STORE", store), ("QUOTA_PLANS", &plans)]);
        for (path, status, remaining, kind, body) in told() {
            let answer = server.get(path);
            assert_eq!((answer.status, answer.remaining()), (status, remaining), "{store} {path}: {}", answer.body);
            let typed = (answer.header("content-type"), answer.body.as_str());
            assert_eq!(typed, (kind, body.as_str()), "{store} {path}");
        }
        assert!(server.stop().success());
    }
}

pub fn who_is_nobody_or_unknown_is_refused_and_other_paths_are_free(program: &str) {
    let folder = tempdir().unwrap();
    let server = Server::start(program, &folder, &[("QUOTA_STORE", "memory:")]);
    let nobody = server.get_as(None, "/api/fetch-data");
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("ApiKey")));
    assert_eq!(nobody.header("content-type"), PROBLEM);
    assert_eq!(nobody.body, problem(401, "Unauthorized", "the request names no client"));
    let stranger = server.get_as(Some("stranger"), "/api/fetch-data");
    assert_eq!((stranger.status, stranger.header("content-type")), (403, PROBLEM));
    assert_eq!(stranger.body, problem(403, "Forbidden", "no quota is available to this client"));
    assert_eq!(server.get("/nowhere").status, 404);
    let wrong = server.post("/api/fetch-data");
    assert!(matches!(wrong.status, 404 | 405), "which of the two is the framework's own business");
    assert_eq!(wrong.header("x-ratelimit-limit"), None);
    assert_eq!(server.get("/api/fetch-data").remaining(), "499");
}

pub fn a_restart_shows_the_same_remaining(program: &str) {
    let folder = tempdir().unwrap();
    let plans = yearly(&folder, "100");
    let settings = [("QUOTA_STORE", "sqlite:kept.db"), ("QUOTA_PLANS", plans.as_str())];
    for remaining in ["97.5", "95", "92.5"] {
        let server = Server::start(program, &folder, &settings);
        assert_eq!(server.get("/api/compute?credits=2.5").remaining(), remaining);
        assert!(server.stop().success());
    }
}

pub fn what_was_answered_before_it_stopped_is_stored(program: &str) {
    // As a service manager stops it, and as ctrl-c does: nothing is cut that was charged.
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempdir().unwrap();
        let plans = yearly(&folder, "1000000");
        let settings = [("QUOTA_PLANS", plans.as_str())];
        let server = Server::start(program, &folder, &settings);
        let (status, answered) = server.stop_under_load("/api/fetch-data", 200, signal);
        assert!(status.success(), "{signal:?}");
        let server = Server::start(program, &folder, &settings);
        let remaining: usize = server.get("/api/fetch-data").remaining().parse().unwrap();
        assert_eq!(remaining, 1_000_000 - answered - 1, "{signal:?}");
    }
}

pub fn many_callers_never_get_more_than_the_limit(program: &str) {
    let folder = tempdir().unwrap();
    let plans = yearly(&folder, "20");
    let server = Server::start(program, &folder, &[("QUOTA_PLANS", &plans)]);
    let served: usize = std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..64).map(|_| scope.spawn(|| usize::from(server.get("/api/fetch-data").status == 200))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert_eq!(served, 20);
    let denied = server.get("/api/fetch-data");
    assert_eq!((denied.status, denied.remaining()), (429, "0"));
    assert!(denied.header("retry-after").unwrap().bytes().all(|byte| byte.is_ascii_digit()));
    assert!(denied.body.contains(r#""violated-policies":["20-year"]"#), "{}", denied.body);
}

pub fn the_usage_api_tells_callers_their_own_and_operators_all(program: &str) {
    let folder = tempdir().unwrap();
    let open = Server::start(program, &folder, &[("QUOTA_STORE", "memory:"), ("QUOTA_OPERATOR_TOKEN", "s3cret")]);
    assert_eq!(open.get("/api/fetch-expensive-data").status, 200);
    let own = open.get("/quota/status");
    assert!(own.status == 200 && own.body.contains(r#""used":"5""#), "{}", own.body);
    assert_eq!(open.get("/quota/clients/client1/status").status, 401);
    let any = open.get_as_operator("s3cret", "/quota/clients/client1/status");
    assert!(any.status == 200 && any.body.contains(r#""remaining":"495""#), "{}", any.body);
    let described = open.get("/quota/openapi.json");
    assert!(described.status == 200 && described.body.contains(r#""name": "x-client-id""#), "{}", described.body);
}

pub fn without_a_token_of_operators_nobody_is_one(program: &str) {
    let folder = tempdir().unwrap();
    let server = Server::start(program, &folder, &[("QUOTA_STORE", "memory:")]);
    let of_client = |of: &str| format!("/quota/clients/client1/{of}");
    let read = ["status", "usage", "plan", "entries", "denials"].map(of_client);
    let mut refused = Vec::new();
    for path in read.iter().map(String::as_str).chain(["/quota/clients"]) {
        refused.extend([server.get(path), server.get_as_operator("s3cret", path)]);
    }
    let plan = r#"{"quotas":[]}"#;
    refused.push(server.put_as_operator("s3cret", &of_client("plan"), plan));
    refused.push(server.post_as_operator("s3cret", &of_client("plan/preview"), plan));
    refused.push(server.delete_as_operator("s3cret", &of_client("plan")));
    refused.push(server.delete_as_operator("s3cret", &of_client("usage?all=true")));
    assert_eq!(refused.len(), 16);
    for answer in refused {
        assert_eq!((answer.status, answer.header("content-type")), (403, PROBLEM));
        assert_eq!(answer.body, problem(403, "Forbidden", "this is for operators"));
    }
    assert_eq!(server.get("/api/fetch-data").remaining(), "499");
}

pub fn the_page_is_served_beside_the_usage_api(program: &str) {
    let folder = tempdir().unwrap();
    let server = Server::start(program, &folder, &[("QUOTA_STORE", "memory:")]);
    let page = server.get_as(None, "/quota/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("data-client-header=\"x-client-id\""), "{}", page.body);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let (_, script) = page.body.split_once("src=\"./").unwrap();
    let script = server.get_as(None, &format!("/quota/{}", script.split_once('"').unwrap().0));
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    // Without the slash, its files would be looked for elsewhere: the browser is led to it.
    assert!(server.get_as(None, "/quota").body.contains("data-client-header"));
    assert_eq!(server.get_as(None, "/quota/assets/nothing.js").status, 404);
    assert_eq!(server.get("/quota/status").status, 200);
}

pub fn a_plan_that_an_operator_sets_is_still_there_after_a_restart(program: &str) {
    let folder = tempdir().unwrap();
    let settings = [("QUOTA_OPERATOR_TOKEN", "s3cret")];
    let quota = r#"{"period":"YEAR","every":20,"limit":"7","anchor":"2020-01-01T00:00:00Z","tz":"UTC"}"#;
    let plan = format!(r#"{{"quotas":[{quota}]}}"#);
    let server = Server::start(program, &folder, &settings);
    for client in ["client1", "fresh"] {
        assert_eq!(server.put_as_operator("s3cret", &format!("/quota/clients/{client}/plan"), &plan).status, 200);
    }
    assert!(server.stop().success());
    let server = Server::start(program, &folder, &settings);
    let clients = server.get_as_operator("s3cret", "/quota/clients");
    assert_eq!(clients.body, r#"{"clients":["client1","fresh"],"next":null}"#);
    for client in ["client1", "fresh"] {
        assert_eq!(server.get_as(Some(client), "/api/fetch-data").remaining(), "6", "{client}");
    }
}

pub fn a_demonstration_shows_something(program: &str) {
    let folder = tempdir().unwrap();
    for _ in 0..2 {
        let server = Server::start_with(program, &folder, &["--demo"], &[]);
        assert!(server.get("/quota/usage").body.matches("\"day\"").count() > 20);
        let clients = server.get_as_operator("demo", "/quota/clients");
        assert_eq!(clients.body, r#"{"clients":["acme","client1","hobby"],"next":null}"#);
        assert!(server.stop().success());
    }
    assert!(folder.path().join("demo.db").exists());
    let plans = yearly(&folder, "1");
    let other = command(program, folder.path()).arg("--demo").env("QUOTA_PLANS", plans).output().unwrap();
    assert!(!other.status.success());
    assert!(String::from_utf8(other.stderr).unwrap().contains("leave QUOTA_PLANS out"));
}

pub fn a_wrong_setting_is_named_and_nothing_starts(program: &str) {
    let folder = tempdir().unwrap();
    let broken = folder.path().join("broken.json");
    let quota = r#"{"period":"DAY","every":0,"limit":"5","anchor":"2022-01-01T00:00:00Z","tz":"UTC"}"#;
    fs::write(&broken, format!("{{\"clients\":\n{{\"client1\":{{\"quotas\":[\n{quota}]}}}}}}\n")).unwrap();
    let broken = broken.to_str().unwrap();
    let absent = folder.path().join("absent.json");
    for (name, value, told) in [
        ("PORT", "many", vec!["PORT", "many"]),
        ("QUOTA_OPERATOR_TOKEN", "", vec!["QUOTA_OPERATOR_TOKEN", "visible ASCII"]),
        ("QUOTA_STORE", "postgres://localhost", vec!["QUOTA_STORE", "postgres"]),
        ("QUOTA_STORE", "sqlite:absent/quota.db", vec!["QUOTA_STORE", "absent/quota.db"]),
        ("QUOTA_PLANS", broken, vec!["QUOTA_PLANS", broken, "line 3"]),
        ("QUOTA_PLANS", absent.to_str().unwrap(), vec!["QUOTA_PLANS", "absent.json"]),
    ] {
        let output = command(program, folder.path()).env("QUOTA_STORE", "memory:").env(name, value).output().unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(told.iter().all(|part| error.contains(part)), "{name}={value}: {error}");
    }
}
