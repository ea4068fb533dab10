//! Processes killed under load.

use std::collections::BTreeMap;

use quota_core::{ClientId, Credits, Plan, Unit};
use quota_service::{Clock, SystemClock};
use quota_testkit::{quota_from, scale};

use crate::ground::{Ground, agreed, known, plan, sums};
use crate::pieces::{Fate, Pieces};
use crate::scenes::{AsCharge, AsDeletion, AsSettlement, AsVoid};
use crate::worker::Worker;

const CLIENTS: usize = 5;
const CALLERS: &str = "16";

/// Lets two processes work, kills one after so many lines, and the other when it has gone on without it; gives what both said.
fn killed_under_load(ground: &Ground, arguments: [&[&str]; 2], after: usize) -> Vec<String> {
    let [one, other] = arguments.map(|arguments| Worker::start(ground, arguments));
    one.goes_on(after);
    let mut said = one.kill();
    other.goes_on(50);
    said.extend(other.kill());
    said
}

/// Every acknowledged id is in the ledger, none twice, and every sum says the same.
pub(crate) fn load(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    let mut acknowledged: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in 1..=scale(3, 50) {
        // The same store each time, at another moment of its life.
        let (one, other, clients) = (format!("a{run}"), format!("b{run}"), CLIENTS.to_string());
        let arguments = [&one, &other].map(|name| ["load", name, &clients, CALLERS]);
        let arguments = [&arguments[0][..], &arguments[1][..]];
        for line in killed_under_load(ground, arguments, fastrand::usize(50..scale(500, 1_500))) {
            let (client, id) = line.split_once(' ').unwrap();
            acknowledged.entry(client.to_owned()).or_default().push(id.to_owned());
        }
        // Of each that was killed every caller had one charge on its way at most.
        runtime.block_on(check(ground, &acknowledged, run * 2 * CALLERS.parse::<usize>().unwrap()));
    }
}

async fn check(ground: &Ground, acknowledged: &BTreeMap<String, Vec<String>>, on_their_way: usize) {
    let (service, mut there_at_all) = (ground.service().await, 0);
    for number in 0..CLIENTS {
        let client = ground.client(number);
        let acknowledged = acknowledged.get(client.as_str()).map(Vec::as_slice).unwrap_or_default();
        let there = known(&service, &client, acknowledged).await;
        let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(*id)).collect();
        assert!(lost.is_empty(), "{client}: answered and not there: {lost:?}");
        let charged = agreed(&service, &client).await;
        assert!(charged >= acknowledged.len(), "{client}: more answered than there");
        there_at_all += charged;
    }
    let answered: usize = acknowledged.values().map(Vec::len).sum();
    assert!(there_at_all <= answered + on_their_way, "{there_at_all} are there of {answered} that were answered");
    service.health().await.unwrap();
}

/// What is used, the total and the days are the same sum; what the ledger lists is a part of it, each id once.
pub(crate) fn churn(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    for _ in 0..scale(3, 50) {
        let clients = CLIENTS.to_string();
        let arguments = ["churn", &clients, CALLERS];
        killed_under_load(ground, [&arguments, &arguments], fastrand::usize(50..scale(500, 1_500)));
        runtime.block_on(async {
            for number in 0..CLIENTS {
                sums_agree(ground, &ground.client(number)).await;
            }
        });
    }
}

pub(crate) async fn sums_agree(ground: &Ground, client: &ClientId) {
    let service = ground.service().await;
    let total = async || Credits::new(sums(&service, client).await.try_into().unwrap()).unwrap();
    // Another window, which no slot knows yet.
    let other = Plan::new([quota_from(Unit::Year, 60, "unlimited", "2000-01-01T00:00:00Z", "UTC")]).unwrap();
    loop {
        let before = total().await;
        let used = service.set_plan(client, other.clone()).await.unwrap().quotas().as_slice()[0].used();
        let after = total().await;
        service.set_plan(client, plan("unlimited")).await.unwrap();
        // What a dead process sent may have been done in between.
        if before == after {
            return assert_eq!(used, before);
        }
    }
}

/// A process is killed at any piece of what it does, and another one goes on: at once where the server learns of it, and else
/// when the server takes away what the dead one has locked. PostgreSQL and MariaDB do that after two seconds; MySQL takes
/// thirty. What was answered is there, and what was not is done once when it is asked for again.
pub(crate) fn at_each_piece(ground: &mut Ground) {
    let mut pieces = Pieces::new(ground, Fate::Killed);
    pieces.each(&mut AsCharge::default());
    pieces.each(&mut AsVoid::default());
    pieces.each(&mut AsDeletion::of_few(SystemClock.now()));
    pieces.each(&mut AsSettlement::default());
    pieces.each_of_the_rest();
}
