//! Processes killed under load.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use quota_core::{ClientId, Credits, Plan, Unit};
use quota_service::{Clock, SystemClock};
use quota_testkit::{quota_from, scale};

use crate::ground::{Ground, agreed, known, plan, sums};
use crate::pieces::{Fate, Pieces};
use crate::scenes::{AsCharge, AsDeletion, AsVoid};

const CLIENTS: usize = 5;

/// Lets a worker say so many lines, kills it, and gives all that it said.
fn killed_under_load(ground: &Ground, arguments: &[&str], after: usize) -> Vec<String> {
    let mut child = ground.worker(arguments);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut is_killed = false;
    loop {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // A line that the kill cut off was written after its answer, but cannot be told.
        let Some(line) = line.strip_suffix('\n') else { break };
        said.push(line.to_owned());
        if said.len() >= after && !is_killed {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(is_killed, "the worker ended by itself after {} lines", said.len());
    said
}

/// Every acknowledged id is in the ledger, none twice, and every sum says the same.
pub(crate) fn load(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    let mut acknowledged: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in 0..scale(3, 50) {
        // The same store each time, at another moment of its life.
        let (run, clients) = (format!("r{run}"), CLIENTS.to_string());
        for line in killed_under_load(ground, &["load", &run, &clients, "16"], fastrand::usize(50..1_500)) {
            let (client, id) = line.split_once(' ').unwrap();
            acknowledged.entry(client.to_owned()).or_default().push(id.to_owned());
        }
        runtime.block_on(check(ground, &acknowledged));
    }
}

async fn check(ground: &Ground, acknowledged: &BTreeMap<String, Vec<String>>) {
    let service = ground.service().await;
    for number in 0..CLIENTS {
        let client = ground.client(number);
        let acknowledged = acknowledged.get(client.as_str()).map(Vec::as_slice).unwrap_or_default();
        let there = known(&service, &client, acknowledged).await;
        let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(*id)).collect();
        assert!(lost.is_empty(), "{client}: answered and not there: {lost:?}");
        assert!(agreed(&service, &client).await >= acknowledged.len(), "{client}: more answered than there");
    }
    service.health().await.unwrap();
}

/// What is used, the total and the days are the same sum; what the ledger lists is a part of it, each id once.
pub(crate) fn churn(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    for _ in 0..scale(3, 50) {
        let clients = CLIENTS.to_string();
        killed_under_load(ground, &["churn", &clients, "16"], fastrand::usize(50..1_500));
        runtime.block_on(async {
            for number in 0..CLIENTS {
                sums_agree(ground, &ground.client(number)).await;
            }
        });
    }
}

pub(crate) async fn sums_agree(ground: &Ground, client: &ClientId) {
    let service = ground.service().await;
    let total = Credits::new(sums(&service, client).await.try_into().unwrap()).unwrap();
    // Another window, which no slot knows yet.
    let other = Plan::new([quota_from(Unit::Year, 60, "unlimited", "2000-01-01T00:00:00Z", "UTC")]).unwrap();
    assert_eq!(service.set_plan(client, other).await.unwrap().quotas().as_slice()[0].used(), total);
    service.set_plan(client, plan("unlimited")).await.unwrap();
}

/// A process is killed at any piece of what it does, and another one goes on: at once where the server learns of it, and else
/// when the server takes away what the dead one has locked. PostgreSQL and MariaDB do that after two seconds; MySQL takes
/// thirty. What was answered is there, and what was not is done once when it is asked for again.
pub(crate) fn at_each_piece(ground: &mut Ground) {
    let mut pieces = Pieces::new(ground, Fate::Killed);
    pieces.each(&mut AsCharge::default());
    pieces.each(&mut AsVoid::default());
    pieces.each(&mut AsDeletion::of_few(SystemClock.now()));
}
