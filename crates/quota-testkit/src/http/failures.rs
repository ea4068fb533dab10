//! A store that cannot answer, and a limit that is reached.

use std::time::Duration;

use http::Method;
use quota_http::IdempotencyKeys;
use quota_service::OnStoreError;

use crate::gated::Gate;
use crate::http::HttpHarness;
use crate::http::answer::Answer;
use crate::http::ground::{Ground, request, wait_until, with_key};
use crate::http::leaving::Leaving;
use crate::http::setting::Setting;
use crate::http::store::OnSettle;

pub fn a_store_that_fails_closed_is_unavailable_and_tells_nothing<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/one").status, 200);
    ground.fail(true);
    for path in ["/one", "/half", "/compute?credits=1", "/answer?status=200"] {
        let answer = ground.get(path);
        assert_eq!(answer.status, 503, "{path}");
        answer.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
        assert_eq!(
            answer.body,
            concat!(
                r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
                r#""title":"Request cannot be satisfied due to temporary server capacity constraints","status":503,"#,
                r#""detail":"the request could not be metered; try again"}"#
            )
        );
    }
    ground.fail(false);
    ground.assert_used("1");
}

pub fn a_store_that_fails_is_not_asked_again_for_the_headers<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.fail(true);
    for path in ["/one", "/compute?credits=1", "/generate?max=1&actual=1", "/answer?status=200"] {
        let before = ground.asked();
        assert_eq!(ground.get(path).status, 503, "{path}");
        // Each time a client may have waited for as long as the service's deadline.
        assert_eq!(ground.asked() - before, 1, "{path}");
    }
}

pub fn a_store_that_fails_open_runs_without_headers<H: HttpHarness>() {
    let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
    ground.fail(true);
    for (path, body) in [
        ("/one", "ran"),
        ("/compute?credits=1", "1"),
        ("/answer?status=200", "ran"),
        ("/generate?max=1&actual=1", "late: false"),
        ("/twice", "ran"),
        ("/stream?max=1&chunks=1", "x"),
    ] {
        let answer = ground.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        answer.assert_no_quota();
    }
    // Nothing of it is held or charged, and what comes then is.
    ground.fail(false);
    ground.assert_used("0");
    assert_eq!(ground.get("/one").remaining(), Some("9"));
    assert_eq!(ground.get("/generate?max=4&actual=2").remaining(), Some("7"));
    ground.assert_used("3");
}

pub fn plans_that_cannot_be_looked_up_are_as_a_store_that_fails<H: HttpHarness>() {
    let closed = Setting::<H>::ten().failing_plans().serve();
    for path in ["/one", "/compute?credits=1", "/generate?max=1&actual=1", "/answer?status=200", "/quota/status"] {
        let answer = closed.get(path);
        assert_unavailable(&answer);
        assert!(!answer.body.contains("billing"), "{answer:?}");
    }
    // Neither are they in vain for who asks of them.
    assert_unavailable(&closed.operate(Method::GET, "/clients/client1/plan", ""));
    let open = Setting::<H>::ten().failing_plans().on_store_error(OnStoreError::FailOpen).serve();
    for (path, body) in [("/one", "ran"), ("/compute?credits=1", "1"), ("/generate?max=1&actual=1", "late: false")] {
        let answer = open.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        answer.assert_no_quota();
    }
    assert_unavailable(&open.get("/quota/status"));
}

/// Asks for what waits with four credits held, lets the store fail, and lets it go on; the answer.
fn fails_while_held<H: HttpHarness>(ground: &Ground<H>, path: &str) -> Answer {
    let asked = ground.begin(request(Method::GET, path));
    ground.wait_for_held("4");
    ground.fail(true);
    ground.pause().end();
    let answer = asked.answer().unwrap();
    ground.fail(false);
    ground.pause().begin();
    answer
}

/// What is settled, and what is released.
const HELD: [&str; 2] = ["/answer?status=200&work=wait", "/generate?max=4&actual=4&work=wait"];
const LET_GO: [(&str, u16, &str); 2] =
    [("/answer?status=404&work=wait", 404, "ran"), ("/generate?max=4&actual=4&work=wait&fail=true", 500, "failed")];

/// What the client was told was not done is not charged, now or later.
#[track_caller]
fn assert_forgotten<H: HttpHarness>(ground: &Ground<H>) {
    ground.clock().advance(Duration::from_secs(6 * 60));
    ground.wait_for_held("0");
    ground.assert_used("0");
    assert_eq!(ground.get("/one").remaining(), Some("9"));
}

pub fn what_cannot_be_settled_is_unavailable<H: HttpHarness>() {
    for path in HELD {
        let ground = Setting::<H>::ten().serve();
        // What it held is let go: the headers would say of it what is not so.
        assert_unavailable(&fails_while_held(&ground, path));
        assert_forgotten(&ground);
    }
}

pub fn what_cannot_be_released_tells_nothing_of_it<H: HttpHarness>() {
    let [(on_status, status, body), (by_handler, ..)] = LET_GO;
    let ground = Setting::<H>::ten().serve();
    let answer = fails_while_held(&ground, on_status);
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
    answer.assert_no_quota();
    assert_forgotten(&ground);
    let ground = Setting::<H>::ten().serve();
    assert_unavailable(&fails_while_held(&ground, by_handler));
    assert_forgotten(&ground);
}

pub fn what_cannot_be_settled_is_answered_where_the_service_fails_open<H: HttpHarness>() {
    let settled = [(HELD[0], 200, "ran"), (HELD[1], 200, "late: false")];
    for (path, status, body) in settled.into_iter().chain(LET_GO) {
        let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
        let answer = fails_while_held(&ground, path);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}: {answer:?}");
        answer.assert_no_quota();
        // It ran for nothing, and leaves nothing.
        assert_forgotten(&ground);
    }
}

pub fn no_more_than_the_limit_runs_over_all_routes<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let ran = (0..64).filter(|number| {
        let path = if number % 2 == 0 { "/one" } else { "/by-query?n=1" };
        ground.send(request(Method::GET, path)).status == 200
    });
    assert_eq!(ran.count(), 10);
    ground.assert_used("10");
}

pub fn no_more_than_the_limit_runs_at_the_same_time<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let paths = ["/one", "/by-query?n=1", "/compute?credits=1", "/generate?max=1&actual=1"];
    let asked: Vec<_> = paths.iter().cycle().take(32).map(|path| ground.begin(request(Method::GET, path))).collect();
    let mut statuses: Vec<u16> = asked.into_iter().map(|asked| asked.answer().unwrap().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429; 22]].concat());
    ground.assert_used("10");
}

/// The problem document of a store that cannot answer, and nothing that tells of it.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    answer.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
    assert!(answer.body.contains("#temporary-reduced-capacity"), "{answer:?}");
    answer.assert_no_quota();
}

pub fn too_many_at_once_are_unavailable<H: HttpHarness>() {
    // Whatever the service does where its store cannot answer: this one does.
    for on_store_error in [OnStoreError::FailClosed, OnStoreError::FailOpen] {
        for path in ["/one", "/answer?status=200", "/compute?credits=1"] {
            let ground = Setting::<H>::ten().on_store_error(on_store_error).queued(1).serve();
            // Now it is known that a handler answers, and the plan is.
            ground.get("/one");
            ground.set_gate(Gate::HeldBefore);
            let sent = ground.begin(request(Method::GET, "/one"));
            ground.wait_for_a_held_batch();
            let asked: Vec<_> = (0..4).map(|_| ground.begin(request(Method::GET, path))).collect();
            let ended = || asked.iter().filter(|asked| asked.has_ended()).count();
            wait_until(|| ended() == 3, || format!("{} are refused at once: {path}", ended()));
            ground.set_gate(Gate::Open);
            assert_eq!(sent.answer().unwrap().status, 200);
            let answers: Vec<Answer> = asked.into_iter().map(|asked| asked.answer().unwrap()).collect();
            let (ran, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!((ran.len(), refused.len()), (1, 3), "{path}: {answers:?}");
            refused.into_iter().for_each(assert_unavailable);
            ground.assert_used(if path.starts_with("/answer") { "6" } else { "3" });
        }
    }
}

pub fn what_nobody_knows_is_charged_once_under_its_key<H: HttpHarness>() {
    for path in ["/five", "/by-query?n=5", "/compute?credits=5"] {
        for gate in [Gate::UnknownDone, Gate::UnknownUndone] {
            for is_known in [false, true] {
                let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
                if is_known {
                    assert_eq!(ground.get_with_key(path, "before").status, 200);
                }
                ground.set_gate(gate);
                assert_unavailable(&ground.get_with_key(path, "k"));
                ground.set_gate(Gate::Open);
                // It has not run, so it is not paid.
                assert_eq!(ground.get_with_key(path, "k").status, 200, "{path} after {gate:?}");
                ground.get_with_key(path, "k").assert_problem(409, "already charged");
                ground.assert_used(if is_known { "10" } else { "5" });
            }
        }
    }
}

pub fn what_nobody_knows_is_settled_before_it_runs_leaves_the_key_free<H: HttpHarness>() {
    for path in ["/five", "/by-query?n=5", "/compute?credits=5"] {
        let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
        ground.orders.on_settle.send_replace(OnSettle::LosesItsAnswer);
        assert_unavailable(&ground.get_with_key(path, "k"));
        ground.orders.on_settle.send_replace(OnSettle::Answers);
        ground.wait_until(|held, used| (held, used) == ("0", "0"));
        assert_eq!(ground.get_with_key(path, "k").status, 200, "{path}");
        ground.get_with_key(path, "k").assert_problem(409, "already charged");
        ground.assert_used("5");
    }
}

pub fn a_client_that_goes_away_while_its_key_is_charged_has_it_free<H: HttpHarness>() {
    for path in ["/five", "/by-query?n=5", "/compute?credits=5"] {
        for is_held in [false, true] {
            let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
            if is_held {
                ground.orders.on_settle.send_replace(OnSettle::KeepsItsAnswer);
            } else {
                ground.set_gate(Gate::HeldAfter);
            }
            let asked = Leaving::ask(&ground, with_key(path, "k"));
            let steps = if is_held { 2 } else { 1 };
            wait_until(|| ground.asked() == steps, || format!("{path} has asked {} times", ground.asked()));
            let _connection = asked.leave::<H>();
            ground.orders.on_settle.send_replace(OnSettle::Answers);
            ground.set_gate(Gate::Open);
            // Where it has not run, it is not paid.
            ground.wait_until(|held, used| (held, used) == ("0", if H::CANCELS { "0" } else { "5" }));
            if H::CANCELS {
                assert_eq!(ground.get_with_key(path, "k").status, 200, "{path}");
            }
            ground.get_with_key(path, "k").assert_problem(409, "already charged");
            ground.assert_used("5");
        }
    }
}

pub fn what_is_taken_back_late_is_not_what_the_key_paid_for_since<H: HttpHarness>() {
    for path in ["/five", "/by-query?n=5", "/compute?credits=5"] {
        let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
        ground.orders.on_settle.send_replace(OnSettle::KeepsItsAnswer);
        let asked = ground.begin(with_key(path, "k"));
        wait_until(|| ground.asked() == 2, || format!("{path} has asked {} times", ground.asked()));
        // What nobody knows is settled is taken back, which nobody knows either.
        ground.set_gate(Gate::UnknownDone);
        ground.orders.on_settle.send_replace(OnSettle::LosesItsAnswer);
        assert_unavailable(&asked.answer().unwrap());
        ground.wait_for_voids(1);
        ground.orders.on_settle.send_replace(OnSettle::Answers);
        ground.set_gate(Gate::Open);
        ground.clock().advance(Duration::from_millis(1));
        assert_eq!(ground.get_with_key(path, "k").status, 200, "{path}");
        ground.wait_for_voids(2);
        ground.assert_used("5");
        ground.get_with_key(path, "k").assert_problem(409, "already charged");
    }
}

pub fn what_no_handler_answers_is_taken_back_in_the_end<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.void_nothing(1);
    let answer = ground.send(request(Method::PUT, "/five"));
    assert!(matches!(answer.status, 404 | 405), "{answer:?}");
    ground.wait_until(|held, used| (held, used) == ("0", "0"));
}

pub fn what_nobody_knows_is_held_leaves_the_key_free<H: HttpHarness>() {
    for path in ["/answer?status=200", "/generate?max=4&actual=4"] {
        for gate in [Gate::UnknownDone, Gate::UnknownUndone] {
            let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
            ground.set_gate(gate);
            assert_unavailable(&ground.get_with_key(path, "k"));
            ground.set_gate(Gate::Open);
            // Nothing is under way.
            assert_eq!(ground.get_with_key(path, "k").status, 200, "{path} after {gate:?}");
            ground.get_with_key(path, "k").assert_problem(409, "already charged");
            ground.assert_used("4");
        }
    }
}

pub fn what_nobody_knows_is_charged_is_taken_back_without_a_key<H: HttpHarness>() {
    for path in ["/five", "/by-query?n=5", "/compute?credits=5"] {
        for is_known in [false, true] {
            let ground = Setting::<H>::ten().queued(9).serve();
            if is_known {
                assert_eq!(ground.get(path).status, 200);
            }
            ground.set_gate(Gate::UnknownDone);
            assert_unavailable(&ground.get(path));
            ground.set_gate(Gate::Open);
            let used = if is_known { "5" } else { "0" };
            ground.wait_until(|held, now| (held, now) == ("0", used));
        }
    }
    // Under an id that the handler has chosen, it may try again.
    let ground = Setting::<H>::ten().queued(9).serve();
    ground.assert_used("0");
    ground.set_gate(Gate::UnknownDone);
    assert_unavailable(&ground.get("/compute?credits=5&id=own"));
    ground.set_gate(Gate::Open);
    assert_eq!(ground.get("/compute?credits=5&id=own").status, 200);
    ground.assert_used("5");
}

pub fn what_nobody_knows_is_settled_is_taken_back<H: HttpHarness>() {
    for (path, held, paid) in
        [("/answer?status=200&work=wait", "4", "4"), ("/generate?max=8&actual=5&work=wait", "8", "5")]
    {
        for key in [None, Some("k")] {
            let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).queued(9).serve();
            let send = || key.map_or_else(|| request(Method::GET, path), |key| with_key(path, key));
            let asked = ground.begin(send());
            ground.wait_for_held(held);
            ground.set_gate(Gate::UnknownDone);
            ground.pause().end();
            assert_unavailable(&asked.answer().unwrap());
            ground.set_gate(Gate::Open);
            ground.wait_until(|held, now| (held, now) == ("0", "0"));
            // It is told to try again: that runs, and is paid.
            ground.clock().advance(Duration::from_millis(1));
            assert_eq!(ground.send(send()).status, 200, "{path}");
            ground.assert_used(paid);
            if key.is_some() {
                ground.send(send()).assert_problem(409, "already charged");
            }
        }
    }
}

/// Nobody was told that it was not charged: it has run.
pub fn what_nobody_knows_is_charged_stands_where_the_service_fails_open<H: HttpHarness>() {
    for (path, body) in [("/five", "ran"), ("/by-query?n=5", "ran"), ("/compute?credits=5", "5")] {
        for is_known in [false, true] {
            let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).queued(9).serve();
            // Now the plan is known.
            ground.assert_used("0");
            if is_known {
                assert_eq!(ground.get(path).status, 200);
            }
            ground.set_gate(Gate::UnknownDone);
            let answer = ground.get(path);
            assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
            answer.assert_no_quota();
            ground.set_gate(Gate::Open);
            ground.assert_used(if is_known { "10" } else { "5" });
        }
    }
}

pub fn a_charge_that_waits_is_not_made_for_a_client_that_goes_away<H: HttpHarness>() {
    for path in ["/five", "/answer?status=200", "/by-query?n=5", "/compute?credits=5", "/generate?max=8&actual=5"] {
        let ground = Setting::<H>::ten().queued(9).serve();
        ground.get("/one");
        ground.set_gate(Gate::HeldBefore);
        let sent = ground.begin(request(Method::GET, "/one"));
        ground.wait_for_a_held_batch();
        let before = ground.times_read();
        let asked = Leaving::ask(&ground, request(Method::GET, path));
        wait_until(|| ground.times_read() > before, || format!("{path} is not queued"));
        let _connection = asked.leave::<H>();
        ground.set_gate(Gate::Open);
        assert_eq!(sent.answer().unwrap().status, 200);
        if H::CANCELS {
            ground.assert_used("2");
        } else {
            let used = if path.starts_with("/answer") { "6" } else { "7" };
            ground.wait_until(|held, now| (held, now) == ("0", used));
        }
    }
}
