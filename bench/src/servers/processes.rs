//! Several processes on one client.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quota_core::{ClientId, Credits, OperationId, Unit};
use quota_service::{AnyStore, Charge, QuotaService};

use crate::number::{count, percentile};
use crate::ours::{ENOUGH, plan};

const CALLERS: usize = 16;
const PROCESSES: usize = 8;

/// What processes did together.
pub(super) struct Together {
    /// Charges a second of all.
    pub(super) speed: f64,
    /// The longest waits by the median one.
    pub(super) tail: f64,
}

/// How they charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Work {
    /// Without ids.
    Plain,
    /// Each charge with a fresh id.
    Ids,
    /// There is nothing left.
    Denied,
}

/// One client remembers 100,000 ids only: with ids, the next has its turn after so long.
const IDS_OF_ONE: Duration = Duration::from_millis(700);

impl Work {
    /// The client at a time.
    fn client(self, name: &str, elapsed: Duration) -> String {
        let turn = elapsed.as_millis().checked_div(IDS_OF_ONE.as_millis()).unwrap_or_default();
        if self == Self::Ids { format!("{name}-{turn}") } else { name.to_owned() }
    }

    /// All of them.
    fn clients(self, name: &str, slice: Duration) -> Vec<String> {
        let mut clients: Vec<String> = (0_u32..)
            .map(|turn| IDS_OF_ONE * turn)
            .take_while(|at| *at <= slice)
            .map(|at| self.client(name, at))
            .collect();
        clients.dedup();
        clients
    }
}

/// Has so many processes charge one client.
pub(super) fn race(url: &str, processes: usize, slice: Duration, work: Work) -> anyhow::Result<Together> {
    let client = format!("hot-{:08x}", fastrand::u32(..));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = if work == Work::Denied { 1 } else { ENOUGH };
    runtime.block_on(set_plan(url, &work.clients(&client, slice), limit))?;
    let millis = slice.as_millis().to_string();
    let waits = together(url, processes, &[&client, &millis, &format!("{work:?}")])?;
    let micros = |part| percentile(&waits, part);
    Ok(Together { speed: count(waits.len()) / slice.as_secs_f64(), tail: micros(99) / micros(50) })
}

/// How many more than its limit a client was admitted by eight processes.
pub(super) async fn over_the_limit(url: &str) -> anyhow::Result<f64> {
    let (client, limit) = (format!("strict-{:08x}", fastrand::u32(..)), 2_000);
    set_plan(url, std::slice::from_ref(&client), limit).await?;
    let (asked, name) = (url.to_owned(), client.clone());
    let racing = move || together(&asked, PROCESSES, &[&name, "10000", "Plain"]);
    let admitted = tokio::task::spawn_blocking(racing).await??.len();
    let over = count(admitted) - f64::from(u32::try_from(limit)?);
    if over < 0.0 {
        bail!("{admitted} were admitted of a limit of {limit}");
    }
    Ok(over)
}

async fn set_plan(url: &str, clients: &[String], limit: u64) -> anyhow::Result<()> {
    let service = QuotaService::new(quota_stores::connect(url).await?);
    // Long windows: at midnight, a day would admit again.
    for client in clients {
        service.set_plan(&ClientId::new(client)?, plan(&[Unit::Month, Unit::Year], limit)?).await?;
    }
    service.shutdown().await;
    Ok(())
}

/// The waits of all processes, each begun when all are connected.
fn together(url: &str, processes: usize, arguments: &[&str]) -> anyhow::Result<Vec<Duration>> {
    let mut children: Vec<Child> = (0..processes).map(|_| start(url, arguments)).collect::<Result<_, _>>()?;
    let mut outputs = Vec::new();
    for child in &mut children {
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut ready = String::new();
        output.read_line(&mut ready)?;
        outputs.push(output);
    }
    for child in &mut children {
        child.stdin.take().context("no input")?.write_all(b"go\n")?;
    }
    let mut waits = Vec::new();
    for (mut child, output) in children.into_iter().zip(outputs) {
        for line in output.lines() {
            waits.push(Duration::from_nanos(line?.parse()?));
        }
        if !child.wait()?.success() {
            bail!("a process failed");
        }
    }
    Ok(waits)
}

fn start(url: &str, arguments: &[&str]) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child-charge").arg(url).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().context("could not start a process")
}

/// One of the processes: charges the client until it gets another answer than it is to get, or the time is over, and prints
/// how long each charge took.
pub(crate) fn child(arguments: &[String]) -> anyhow::Result<()> {
    let [url, client, millis, work] = arguments else { bail!("a URL, a client, milliseconds and the work") };
    let slice = Duration::from_millis(millis.parse()?);
    let work = Work::from_str(work, true).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let store = quota_stores::connect(url).await?;
        let service = QuotaService::builder(store).with_stored_plans().with_deadline(Duration::from_secs(60)).build();
        let first = ClientId::new(work.client(client, Duration::ZERO))?;
        service.status(&first).await?;
        if work == Work::Denied {
            // What there is is taken first.
            drop(service.charge(&first, Credits::new(1)?).await?);
        }
        println!("ready");
        let mut go = String::new();
        std::io::stdin().read_line(&mut go)?;
        let began = Instant::now();
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(caller(service.clone(), client.clone(), work, began, slice))).collect();
        let mut output = std::io::BufWriter::new(std::io::stdout().lock());
        for caller in callers {
            for wait in caller.await?? {
                writeln!(output, "{}", wait.as_nanos())?;
            }
        }
        output.flush()?;
        service.shutdown().await;
        Ok(())
    })
}

async fn caller(
    service: QuotaService<AnyStore>,
    name: String,
    work: Work,
    began: Instant,
    slice: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let (mut waits, run) = (Vec::new(), fastrand::u64(..));
    let (cost, mut client) = (Credits::new(1)?, ClientId::new(work.client(&name, Duration::ZERO))?);
    while began.elapsed() < slice {
        let now = work.client(&name, began.elapsed());
        if client.as_str() != now {
            client = ClientId::new(now)?;
        }
        let mut charge = Charge::new(cost);
        if work == Work::Ids {
            charge = charge.with_id(OperationId::new(format!("{run:x}-{}", waits.len()))?);
        }
        let asked = Instant::now();
        if service.charge_with(&client, charge).await?.is_denied() != (work == Work::Denied) {
            break;
        }
        waits.push(asked.elapsed());
    }
    Ok(waits)
}
