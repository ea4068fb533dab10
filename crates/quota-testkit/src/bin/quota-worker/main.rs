//! A process that charges, to be killed or raced against others by tests.
#![expect(clippy::print_stderr, reason = "it talks to the test that started it")]

mod asking;
mod clocks;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Parser, Subcommand};
use quota_core::{ClientId, Credits, Decision, OperationId, PastEntry, Plan, Ttl, Window};
use quota_service::{AnyStore, Charge, Holding, QuotaService, ServiceError, UsageStore};
use quota_testkit::word;

use crate::asking::ask;
use crate::clocks::Clocks;

/// Charges clients of a store that have plans.
#[derive(Debug, Parser)]
struct Cli {
    /// The store.
    url: String,
    /// What every client's id begins with.
    #[arg(long, default_value = "")]
    prefix: String,
    /// How many milliseconds an operation may take. Long: a loaded machine is not what most tests are about.
    #[arg(long, default_value_t = 30_000)]
    deadline: u64,
    #[command(flatten)]
    clocks: Clocks,
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
    /// Charges `c0`, `c1` … by turns by 1, so many times in all; prints a line of each client and how many of its were
    /// allowed.
    Race {
        /// How many clients.
        clients: usize,
        /// How many charges.
        requests: usize,
        /// How many callers at once.
        callers: usize,
    },
    /// Charges `c0`, `c1` … by turns by 1, so many times in all; prints a line of each client, each answer in a word and how
    /// many had it.
    Tally {
        /// How many clients.
        clients: usize,
        /// How many charges.
        requests: usize,
        /// How many callers at once.
        callers: usize,
    },
    /// Charges `c0` by 1 from when it is told a line until it is killed, without a pause; prints a line when it is ready, of
    /// the caller's number for each that was allowed, and of the answer for each that was not done.
    Contend {
        /// How many callers at once.
        callers: usize,
    },
    /// Does to `c0` what it is told, a line each: `charge ID`, `record ID`, `hold ID`, `settle ID`, by 1, `release ID`, `void ID`,
    /// `backfill AT ID …`, by 1 each, `delete FROM TO`, `prune BEFORE`, `plan LIMIT`; prints a line when it is ready, and each
    /// answer in a word or as the number of entries that were concerned.
    Ask,
    /// Charges each of `c0`, `c1` … with the ids `0`, `1` …; prints a line of each client and how many of its were not
    /// replayed.
    Repeat {
        /// How many clients.
        clients: usize,
        /// How many ids of each.
        ids: usize,
        /// How many callers at once.
        callers: usize,
    },
    /// Charges `c0` by 1 until it has used so many; prints how many were allowed.
    Until {
        /// How many.
        used: u64,
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

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = quota_stores::connect(&cli.url).await?;
        let service = cli.clocks.builder(store).with_deadline(Duration::from_millis(cli.deadline)).build();
        let ground = Ground { service, prefix: cli.prefix };
        match cli.work {
            Work::Load { run, clients, callers } => load(ground, run, clients, callers).await,
            Work::Churn { clients, callers } => churn(ground, clients, callers).await,
            Work::Race { clients, requests, callers } => race(ground, clients, requests, callers).await,
            Work::Tally { clients, requests, callers } => tally(ground, clients, requests, callers).await,
            Work::Contend { callers } => contend(ground, callers).await,
            Work::Ask => ask(ground).await,
            Work::Repeat { clients, ids, callers } => repeat(ground, clients, ids, callers).await,
            Work::Until { used, callers } => until(ground, used, callers).await,
        }
    })
}

/// A service, and what its clients' ids begin with.
#[derive(Clone)]
struct Ground {
    service: QuotaService<AnyStore>,
    prefix: String,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Ground {
    fn client(&self, number: usize) -> Result<ClientId, Failure> {
        Ok(ClientId::new(format!("{}c{number}", self.prefix))?)
    }

    fn any_client(&self, clients: usize) -> Result<ClientId, Failure> {
        self.client(fastrand::usize(..clients.max(1)))
    }

    /// Has each number below `count` done by one of so many callers, and gives what was said of them.
    async fn share<T, F, D>(&self, count: usize, callers: usize, work: F) -> Result<Vec<(usize, T)>, Failure>
    where
        T: Send + 'static,
        F: Fn(Self, usize) -> D + Clone + Send + 'static,
        D: Future<Output = Result<T, Failure>> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let (ground, work, next) = (self.clone(), work.clone(), Arc::clone(&next));
            tasks.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return Ok::<_, Failure>(done);
                    }
                    done.push((number, work(ground.clone(), number).await?));
                }
            });
        }
        let mut done = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            done.extend(ended??);
        }
        Ok(done)
    }

    /// Prints for how many numbers of each client it is so.
    fn tell(&self, clients: usize, done: &[(usize, bool)]) -> Result<(), Failure> {
        for client in 0..clients {
            let count = done.iter().filter(|(number, is_so)| number % clients == client && *is_so).count();
            say(&format!("{} {count}\n", self.client(client)?))?;
        }
        Ok(())
    }
}

/// What a store says it has not done is an answer: on a busy machine others may be at an account for as long as it waits.
fn unless_not_done<T>(done: Result<T, Failure>, instead: T) -> Result<T, Failure> {
    match done {
        Err(error) if matches!(error.downcast_ref(), Some(ServiceError::NotDone { .. })) => Ok(instead),
        done => done,
    }
}

async fn load(ground: Ground, run: String, clients: usize, callers: usize) -> Result<(), Failure> {
    let charge = move |ground: Ground, number: usize| {
        let run = run.clone();
        async move {
            let (service, client) = (&ground.service, ground.any_client(clients)?);
            let id = OperationId::new(format!("{run}.{number}"))?;
            let charge = Charge::new(Credits::ONE).with_id(id.clone());
            let charged = async {
                if number.is_multiple_of(2) {
                    return Ok(service.charge_with(&client, charge).await?.is_allowed());
                }
                Ok(match service.hold(&client, charge, Ttl::DEFAULT).await? {
                    Holding::Held(guard) => guard.settle(Credits::ONE).await?.decision().is_allowed(),
                    Holding::Denied(_) | Holding::Unchecked(_) => false,
                })
            };
            let allowed = unless_not_done(charged.await, false)?;
            if allowed {
                say(&format!("{client} {id}\n"))?;
            }
            Ok(allowed)
        }
    };
    ground.share(usize::MAX, callers, charge).await.map(|_| ())
}

async fn churn(ground: Ground, clients: usize, callers: usize) -> Result<(), Failure> {
    let disturb = move |ground: Ground, _| async move {
        let disturbed = disturb(&ground.service, &ground.any_client(clients)?).await;
        let is_done = unless_not_done(disturbed.map(|()| true), false)?;
        if is_done {
            say("done\n")?;
        }
        Ok(is_done)
    };
    ground.share(usize::MAX, callers, disturb).await.map(|_| ())
}

async fn race(ground: Ground, clients: usize, requests: usize, callers: usize) -> Result<(), Failure> {
    let charge = move |ground: Ground, number: usize| async move {
        let client = ground.client(number % clients.max(1))?;
        Ok(ground.service.charge(&client, Credits::ONE).await?.is_allowed())
    };
    let done = ground.share(requests, callers, charge).await?;
    ground.service.shutdown().await;
    ground.tell(clients, &done)
}

async fn tally(ground: Ground, clients: usize, requests: usize, callers: usize) -> Result<(), Failure> {
    let charge = move |ground: Ground, number: usize| async move {
        let client = ground.client(number % clients.max(1))?;
        Ok(said_by(&ground.service.charge(&client, Credits::ONE).await))
    };
    let done = ground.share(requests, callers, charge).await?;
    ground.service.shutdown().await;
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for (number, answer) in done {
        *counts.entry((number % clients.max(1), answer)).or_default() += 1;
    }
    for ((client, answer), count) in counts {
        say(&format!("{} {answer} {count}\n", ground.client(client)?))?;
    }
    Ok(())
}

async fn contend(ground: Ground, callers: usize) -> Result<(), Failure> {
    say("ready\n")?;
    if std::io::stdin().read_line(&mut String::new())? == 0 {
        return Ok(());
    }
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        tasks.spawn(press(ground.clone(), caller));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn press(ground: Ground, caller: usize) -> Result<(), Failure> {
    let client = ground.client(0)?;
    loop {
        let answer = ground.service.charge(&client, Credits::ONE).await;
        match said_by(&answer) {
            "allowed" => say(&format!("{caller}\n"))?,
            "not_done" => say("not_done\n")?,
            _ => return Err(format!("{answer:?}").into()),
        }
    }
}

async fn repeat(ground: Ground, clients: usize, ids: usize, callers: usize) -> Result<(), Failure> {
    let charge = move |ground: Ground, number: usize| async move {
        let client = ground.client(number % clients.max(1))?;
        let id = OperationId::new(format!("{}", number / clients.max(1)))?;
        match ground.service.charge_with(&client, Charge::new(Credits::ONE).with_id(id)).await? {
            Decision::Allowed(allowed) => Ok(!allowed.replayed()),
            other => Err(format!("{other:?}").into()),
        }
    };
    let done = ground.share(ids.saturating_mul(clients), callers, charge).await?;
    ground.service.shutdown().await;
    ground.tell(clients, &done)
}

async fn until(ground: Ground, used: u64, callers: usize) -> Result<(), Failure> {
    let (client, used) = (ground.client(0)?, Credits::new(used)?);
    let charge = move |ground: Ground, _| {
        let client = client.clone();
        async move {
            loop {
                let quotas = match ground.service.charge(&client, Credits::ONE).await? {
                    Decision::Allowed(_) => return Ok(true),
                    Decision::Denied(denied) => denied.quotas().clone(),
                    Decision::Unchecked => return Err("unchecked".into()),
                };
                if quotas.iter().all(|quota| quota.used() >= used) {
                    return Ok(false);
                }
            }
        }
    };
    // Each caller ends at its first charge that is denied for good.
    let count = usize::try_from(used.micros() / 1_000_000)?.saturating_add(callers);
    let done = ground.share(count, callers, charge).await?;
    ground.service.shutdown().await;
    say(&format!("{}\n", done.iter().filter(|(_, allowed)| *allowed).count()))?;
    Ok(())
}

/// One operation, whose refusal is as good as its success.
async fn disturb(service: &QuotaService<AnyStore>, client: &ClientId) -> Result<(), Failure> {
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

/// An answer in one word, also where the store failed.
fn said_by(answer: &Result<Decision, ServiceError>) -> &'static str {
    answer.as_ref().map_or_else(failure, |_| word(answer))
}

/// Why there is no answer, in one word: the code of a refusal, `unknown` or `not_done`.
const fn failure(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::Refused(refusal) => refusal.code(),
        ServiceError::Unknown { .. } => "unknown",
        _ => "not_done",
    }
}

/// Writes a line at once and whole.
fn say(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}
