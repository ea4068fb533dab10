//! A process that charges, to be killed or raced against others by tests.
#![expect(clippy::print_stderr, reason = "it talks to the test that started it")]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Parser, Subcommand};
use quota_core::{ClientId, Credits, Decision, OperationId, PastEntry, Plan, Ttl, Window};
use quota_service::{AnyStore, Charge, Holding, QuotaService, ServiceError, UsageStore};

/// Charges clients of a store that have plans.
#[derive(Debug, Parser)]
struct Cli {
    /// The store.
    url: String,
    #[command(subcommand)]
    work: Work,
}

#[derive(Clone, Debug, Subcommand)]
enum Work {
    /// Charges `c0`, `c1` … with ids, directly and by holds, until it is killed; prints a line of client and id for
    /// each that was answered as allowed.
    Load {
        /// What ids begin with.
        run: String,
        /// How many clients.
        clients: usize,
        /// How many callers at once.
        callers: usize,
    },
    /// Does everything that writes to `c0`, `c1` …, until it is killed; prints a line for each operation.
    Churn {
        /// How many clients.
        clients: usize,
        /// How many callers at once.
        callers: usize,
    },
    /// Charges one client by 1, so many times; prints how many were allowed.
    Race {
        /// Who pays.
        client: String,
        /// How many charges.
        requests: usize,
        /// How many callers at once.
        callers: usize,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let service = QuotaService::new(quota_stores::connect(&cli.url).await?);
        match cli.work {
            Work::Load { run, clients, callers } => load(service, run, clients, callers).await,
            Work::Churn { clients, callers } => churn(service, clients, callers).await,
            Work::Race { client, requests, callers } => race(service, &client, requests, callers).await,
        }
    })
}

async fn load(
    service: QuotaService<AnyStore>,
    run: String,
    clients: usize,
    callers: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (service, run) = (service.clone(), run.clone());
        tasks.spawn(async move {
            for number in 0_usize.. {
                let client = ClientId::new(format!("c{}", fastrand::usize(..clients.max(1))))?;
                let id = OperationId::new(format!("{run}.{caller}.{number}"))?;
                let charge = Charge::new(Credits::ONE).with_id(id.clone());
                let allowed = if caller.is_multiple_of(2) {
                    service.charge_with(&client, charge).await?.is_allowed()
                } else {
                    match service.hold(&client, charge, Ttl::DEFAULT).await? {
                        Holding::Held(guard) => guard.settle(Credits::ONE).await?.decision().is_allowed(),
                        Holding::Denied(_) | Holding::Unchecked(_) => false,
                    }
                };
                if allowed {
                    say(&format!("{client} {id}\n"))?;
                }
            }
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn churn(
    service: QuotaService<AnyStore>,
    clients: usize,
    callers: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let service = service.clone();
        tasks.spawn(async move {
            loop {
                let client = ClientId::new(format!("c{}", fastrand::usize(..clients.max(1))))?;
                disturb(&service, &client).await?;
                say("done\n")?;
            }
            #[expect(unreachable_code, reason = "it says what the loop fails with")]
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// One operation, whose refusal is as good as its success.
async fn disturb(service: &QuotaService<AnyStore>, client: &ClientId) -> Result<(), Box<dyn Error + Send + Sync>> {
    let id = OperationId::new(format!("i{}", fastrand::u8(..)))?;
    let charge = Charge::new(Credits::ONE).with_id(id.clone());
    let now = service.now();
    let past = now.saturating_sub(Duration::from_millis(fastrand::u64(..20_000_000)));
    let done = match fastrand::u8(..16) {
        0..6 => service.charge_with(client, charge).await.map(|_| ()),
        6 | 7 => service.charge(client, Credits::ONE).await.map(|_| ()),
        8 | 9 => match service.hold(client, charge, Ttl::DEFAULT).await {
            Ok(Holding::Held(guard)) => guard.settle(Credits::ONE).await.map(|_| ()),
            answer => answer.map(|_| ()),
        },
        10 | 11 => service.void(client, &id).await.map(|_| ()),
        12 => {
            let past = PastEntry { id, at: past, credits: Credits::ONE, label: None };
            service.backfill(client, vec![past]).await.map(|_| ())
        }
        13 => {
            // Whole quarters: what is pruned cannot be cut.
            let from = quota_core::quarter_of(past);
            let range = Window::new(from, from.saturating_add(Duration::from_secs(900)))?;
            service.delete_usage(client, range).await.map(|_| ())
        }
        14 => match service.plan(client).await? {
            Some(plan) => service.set_plan(client, Plan::clone(&plan)).await.map(|_| ()),
            None => Ok(()),
        },
        _ => {
            // The store itself: a service spares the entries of the last day.
            service.store().prune(now.saturating_sub(Duration::from_secs(3_600))).await?;
            Ok(())
        }
    };
    match done {
        Ok(()) | Err(ServiceError::Refused(_) | ServiceError::PlanKeepsChanging) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn race(
    service: QuotaService<AnyStore>,
    client: &str,
    requests: usize,
    callers: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let client = ClientId::new(client)?;
    let left = Arc::new(AtomicUsize::new(requests));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (service, client, left) = (service.clone(), client.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            let mut allowed = 0_usize;
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                if let Decision::Allowed(_) = service.charge(&client, Credits::ONE).await? {
                    allowed = allowed.saturating_add(1);
                }
            }
            Ok::<usize, ServiceError>(allowed)
        });
    }
    let mut allowed = 0_usize;
    while let Some(ended) = tasks.join_next().await {
        allowed = allowed.saturating_add(ended??);
    }
    service.shutdown().await;
    say(&format!("{allowed}\n"))?;
    Ok(())
}

/// Writes a line at once and whole.
fn say(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}
