//! Worked scenarios.

use std::future::Future;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use quota_core::{ClientId, Decision, GroupBy, IdError, Instant, OperationId};
use quota_service::{AnyStore, Charge, Clock, DailyQuery, Holding, QuotaService, ServiceError, UsageStore};
use serde_json::{Map, Value, json};

use super::input::{Code, Input, Written};
use super::lines::{Lines, LinesError};
use super::report::{Failure, Report};

/// How many scenarios run at once: a store that gathers batches gains by it.
const AT_ONCE: usize = 64;

tokio::task_local! {
    /// The instant of the step that this task is at.
    static AT: Instant;
}

/// Stands, for each task, at the instant of its step: so all scenarios share one service and its batches.
struct StepClock;

impl Clock for StepClock {
    fn now(&self) -> Instant {
        AT.try_with(|at| *at).unwrap_or(Instant::MIN)
    }
}

/// One scenario of a file.
struct Scenario<'a> {
    line: usize,
    name: &'a str,
    /// Before each of its clients.
    prefix: String,
    steps: Vec<&'a Map<String, Value>>,
}

/// A step's answer, or why there is none.
enum Stopped {
    /// An error that a vector may expect.
    Code(Code),
    /// The store failed.
    Failed(ServiceError),
}

impl From<Code> for Stopped {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl From<ServiceError> for Stopped {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusal) => Self::Code(refusal.code()),
            error => Self::Failed(error),
        }
    }
}

/// Runs every scenario of the file on the store, each in a namespace of its own.
///
/// # Errors
/// [`LinesError::Malformed`] for a scenario without a name or steps, or a step that is none; nothing was run then.
pub async fn run_accounts(lines: &Lines, store: AnyStore, mut progress: impl FnMut()) -> Result<Report, LinesError> {
    let run = fastrand::u64(..);
    let scenarios: Result<Vec<_>, _> = lines.iter().map(|(line, object)| scenario(lines, line, object, run)).collect();
    let service = QuotaService::builder(store)
        .with_stored_plans()
        .with_clock(StepClock)
        .with_reference_clock(StepClock)
        .with_deadline(Duration::from_secs(60))
        .build();
    let mut report = Report::default();
    let mut running = stream::iter(scenarios?)
        .map(|scenario| {
            let service = &service;
            async move {
                let failure = play(service, &scenario).await;
                (scenario.line, failure)
            }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((line, failure)) = running.next().await {
        match failure {
            Some(failure) => report.fail(line, failure),
            None => report.pass(),
        }
        progress();
    }
    drop(running);
    service.shutdown().await;
    Ok(report)
}

fn scenario<'a>(
    lines: &Lines,
    line: usize,
    object: &'a Map<String, Value>,
    run: u64,
) -> Result<Scenario<'a>, LinesError> {
    let malformed = |message: &str| lines.malformed(line, message);
    let name = Input(object).text("name").ok_or_else(|| malformed("a scenario has a `name`"))?;
    let steps = object.get("steps").and_then(Value::as_array).ok_or_else(|| malformed("a scenario has `steps`"))?;
    let mut objects = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        let number = number.saturating_add(1);
        let step = step.as_object().ok_or_else(|| malformed(&format!("step {number} is no object")))?;
        // A client or an instant that is no text is an answer, not a broken file.
        if let Some(member) = ["op", "client", "at", "expect"].iter().find(|member| !step.contains_key(**member)) {
            return Err(malformed(&format!("step {number} has no `{member}`")));
        }
        let operation = Input(step).text("op").ok_or_else(|| malformed(&format!("step {number}: `op` is no text")))?;
        if !OPERATIONS.contains(&operation) {
            return Err(malformed(&format!("step {number}: no operation is called {operation:?}")));
        }
        objects.push(step);
    }
    Ok(Scenario { line, name, prefix: format!("{run:016x}-{line}-"), steps: objects })
}

const OPERATIONS: [&str; 14] = [
    "plan", "unplan", "charge", "record", "hold", "extend", "settle", "release", "void", "status", "total", "daily",
    "delete", "backfill",
];

/// The first step that is answered otherwise than expected.
async fn play<S: UsageStore>(service: &QuotaService<S>, scenario: &Scenario<'_>) -> Option<Failure> {
    for (number, step) in scenario.steps.iter().enumerate() {
        let actual = match answer(service, &scenario.prefix, Input(step)).await {
            Ok(answer) => answer,
            Err(Stopped::Code(code)) => json!({ "error": code }),
            Err(Stopped::Failed(error)) => json!({ "failed": chain(&error) }),
        };
        let mut asked = (*step).clone();
        let expected = asked.remove("expect").unwrap_or_default();
        if actual != expected {
            let name = scenario.name.to_owned();
            let (step, asked) = (Some(number.saturating_add(1)), Value::Object(asked));
            return Some(Failure { name, step, asked, expected, actual });
        }
    }
    None
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn answer<S: UsageStore>(service: &QuotaService<S>, prefix: &str, step: Input<'_>) -> Result<Value, Stopped> {
    let at: Instant = step.read("at")?;
    // The name itself must be one, before the namespace is put before it.
    let name: ClientId = step.read("client")?;
    let client = in_namespace(prefix, &name).map_err(|_| ClientId::NOT_TEXT)?;
    let asked = Asked { service, client: &client, step, at };
    match step.text("op").unwrap_or_default() {
        "charge" | "record" | "hold" | "extend" | "settle" | "release" => asked.decision().await,
        "plan" | "unplan" | "status" => asked.plan().await,
        "total" | "daily" => asked.reading().await,
        _ => asked.mending().await,
    }
}

/// A name that has no room for the prefix stands by its hash.
fn in_namespace(prefix: &str, name: &ClientId) -> Result<ClientId, IdError> {
    if prefix.len().saturating_add(name.as_str().len()) <= ClientId::MAX_BYTES {
        return ClientId::new(format!("{prefix}{name}"));
    }
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    ClientId::new(format!("{prefix}~{hash:016x}"))
}

struct Asked<'a, S> {
    service: &'a QuotaService<S>,
    client: &'a ClientId,
    step: Input<'a>,
    at: Instant,
}

impl<S: UsageStore> Asked<'_, S> {
    /// Runs an operation with the clock at the step's instant.
    async fn then<T>(&self, operation: impl Future<Output = Result<T, ServiceError>>) -> Result<T, Stopped> {
        Ok(AT.scope(self.at, operation).await?)
    }

    fn charge(&self) -> Result<Charge, Code> {
        let mut charge = Charge::new(self.step.read("credits")?);
        if let Some(id) = self.step.optional("id")? {
            charge = charge.with_id(id);
        }
        if let Some(label) = self.step.optional("label")? {
            charge = charge.with_label(label);
        }
        Ok(charge)
    }

    async fn decision(&self) -> Result<Value, Stopped> {
        let Self { service, client, step, .. } = self;
        let id = || step.read::<OperationId>("id");
        let decision = match step.text("op") {
            Some("charge") => self.then(service.charge_with(client, self.charge()?)).await?,
            Some("record") => self.then(service.record(client, self.charge()?)).await?,
            Some("hold") => {
                id()?;
                match self.then(service.hold(client, self.charge()?, step.ttl()?)).await? {
                    Holding::Denied(denied) => Decision::Denied(denied),
                    Holding::Held(guard) | Holding::Unchecked(guard) => {
                        let decision = guard.decision().clone();
                        let _left_to_its_ttl = guard.detach();
                        decision
                    }
                }
            }
            Some("extend") => self.then(service.extend(client, &id()?, step.ttl()?)).await?,
            Some("settle") => self.then(service.settle(client, &id()?, step.read("credits")?)).await?,
            _ => self.then(service.release(client, &id()?)).await?,
        };
        Ok(match decision {
            Decision::Allowed(allowed) => json!(allowed),
            Decision::Denied(denied) => json!(denied),
            Decision::Unchecked => json!({ "unchecked": true }),
        })
    }

    async fn plan(&self) -> Result<Value, Stopped> {
        let Self { service, client, step, .. } = self;
        match step.text("op") {
            Some("plan") => {
                let status = self.then(service.set_plan(client, step.plan()?)).await?;
                Ok(json!({ "quotas": status.quotas() }))
            }
            Some("unplan") => {
                self.then(service.remove_plan(client)).await?;
                Ok(json!({}))
            }
            _ => Ok(json!(self.then(service.status(client)).await?)),
        }
    }

    async fn reading(&self) -> Result<Value, Stopped> {
        let Self { service, client, step, .. } = self;
        let range = step.range()?;
        if step.text("op") == Some("total") {
            return Ok(json!({ "credits": self.then(service.total_usage(client, range)).await? }));
        }
        let by = match step.text("by") {
            Some("label") => GroupBy::DayAndLabel,
            _ => GroupBy::Day,
        };
        let query = DailyQuery { range, zone: step.zone()?, by };
        Ok(json!({ "days": self.then(service.daily_usage(client, query)).await? }))
    }

    async fn mending(&self) -> Result<Value, Stopped> {
        let Self { service, client, step, .. } = self;
        match step.text("op") {
            Some("void") => {
                let id: OperationId = step.read("id")?;
                Ok(json!({ "voided": self.then(service.void(client, &id)).await? }))
            }
            Some("delete") => Ok(json!({ "deleted": self.then(service.delete_usage(client, step.range()?)).await? })),
            _ => {
                let done = self.then(service.backfill(client, step.entries()?)).await?;
                Ok(json!({ "added": done.added, "skipped": done.skipped, "conflicts": done.conflicts }))
            }
        }
    }
}
