//! Many callers at once on one service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::try_join_all;
use quota_core::{ClientId, Credits, OperationId, Plan};
use quota_service::{Charge, Decision, PlanRegistry, QuotaService, UsageStore};

use crate::number::count;
use crate::ours::{ids, names};

/// Charges with ids of one client, after which the next has its turn: well below the 100,000 that are remembered.
const IDS_OF_ONE: usize = 50_000;

/// A service and who is charged by it.
pub(crate) struct Callers<S> {
    pub(crate) name: &'static str,
    service: QuotaService<S>,
    clients: Vec<ClientId>,
    callers: usize,
    pub(crate) has_ids: bool,
    /// How many charges with ids were begun.
    begun: Arc<AtomicUsize>,
    expected: fn(&Decision) -> bool,
}

impl<S: UsageStore> Callers<S> {
    /// So many clients, all with the same plan. Inside a runtime.
    pub(crate) fn new(
        name: &'static str,
        store: S,
        clients: usize,
        callers: usize,
        plan: Plan,
    ) -> anyhow::Result<Self> {
        let registry = PlanRegistry::new().with_default(plan);
        // A slow server is to be measured, not to fail.
        let service =
            QuotaService::builder(store).with_registry(registry).with_deadline(Duration::from_secs(60)).build();
        // Clients of their own: stores on one server share it.
        let run = fastrand::u32(..);
        let names: Vec<String> = names(clients).iter().map(|name| format!("{run:08x}-{name}")).collect();
        let clients = ids(&names)?;
        Ok(Self {
            name,
            service,
            clients,
            callers,
            has_ids: false,
            begun: Arc::default(),
            expected: Decision::is_allowed,
        })
    }

    /// Every charge has an id of its own. One client alone gives way to the next in time: it remembers so many only.
    pub(crate) fn with_ids(self) -> Self {
        Self { has_ids: true, ..self }
    }

    /// Every charge is to be denied. What there is is taken first: a client that never got any leaves no account, which
    /// is another case.
    pub(crate) async fn denied(self) -> anyhow::Result<Self> {
        let cost = Credits::new(1)?;
        let charges = self.clients.iter().map(|client| self.service.charge(client, cost));
        if !try_join_all(charges).await?.iter().all(Decision::is_allowed) {
            bail!("a client's first credit was denied");
        }
        Ok(Self { expected: Decision::is_denied, ..self })
    }

    pub(crate) async fn shutdown(&self) {
        self.service.shutdown().await;
    }

    /// Every caller charges one client after the other, for as long as `slice`.
    pub(crate) async fn charges_a_second(&self, slice: Duration) -> anyhow::Result<f64> {
        let (waits, took) = self.charges(slice).await?;
        Ok(count(waits.len()) / took.as_secs_f64())
    }

    /// How long each charge took, and all of them together.
    pub(crate) async fn charges(&self, slice: Duration) -> anyhow::Result<(Vec<Duration>, Duration)> {
        let began = Instant::now();
        let callers: Vec<_> = (0..self.callers).map(|caller| tokio::spawn(self.caller(caller, began, slice))).collect();
        let mut waits = Vec::new();
        for caller in callers {
            waits.extend(caller.await??);
        }
        Ok((waits, began.elapsed()))
    }

    fn caller(
        &self,
        number: usize,
        began: Instant,
        slice: Duration,
    ) -> impl Future<Output = anyhow::Result<Vec<Duration>>> + Send + use<S> {
        let service = self.service.clone();
        let mut random = fastrand::Rng::with_seed(u64::try_from(number).unwrap_or_default());
        let mut clients = self.clients.clone();
        random.shuffle(&mut clients);
        let run_of_all = clients.first().map(ToString::to_string).unwrap_or_default();
        let (has_ids, expected, begun) = (self.has_ids, self.expected, Arc::clone(&self.begun));
        let run = fastrand::u64(..);
        async move {
            let cost = Credits::new(1)?;
            let (mut waits, mut turn) = (Vec::new(), 0);
            for place in (0..clients.len()).cycle() {
                if has_ids && clients.len() == 1 {
                    let turns = begun.fetch_add(1, Ordering::Relaxed) / IDS_OF_ONE;
                    if let [client] = clients.as_mut_slice()
                        && turn < turns
                    {
                        turn = turns;
                        *client = ClientId::new(format!("{run_of_all}-{turn}"))?;
                    }
                }
                let Some(client) = clients.get(place) else { break };
                let asked = Instant::now();
                if asked.duration_since(began) >= slice {
                    break;
                }
                let mut charge = Charge::new(cost);
                if has_ids {
                    charge = charge.with_id(OperationId::new(format!("{run:x}-{}", waits.len()))?);
                }
                if !expected(&service.charge_with(client, charge).await?) {
                    bail!("{client} got the wrong answer");
                }
                waits.push(asked.elapsed());
            }
            Ok(waits)
        }
    }
}
