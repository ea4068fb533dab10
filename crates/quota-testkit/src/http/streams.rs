//! Bodies that are streamed, whose cost is known last.

use std::time::Duration;

use crate::http::HttpHarness;
use crate::http::ground::wait_until;
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

pub fn a_stream_that_cannot_be_paid_does_not_begin<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/stream?max=11&chunks=3");
    assert_eq!((answer.status, answer.remaining()), (429, Some("10")));
    ground.assert_used("0");
}

pub fn a_hold_is_renewed_while_it_is_streamed<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut streamed = ground.stream("/stream?max=8&chunks=3&ttl=400");
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
    let mut streamed = ground.stream("/stream?max=8&chunks=2");
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
    let mut streamed = ground.stream(path);
    assert_eq!(streamed.headers()["x-ratelimit-remaining"], "2");
    assert_eq!(streamed.chunk(), b"x");
    // It is held while it is streamed.
    assert_eq!(ground.held_and_used(), ("8".to_owned(), "0".to_owned()));
    drop(streamed);
    // A server may notice that only when it has something to write.
    ground.pause().end();
    ground.wait_for_held("0");
    ground.held_and_used().1.parse().unwrap()
}

pub fn a_stream_whose_client_goes_away_is_released<H: HttpHarness>() {
    assert_eq!(leave::<H>("/stream?max=8&chunks=1000000000"), 0);
}

pub fn a_stream_whose_client_goes_away_may_be_paid_so_far<H: HttpHarness>() {
    let used = leave::<H>("/stream?max=8&chunks=1000000000&on_drop=settle");
    assert!((1..1_000_000_000).contains(&used), "{used}");
}
