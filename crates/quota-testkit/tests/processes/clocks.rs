//! Processes whose clocks are hours apart.

use std::collections::BTreeMap;
use std::time::Duration;

use quota_core::{Anchor, Credits, Instant, Limit, Period, Plan, Quota, Tz, Window, quarter_of};
use quota_service::{AnyStore, Clock, QuotaService, SystemClock, UsageStore};

use crate::ground::Ground;
use crate::worker::Worker;

const HOUR: Duration = Duration::from_secs(3_600);
const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);

/// Of both clients.
const AN_HOUR: u64 = 50;
/// Of the first client, which it never meets, and of the second, which meets it in the last of its hours.
const A_DAY: [u64; 2] = [1_000, 120];

/// The server's clock shows two hours more than the machine's: whoever goes by the server's has a machine whose own clock is
/// two hours behind.
const SERVER: [&str; 2] = ["--server-ahead", "7200"];

/// The clock that a process goes by.
#[derive(Clone, Copy)]
enum Goes {
    /// Two hours behind the server's.
    Behind,
    /// One hour behind.
    LessBehind,
    /// By the server's, or by the machine's where there is no server.
    ByTheServers,
    /// One hour ahead.
    Ahead,
}

impl Goes {
    const ALL: [Self; 4] = [Self::Behind, Self::LessBehind, Self::ByTheServers, Self::Ahead];

    const fn clock(self) -> &'static [&'static str] {
        match self {
            Self::Behind => &["--clock-ahead", "0"],
            Self::LessBehind => &["--clock-ahead", "3600"],
            Self::ByTheServers => &[],
            Self::Ahead => &["--clock-ahead", "10800"],
        }
    }
}

/// How many of a client had each answer.
type Tally = BTreeMap<(String, String), u64>;

/// What processes that go by these clocks are answered, all at once and with sixteen callers each; each charges each client so
/// often.
fn together(ground: &Ground, clocks: &[Goes], charges: u64) -> Tally {
    let requests = (2 * charges).to_string();
    let arguments = |goes: Goes| [&SERVER[..], goes.clock(), &["tally", "2", &requests, "16"]].concat();
    let workers: Vec<_> = clocks.iter().map(|goes| Worker::start(ground, &arguments(*goes))).collect();
    let mut tally = Tally::new();
    for worker in workers {
        for line in worker.finish() {
            let [client, answer, count] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            *tally.entry((client.to_owned(), answer.to_owned())).or_default() += count.parse::<u64>().unwrap();
        }
    }
    tally
}

/// What of the tally had this answer, of each client.
fn count(ground: &Ground, tally: &Tally, answer: &str) -> [u64; 2] {
    let key = |number| (ground.client(number).to_string(), answer.to_owned());
    [0, 1].map(|number| tally.get(&key(number)).copied().unwrap_or_default())
}

/// Hours are the plan's own, so that the test's beginning is in the middle of one: no test lasts until it ends. They are made
/// of whole quarters, which every store tells the sums of.
fn plan(beginning: Instant, a_day: u64) -> Plan {
    let anchor = Anchor::new(first_hour(beginning), Tz::UTC);
    let quota = |period, limit| Quota::new(period, Limit::Finite(Credits::new(limit).unwrap()), anchor);
    Plan::new([quota(Period::HOUR, AN_HOUR), quota(Period::DAY, a_day)]).unwrap()
}

/// An hour that one process has left is never entered again by another, and none is opened twice: each of them gives exactly
/// its limit, and so does the day. Where a server tells the time, a process that goes by it is in the right hour however
/// wrong its machine's clock is, and one whose clock is ahead of the server's is refused and changes nothing; where there is
/// none, nobody can tell that it is ahead: it leads.
pub(crate) fn apart(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let beginning = SystemClock.now();
    let has_server = runtime.block_on(async {
        let service = ground.service().await;
        for (number, a_day) in A_DAY.into_iter().enumerate() {
            service.set_plan(&ground.client(number), plan(beginning, a_day)).await.unwrap();
        }
        service.store().server_time().await.unwrap().is_some()
    });
    let charged = |tally: &Tally| count(ground, tally, "allowed");
    if has_server {
        let ahead = together(ground, &[Goes::Ahead], 20);
        assert_eq!(count(ground, &ahead, "clock_ahead"), [20; 2], "{ahead:?}");
        assert_eq!(runtime.block_on(hours(ground, beginning)), [[0; 4]; 2], "a refusal changes nothing");
    }
    // Each later clock finds its own hour new, and nobody can enter those before.
    assert_eq!(charged(&together(ground, &[Goes::Behind; 2], 40)), [AN_HOUR; 2]);
    assert_eq!(charged(&together(ground, &[Goes::LessBehind; 2], 40)), [AN_HOUR; 2]);
    let leads = if has_server { Goes::ByTheServers } else { Goes::Ahead };
    assert_eq!(charged(&together(ground, &[leads], 2)), [2; 2]);
    let all = together(ground, &Goes::ALL, 25);
    let left = [AN_HOUR - 2, A_DAY[1] - 2 * AN_HOUR - 2];
    assert_eq!(charged(&all), left, "all share the hour of the one that leads: {all:?}");
    assert_eq!(count(ground, &all, "clock_ahead"), if has_server { [25; 2] } else { [0; 2] });
    let mut expected = [[AN_HOUR, AN_HOUR, 0, 0]; 2];
    for (hours, left) in expected.iter_mut().zip(left) {
        hours[if has_server { 2 } else { 3 }] = 2 + left;
    }
    assert_eq!(runtime.block_on(hours(ground, beginning)), expected);
}

/// When the hour began that the test's beginning is in.
fn first_hour(beginning: Instant) -> Instant {
    quarter_of(beginning.saturating_sub(HALF_AN_HOUR))
}

/// What both clients have used in the hour that the test began in, and in the three after it. Beyond these there is nothing,
/// and what is used of the hour and of the day is what the ledger says.
async fn hours(ground: &Ground, beginning: Instant) -> [[u64; 4]; 2] {
    let service = ground.service().await;
    let mut used = [[0; 4]; 2];
    for (number, used) in used.iter_mut().enumerate() {
        let mut from = first_hour(beginning);
        for used in used.iter_mut() {
            let hour = Window::new(from, from.saturating_add(HOUR)).unwrap();
            *used = total(&service, ground, number, hour).await;
            from = hour.end();
        }
        let sum: u64 = used.iter().sum();
        assert_eq!(total(&service, ground, number, Window::ALL).await, sum);
        let status = service.status(&ground.client(number)).await.unwrap();
        let [hour, day] = status.quotas().as_slice() else { panic!("{status:?}") };
        let latest = used.iter().rev().find(|used| **used > 0).copied().unwrap_or_default();
        assert_eq!([hour.used(), day.used()], [latest, sum].map(|used| Credits::new(used).unwrap()));
    }
    used
}

async fn total(service: &QuotaService<AnyStore>, ground: &Ground, number: usize, range: Window) -> u64 {
    let micros = service.total_usage(&ground.client(number), range).await.unwrap().micros();
    u64::try_from(micros).unwrap() / 1_000_000
}
