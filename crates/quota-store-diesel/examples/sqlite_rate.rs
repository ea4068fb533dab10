//! Charges a second on a file of SQLite: batches of 64 over 1,000 clients against one commit for each charge.
//!
//! `cargo run --release -p quota-store-diesel --example sqlite_rate -- DIRECTORY [PART OF A ROW'S NAME]`

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use quota_core::{
    Anchor, ClientId, Credits, EntryId, Instant, Limit, Operation, OperationId, Period, Plan, PlanCheck, Quota, Tz,
};
use quota_service::{PlanStamp, PlanView, Request, UsageStore};
use quota_store_diesel::{SqliteStore, Synchronous};

type Failure = Box<dyn std::error::Error>;

fn plan(limit: Limit) -> Result<Arc<Plan>, Failure> {
    let anchor = Anchor::new("2024-01-01T00:00:00Z".parse()?, Tz::UTC);
    Ok(Arc::new(Plan::new([Quota::new(Period::DAY, limit, anchor), Quota::new(Period::MONTH, limit, anchor)])?))
}

fn now() -> Instant {
    quota_service::Clock::now(&quota_service::SystemClock)
}

#[derive(Clone, Copy, PartialEq)]
enum Ids {
    Made,
    Given,
}

struct Row {
    name: &'static str,
    batch: usize,
    clients: u64,
    ids: Ids,
    limit: Limit,
}

async fn measure(directory: &std::path::Path, row: &Row, synchronous: Synchronous) -> Result<u128, Failure> {
    let directory = tempfile::tempdir_in(directory)?;
    let store = SqliteStore::builder(directory.path().join("rate.db")).with_synchronous(synchronous).open()?;
    let plan = plan(row.limit)?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut request = || -> Result<Request, Failure> {
        let client = ClientId::new(format!("client-{:06}", next() % row.clients))?;
        let id = OperationId::new(uuid::Uuid::now_v7().to_string())?;
        let id = if row.ids == Ids::Given { EntryId::Given(id) } else { EntryId::Made(id) };
        let stamp = PlanStamp::lasting(0);
        let plan = PlanView { plan: Some(Arc::clone(&plan)), check: PlanCheck::Any, stamp };
        let (operation, at) = (Operation::Charge { credits: Credits::ONE, id, label: None }, now());
        Ok(Request { client, operation, at, asked: at, plan })
    };
    // Every client has its account, as in a service that has run for a while.
    for _ in 0..row.clients / 16 + 1 {
        let batch: Result<Vec<Request>, Failure> = (0..64).map(|_| request()).collect();
        for answer in store.apply(batch?).await {
            answer?;
        }
    }
    let (began, mut charges) = (Clock::now(), 0_u128);
    while began.elapsed() < Duration::from_secs(3) {
        let batch: Result<Vec<Request>, Failure> = (0..row.batch).map(|_| request()).collect();
        for answer in store.apply(batch?).await {
            answer?;
            charges += 1;
        }
    }
    Ok(charges * 1_000_000 / began.elapsed().as_micros())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = std::path::Path::new(&directory);
    let part = std::env::args().nth(2).unwrap_or_default();
    let open = Limit::Unlimited;
    let shut = Limit::Finite(Credits::ZERO);
    let rows = [
        Row { name: "one commit per charge", batch: 1, clients: 1_000, ids: Ids::Made, limit: open },
        Row { name: "batches of 64", batch: 64, clients: 1_000, ids: Ids::Made, limit: open },
        Row { name: "batches of 64, ids", batch: 64, clients: 1_000, ids: Ids::Given, limit: open },
        Row { name: "batches of 64, one client", batch: 64, clients: 1, ids: Ids::Made, limit: open },
        Row { name: "batches of 64, denied", batch: 64, clients: 1_000, ids: Ids::Made, limit: shut },
    ];
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        for row in rows.iter().filter(|row| row.name.contains(&part)) {
            let rate = measure(directory, row, synchronous).await?;
            #[expect(clippy::print_stdout, reason = "the point of this program")]
            {
                println!("{synchronous:?}\t{}\t{rate}/s", row.name);
            }
        }
    }
    Ok(())
}
