//! A process that is killed: what it had answered stands, whole and once.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use quota_core::{Operation, Window};
use quota_service::UsageStore;
use quota_store_diesel::SqliteStore;

use crate::support::{File, at, charge_with_id, client, one, request, unlimited, used};

const CLIENTS: usize = 7;

#[tokio::test]
async fn what_a_killed_process_had_answered_stands_once() {
    let file = File::new();
    let mut answered: HashMap<String, usize> = HashMap::new();
    for round in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::charge_until_killed", "--ignored", "--nocapture"])
            .env("QUOTA_TEST_KILLED", file.path())
            .env("QUOTA_TEST_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for (n, line) in lines.map_while(Result::ok).enumerate() {
            // Once it is under way it is killed; what it had written before is read to the end.
            if n == 300 {
                process.kill().unwrap();
            }
            if let Some((_, id)) = line.split_once("charged ") {
                // The line that it died on may be cut short.
                if let Some(id) = id.strip_suffix('.') {
                    *answered.entry(id.to_owned()).or_default() += 1;
                }
            }
        }
        assert!(!process.wait().unwrap().success());
    }
    assert!(answered.len() > 600, "{}", answered.len());
    let store = file.store();
    for (id, times) in &answered {
        assert_eq!(*times, 1);
        assert_eq!(file.number(&format!("SELECT COUNT(*) FROM quota_entries WHERE id = '{id}'")), 1, "{id}");
    }
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
    for n in 0..CLIENTS {
        let name = format!("client-{n}");
        let total = store.total(&client(&name), Window::ALL).await.unwrap();
        let status = one(&store, request(&name, Operation::Status, at("2024-03-01T12:00:00Z"), &unlimited())).await;
        assert_eq!(used(&status), total.to_string());
    }
}

/// What is killed.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn charge_until_killed() {
    let path = std::env::var("QUOTA_TEST_KILLED").unwrap();
    let round = std::env::var("QUOTA_TEST_ROUND").unwrap();
    let store = SqliteStore::open(path).unwrap();
    let now = at("2024-03-01T12:00:00Z");
    for batch in 0..1_000_000 {
        let ids: Vec<String> = (0..20).map(|n| format!("{round}-{batch}-{n}")).collect();
        let requests = ids.iter().enumerate().map(|(n, id)| {
            request(&format!("client-{}", n % CLIENTS), charge_with_id("0.000001", id), now, &unlimited())
        });
        for (answer, id) in store.apply(requests.collect()).await.into_iter().zip(&ids) {
            answer.unwrap();
            #[expect(clippy::print_stdout, reason = "what the other process reads")]
            {
                println!("charged {id}.");
            }
        }
    }
}
