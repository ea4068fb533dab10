//! Processes on one SQLite file: killed under load, and racing for one limit.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quota_core::{ClientId, Credits, GroupBy, Plan, Unit, Window};
use quota_service::{DailyQuery, EntriesQuery, QuotaService, UsageStore};
use quota_store_diesel::SqliteStore;
use quota_testkit::{quota_from, scale};

const CLIENTS: usize = 5;

fn worker(file: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quota-worker"));
    command.arg(format!("sqlite:{}", file.display())).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the worker starts")
}

/// One window for all the time that a test can take.
fn plan(limit: &str) -> Plan {
    Plan::new([quota_from(Unit::Year, 50, limit, "2000-01-01T00:00:00Z", "UTC")]).unwrap()
}

async fn service(file: &Path) -> QuotaService<SqliteStore> {
    QuotaService::new(SqliteStore::open(file).expect("the file opens"))
}

fn client(number: usize) -> ClientId {
    ClientId::new(format!("c{number}")).unwrap()
}

/// Lets a worker say so many lines, kills it, and gives all that it said.
fn killed_under_load(file: &Path, arguments: &[&str], after: usize) -> Vec<String> {
    let mut child = worker(file, arguments);
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

async fn ledger(service: &QuotaService<SqliteStore>, client: &ClientId) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
        let page = service.entries(client, query).await.unwrap();
        ids.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// The whole ledger: every acknowledged id is in it, none twice, and every sum says the same.
async fn check(file: &Path, acknowledged: &BTreeMap<String, Vec<String>>) {
    let service = service(file).await;
    for number in 0..CLIENTS {
        let client = client(number);
        let ids = ledger(&service, &client).await;
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an id stands twice");
        for id in acknowledged.get(client.as_str()).into_iter().flatten() {
            assert!(unique.contains(id), "{client} {id} was answered and is not there");
        }
        let sum = Credits::new(u64::try_from(ids.len()).unwrap()).unwrap();
        let status = service.status(&client).await.unwrap();
        assert_eq!(status.quotas().as_slice()[0].used(), sum);
        assert_eq!(service.total_usage(&client, Window::ALL).await.unwrap(), sum);
    }
    service.health().await.unwrap();
}

#[test]
fn a_process_killed_under_load_loses_nothing_that_it_answered_and_doubles_nothing() {
    let (folder, file, runtime) = clients_without_limits();
    let mut acknowledged: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in 0..scale(3, 50) {
        // The same file each time, at another moment of its life.
        let (run, clients) = (format!("r{run}"), CLIENTS.to_string());
        for line in killed_under_load(&file, &["load", &run, &clients, "16"], fastrand::usize(50..1_500)) {
            let (client, id) = line.split_once(' ').unwrap();
            acknowledged.entry(client.to_owned()).or_default().push(id.to_owned());
        }
        runtime.block_on(check(&file, &acknowledged));
    }
    folder.close().unwrap();
}

#[test]
fn a_process_killed_at_any_operation_leaves_sums_that_agree() {
    let (folder, file, runtime) = clients_without_limits();
    for _ in 0..scale(3, 50) {
        let clients = CLIENTS.to_string();
        killed_under_load(&file, &["churn", &clients, "16"], fastrand::usize(50..1_500));
        runtime.block_on(sums_agree(&file));
    }
    folder.close().unwrap();
}

fn clients_without_limits() -> (tempfile::TempDir, PathBuf, tokio::runtime::Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quota.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let service = service(&file).await;
        for number in 0..CLIENTS {
            service.set_plan(&client(number), plan("unlimited")).await.unwrap();
        }
    });
    (folder, file, runtime)
}

/// What is used, the total and the days are the same sum; what the ledger lists is a part of it, each id once.
async fn sums_agree(file: &Path) {
    let service = service(file).await;
    for number in 0..CLIENTS {
        let client = client(number);
        let total = service.total_usage(&client, Window::ALL).await.unwrap();
        assert_eq!(service.status(&client).await.unwrap().quotas().as_slice()[0].used(), total);
        // Another window, which no slot knows yet.
        let other = Plan::new([quota_from(Unit::Year, 60, "unlimited", "2000-01-01T00:00:00Z", "UTC")]).unwrap();
        assert_eq!(service.set_plan(&client, other).await.unwrap().quotas().as_slice()[0].used(), total);
        service.set_plan(&client, plan("unlimited")).await.unwrap();
        let query = DailyQuery { range: Window::ALL, zone: quota_core::Tz::UTC, by: GroupBy::Day };
        let days = service.daily_usage(&client, query).await.unwrap();
        let sum: i64 = days.iter().map(|day| day.credits.micros()).sum();
        let entries: u64 = days.iter().map(|day| day.entries).sum();
        assert_eq!((sum, Credits::new(entries).unwrap()), (total.micros(), total), "each entry is of one credit");
        let ids = ledger(&service, &client).await;
        let named: Vec<&String> = ids.iter().filter(|id| id.starts_with('i')).collect();
        let unique: BTreeSet<&&String> = named.iter().collect();
        assert_eq!(unique.len(), named.len(), "an id stands twice");
        assert!(u64::try_from(ids.len()).unwrap() <= entries);
    }
}

#[test]
fn two_processes_on_one_file_admit_exactly_the_limit() {
    assert_eq!(race(2, 500, 400), 500);
}

/// The predecessor let 731 of 1,200 through.
#[test]
fn four_processes_admit_exactly_the_limit() {
    assert_eq!(race(4, 200, 300), 200);
}

/// How many of `requests` each the processes were allowed together.
fn race(processes: usize, limit: u64, requests: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quota.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = ClientId::new("client").unwrap();
    runtime.block_on(async { service(&file).await.set_plan(&client, plan(&limit.to_string())).await.unwrap() });
    let requests = requests.to_string();
    let children: Vec<_> = (0..processes).map(|_| worker(&file, &["race", client.as_str(), &requests, "16"])).collect();
    let mut admitted = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        admitted += String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap();
    }
    runtime.block_on(async {
        let service = service(&file).await;
        let sum = Credits::new(admitted).unwrap();
        assert_eq!(service.status(&client).await.unwrap().quotas().as_slice()[0].used(), sum);
        assert_eq!(service.store().total(&client, Window::ALL).await.unwrap(), sum);
    });
    admitted
}
