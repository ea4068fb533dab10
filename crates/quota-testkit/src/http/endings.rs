//! How a handler may end otherwise than by an answer of its own.

use std::time::Duration;

use http::{Method, Version};

use crate::http::HttpHarness;
use crate::http::ground::{Ground, request};
use crate::http::setting::Setting;

/// What a client sees of a panic: a 500 without a reason, or nothing.
fn panics<H: HttpHarness>(ground: &Ground<H>, path: &str) {
    if let Some(answer) = ground.try_send(request(Method::GET, path)) {
        assert_eq!(answer.status, 500);
        assert!(!answer.body.contains("asked"), "{}", answer.body);
    }
}

pub fn a_handler_that_panics_releases_its_hold<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    panics(&ground, "/generate?max=8&actual=1&work=panic");
    ground.wait_for_held("0");
    ground.assert_used("0");
    // The server serves on.
    assert_eq!(ground.get("/generate?max=8&actual=1").status, 200);
}

pub fn a_handler_that_panics_is_not_charged_on_success<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for _ in 0..3 {
        panics(&ground, "/answer?status=200&work=panic");
        ground.wait_for_held("0");
    }
    assert_eq!(ground.get("/answer?status=200").remaining(), Some("6"));
    ground.assert_used("4");
}

pub fn a_handler_that_is_given_up_releases_its_hold<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/generate?max=8&actual=1&work=wait&give_up=true");
    assert_eq!((answer.status, answer.body.as_str()), (504, "too late"));
    ground.wait_for_held("0");
    ground.assert_used("0");
}

/// A client asks for what waits, and goes away; what is used in the end.
fn leave<H: HttpHarness>(path: &str, held: &str) -> String {
    let ground = Setting::<H>::ten().serve();
    let asked = ground.begin(request(Method::GET, path));
    ground.wait_for_held(held);
    drop(asked);
    if !H::CANCELS {
        ground.pause().end();
    }
    ground.wait_for_held("0");
    ground.held_and_used().1
}

pub fn a_client_that_goes_away_leaves_no_hold<H: HttpHarness>() {
    let used = leave::<H>("/generate?max=8&actual=2&work=wait", "8");
    assert_eq!(used, if H::CANCELS { "0" } else { "2" });
}

pub fn a_client_that_goes_away_leaves_no_hold_on_success<H: HttpHarness>() {
    let used = leave::<H>("/answer?status=200&work=wait", "4");
    assert_eq!(used, if H::CANCELS { "0" } else { "4" });
}

pub fn a_stream_that_is_reset_leaves_no_hold<H: HttpHarness>() {
    // Only HTTP/2 ends a request and not its connection.
    if H::VERSION != Version::HTTP_2 {
        return;
    }
    for (path, held, paid) in
        [("/generate?max=8&actual=2&work=wait", "8", "2"), ("/answer?status=200&work=wait", "4", "4")]
    {
        let ground = Setting::<H>::ten().serve();
        let asked = ground.begin_on_a_connection(request(Method::GET, path));
        ground.wait_for_held(held);
        let connection = asked.give_up();
        if !H::CANCELS {
            ground.pause().end();
        }
        ground.wait_for_held("0");
        ground.assert_used(if H::CANCELS { "0" } else { paid });
        drop(connection);
    }
}

pub fn a_charge_before_stands_whoever_goes_away<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    // The first time it is not known yet whether a handler answers, the second time it is.
    for charged in ["5", "10"] {
        let asked = ground.begin(request(Method::GET, "/five?work=wait"));
        ground.wait_until(|_, used| used == charged);
        drop(asked);
        ground.pause().end();
        ground.get("/idle");
        ground.assert_used(charged);
        ground.pause().begin();
    }
}

pub fn a_hold_that_is_outlived_is_charged_all_the_same<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let asked = ground.begin(request(Method::GET, "/generate?max=8&actual=2.5&work=wait"));
    ground.wait_for_held("8");
    // Longer than any hold of a handler that nobody renews.
    ground.clock().advance(Duration::from_secs(6 * 60));
    ground.wait_for_held("0");
    ground.pause().end();
    let answer = asked.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "late: true", Some("7.5")));
    ground.assert_used("2.5");
}

pub fn a_hold_on_success_that_is_outlived_is_charged_all_the_same<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let asked = ground.begin(request(Method::GET, "/answer?status=200&work=wait"));
    ground.wait_for_held("4");
    ground.clock().advance(Duration::from_secs(6 * 60));
    ground.wait_for_held("0");
    ground.pause().end();
    let answer = asked.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "ran", Some("6")));
    ground.assert_used("4");
}

pub fn a_request_that_a_layer_around_it_gives_up_leaves_no_hold<H: HttpHarness>() {
    if !H::WRAPS {
        return;
    }
    for (path, used) in
        [("/generate?max=8&actual=1&work=wait", "0"), ("/answer?status=200&work=wait", "0"), ("/five?work=wait", "5")]
    {
        let ground = Setting::<H>::ten().serve();
        let mut impatient = request(Method::GET, path);
        impatient.headers_mut().insert("x-give-up", "soon".parse().unwrap());
        let answer = ground.send(impatient);
        assert_eq!((answer.status, answer.body.as_str()), (504, "too late"), "{path}");
        ground.wait_for_held("0");
        // What was charged before stands.
        ground.assert_used(used);
    }
}
