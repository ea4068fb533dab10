//! Bodies that are streamed, whose cost is known last.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use quota_http::IdempotencyKeys;

use crate::http::HttpHarness;
use crate::http::ground::{Ground, request, wait_until, with_key};
use crate::http::log::Log;
use crate::http::setting::Setting;

pub fn a_stream_that_ends_is_settled_before_its_end_is_seen<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.pause().end();
    for (used, remaining) in [("3", "2"), ("6", "0")] {
        let max = if used == "3" { 8 } else { 7 };
        let answer = ground.get(&format!("/stream?max={max}&chunks=3"));
        // The headers were sent before: they tell of the hold.
        assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "xxx", Some(remaining)));
        ground.assert_used(used);
    }
}

/// Nobody reads a body of it.
pub fn the_head_of_a_stream_leaves_nothing<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.send(request(Method::HEAD, "/stream?max=8&chunks=3"));
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "", Some("2")));
    ground.wait_for_held("0");
    ground.pause().end();
    ground.get("/idle");
    ground.assert_used("0");
}

pub fn a_stream_that_cannot_be_paid_does_not_begin<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/stream?max=11&chunks=3");
    assert_eq!((answer.status, answer.remaining()), (429, Some("10")));
    ground.assert_used("0");
}

pub fn a_hold_is_renewed_while_it_is_streamed<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut streamed = ground.stream(request(Method::GET, "/stream?max=8&chunks=3&ttl=400"));
    assert_eq!(streamed.chunk(), b"x");
    for _ in 0..3 {
        // Two more of its renewals, the second of which began after the clock was set.
        ground.clock().advance(Duration::from_millis(300));
        let asked = ground.asked();
        wait_until(|| ground.asked() >= asked + 2, || "it is not renewed".to_owned());
        assert_eq!(ground.held_and_used(), ("8".to_owned(), "0".to_owned()));
    }
    ground.pause().end();
    let mut rest = Vec::new();
    while rest.len() < 2 {
        rest.extend(streamed.chunk());
    }
    assert_eq!(rest, b"xx");
    ground.wait_for_held("0");
    ground.assert_used("3");
    // Who has been paid renews nothing.
    let asked = ground.asked();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ground.asked(), asked);
}

pub fn a_stream_that_cannot_be_settled_leaves_nothing<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut streamed = ground.stream(request(Method::GET, "/stream?max=8&chunks=2"));
    assert_eq!(streamed.chunk(), b"x");
    ground.fail(true);
    ground.pause().end();
    // It was answered long ago; whether its end is seen or it is cut is not said.
    streamed.read_to_end();
    ground.fail(false);
    ground.clock().advance(Duration::from_secs(6 * 60));
    ground.wait_for_held("0");
    ground.assert_used("0");
}

/// Reads the first of many chunks and goes away; what is used in the end.
fn leave<H: HttpHarness>(path: &str) -> u32 {
    let ground = Setting::<H>::ten().serve();
    let mut streamed = ground.stream(request(Method::GET, path));
    assert_eq!(streamed.headers()["x-ratelimit-remaining"], "2");
    assert_eq!(streamed.chunk(), b"x");
    // It is held while it is streamed.
    assert_eq!(ground.held_and_used(), ("8".to_owned(), "0".to_owned()));
    drop(streamed);
    if !H::DROPS_STALLED {
        // It is noticed when there is something to write.
        ground.pause().end();
    }
    ground.wait_for_held("0");
    ground.held_and_used().1.parse().unwrap()
}

pub fn a_stream_whose_client_goes_away_is_released<H: HttpHarness>() {
    assert_eq!(leave::<H>("/stream?max=8&chunks=1000000000"), 0);
}

pub fn a_stream_whose_client_goes_away_may_be_paid_so_far<H: HttpHarness>() {
    let used = leave::<H>("/stream?max=8&chunks=1000000000&on_drop=settle");
    // One chunk was read; how many more are written before it is noticed is not said.
    assert!((1..1_000_000_000).contains(&used) && (used == 1 || !H::DROPS_STALLED), "{used}");
}

/// How a body breaks off after its third chunk.
const BREAKS: [&str; 2] = ["fail", "panic"];

/// Reads the first chunk, and then until the body ends or breaks off. It was answered long ago: which of the two is seen is
/// not said.
fn read<H: HttpHarness>(ground: &Ground<H>, request: Request<Bytes>) {
    ground.pause().begin();
    let mut streamed = ground.stream(request);
    assert_eq!(streamed.status(), 200);
    assert_eq!(streamed.chunk(), b"x");
    ground.pause().end();
    streamed.read_to_end();
    ground.wait_for_held("0");
}

pub fn a_stream_that_breaks_off_is_released_and_its_key_is_free<H: HttpHarness>() {
    for then in BREAKS {
        let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
        let path = format!("/stream?max=8&chunks=3&then={then}");
        for _ in 0..2 {
            read(&ground, with_key(&path, "k"));
            ground.assert_used("0");
        }
        // The server serves on, also under the key.
        let whole = ground.get_with_key("/stream?max=8&chunks=3", "k");
        assert_eq!((whole.status, whole.body.as_str()), (200, "xxx"), "{then}");
        ground.assert_used("3");
    }
}

pub fn a_stream_that_breaks_off_may_be_paid_so_far<H: HttpHarness>() {
    for then in BREAKS {
        let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
        read(&ground, with_key(&format!("/stream?max=8&chunks=3&on_drop=settle&then={then}"), "k"));
        ground.assert_used("3");
        ground.get_with_key("/stream?max=8&chunks=3", "k").assert_problem(409, "already charged");
        // Where nothing was streamed, there is nothing to pay.
        let at_once =
            ground.try_send(request(Method::GET, &format!("/stream?max=7&chunks=0&on_drop=settle&then={then}")));
        assert!(at_once.is_none_or(|answer| answer.body.is_empty()), "{then}");
        ground.wait_for_held("0");
        ground.assert_used("3");
    }
}

pub fn what_becomes_of_a_stream_that_breaks_off_is_told<H: HttpHarness>() {
    for (on_drop, said) in [
        ("", "a stream was dropped before its end, and its hold is released"),
        ("&on_drop=settle", "a stream was dropped before its end, and what was streamed is charged"),
    ] {
        let (log, ground) = (Log::begin(), Setting::<H>::ten().serve());
        let of_client = |then: &str| {
            let path = format!("/stream?max=5&chunks=3{on_drop}{then}");
            let mut asked = request(Method::GET, &path);
            asked.headers_mut().insert("x-client-id", log.client().parse().unwrap());
            read(&ground, asked);
        };
        let plan = ground.operate(Method::GET, "/clients/client1/plan", "").body;
        let set = ground.operate(Method::PUT, &format!("/clients/{}/plan", log.client()), &plan);
        assert_eq!(set.status, 200);
        // What ends is as it should be.
        of_client("");
        assert_eq!(log.saying("a stream"), [""; 0]);
        of_client("&then=fail");
        let line = log.wait_for(said);
        assert!(line.contains("DEBUG") && line.contains("cost=3"), "{line}");
    }
}
