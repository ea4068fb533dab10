//! A served program with a clock, plans and a store that can fail.

use std::cell::OnceCell;
use std::error::Error;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Version};
use http_body_util::BodyExt;
use quota_core::{Anchor, ClientId, Credits, Instant as Moment, Limit, Period, Plan, Quota, Ttl, Tz};
use quota_http::{Answers, IdempotencyKeys, OperatorToken, RateLimitFields, UsageApi};
use quota_service::{
    Clock, HoldGuard, Holding, ManualClock, OnStoreError, PlanRegistry, PlanSource, QuotaService, SharedService,
    UsageStore,
};
use tokio::runtime::Runtime;

use crate::gated::{Gate, Gated, Keeper};

use crate::http::answer::Answer;
use crate::http::connection::Connection;
use crate::http::description::{Described, Description};
use crate::http::pause::Pause;
use crate::http::store::Failing;
use crate::http::under_way::{Streamed, UnderWay};
use crate::http::{HttpHarness, Named, Program};

/// A program at work.
pub(super) struct Ground<H> {
    harness: H,
    service: SharedService,
    clock: Arc<ManualClock>,
    times_read: Arc<AtomicUsize>,
    pause: Pause,
    runtime: Runtime,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    /// Of the store's gate, if it has one.
    keeper: Option<Arc<Keeper>>,
    description: OnceCell<Description>,
}

/// What a program is made of, before it is served.
pub(super) struct Setting<H> {
    plan: Plan,
    answers: Answers,
    keys: Option<IdempotencyKeys>,
    on_store_error: OnStoreError,
    named: Named,
    operators_by_role: bool,
    /// Whether plans come from a source that takes none.
    reads_plans: bool,
    /// How many operations may wait for the store, if any may.
    queue_size: Option<usize>,
    remembers_denials: bool,
    harness: PhantomData<H>,
}

/// Plans that nobody sets.
struct ReadOnly(PlanRegistry);

#[async_trait]
impl PlanSource for ReadOnly {
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.plan_of(client))
    }

    fn generation(&self) -> Option<u64> {
        None
    }
}

/// A clock that knows how often it was read.
struct Watched {
    clock: Arc<ManualClock>,
    times_read: Arc<AtomicUsize>,
}

impl Clock for Watched {
    fn now(&self) -> Moment {
        self.times_read.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

/// The client with a plan. So has `a/b`.
pub(super) const CLIENT: &str = "client1";

/// How long something may take that a server does by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The quota of a period, aligned to 2022-01-01 in UTC.
pub(super) fn quota(period: Period, limit: &str) -> Quota {
    let limit = if limit == "unlimited" { Limit::Unlimited } else { Limit::Finite(limit.parse().unwrap()) };
    Quota::new(period, limit, Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC))
}

impl<H: HttpHarness> Setting<H> {
    /// At noon of 2024-03-01, with these quotas and both families of headers.
    pub(super) fn with<const N: usize>(quotas: [Quota; N]) -> Self {
        Self {
            plan: Plan::new(quotas).unwrap(),
            answers: Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11),
            keys: None,
            on_store_error: OnStoreError::FailClosed,
            named: Named::Header,
            operators_by_role: false,
            reads_plans: false,
            queue_size: None,
            remembers_denials: true,
            harness: PhantomData,
        }
    }

    /// Ten credits a day.
    pub(super) fn ten() -> Self {
        Self::with([quota(Period::DAY, "10")])
    }

    pub(super) fn answers(mut self, change: impl FnOnce(Answers) -> Answers) -> Self {
        self.answers = change(self.answers);
        self
    }

    pub(super) fn keys(mut self, keys: IdempotencyKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    pub(super) const fn on_store_error(mut self, on_store_error: OnStoreError) -> Self {
        self.on_store_error = on_store_error;
        self
    }

    /// Clients are found in this way.
    pub(super) const fn named(mut self, named: Named) -> Self {
        self.named = named;
        self
    }

    /// Operators are named by a function.
    pub(super) const fn operators_by_role(mut self) -> Self {
        self.operators_by_role = true;
        self
    }

    /// Plans come from a source that takes none.
    pub(super) const fn read_only(mut self) -> Self {
        self.reads_plans = true;
        self
    }

    fn plans(&self) -> PlanRegistry {
        let clients = [CLIENT, "a/b"].map(|client| ClientId::new(client).unwrap());
        clients.into_iter().fold(PlanRegistry::new(), |plans, client| plans.with(client, self.plan.clone()))
    }

    /// The store takes batches, one at a time and behind a gate, and so many operations may wait for it.
    pub(super) const fn queued(mut self, queue_size: usize) -> Self {
        self.queue_size = Some(queue_size);
        self
    }

    pub(super) const fn without_denials(mut self) -> Self {
        self.remembers_denials = false;
        self
    }

    pub(super) fn serve(self) -> Ground<H> {
        // Whatever is under way goes on while the test does something else.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let store = Failing::new(Arc::clone(&fails), Arc::clone(&asked));
        let clock = Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()));
        let times_read = Arc::new(AtomicUsize::new(0));
        let watched = Watched { clock: Arc::clone(&clock), times_read: Arc::clone(&times_read) };
        let within = runtime.enter();
        let (service, usage, keeper) = if self.queue_size.is_some() {
            let (store, keeper) = Gated::new(store);
            let (service, usage) = self.service(store, watched);
            (service, usage, Some(keeper))
        } else {
            let (service, usage) = self.service(store, watched);
            (service, usage, None)
        };
        drop(within);
        let pause = Pause::new();
        let program = Program {
            service: Arc::clone(&service),
            answers: self.answers,
            keys: self.keys,
            named: self.named,
            usage,
            operators_by_role: self.operators_by_role,
            pause: pause.clone(),
        };
        let harness = H::serve(program);
        Ground {
            harness,
            service,
            clock,
            pause,
            runtime,
            times_read,
            fails,
            asked,
            keeper,
            description: OnceCell::new(),
        }
    }

    fn service(&self, store: impl UsageStore, clock: Watched) -> (SharedService, UsageApi) {
        let builder = QuotaService::builder(store);
        let builder = if self.reads_plans {
            builder.with_plan_source(ReadOnly(self.plans()))
        } else {
            builder.with_registry(self.plans())
        };
        let builder = builder.with_clock(clock).with_on_store_error(self.on_store_error);
        let builder = builder.with_queue_size(self.queue_size.unwrap_or(usize::MAX));
        let builder = if self.remembers_denials { builder.with_denials(20) } else { builder };
        let service = builder.build();
        let usage = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
        (Arc::new(service), usage)
    }
}

impl<H: HttpHarness> Ground<H> {
    /// Sends it over a connection of its own, and waits for everything that comes back.
    #[track_caller]
    pub(super) fn send(&self, request: Request<Bytes>) -> Answer {
        self.try_send(request).expect("an answer")
    }

    /// The same; none where the server cuts the connection.
    pub(super) fn try_send(&self, request: Request<Bytes>) -> Option<Answer> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.runtime.block_on(answer(self.harness.address(), H::VERSION, request))?;
        let path = uri.path().strip_prefix("/v1/deep").unwrap_or_else(|| uri.path());
        if let Some(path) = path.strip_prefix("/quota") {
            self.description().check(method.as_str(), path, &answer);
        }
        Some(answer)
    }

    /// Sends it, and does not wait.
    pub(super) fn begin(&self, request: Request<Bytes>) -> UnderWay<'_> {
        UnderWay::new(&self.runtime, answer(self.harness.address(), H::VERSION, request))
    }

    /// Sends it, and waits until its answer begins.
    pub(super) fn stream(&self, path: &str) -> Streamed<'_> {
        let begun = async {
            let mut connection = Connection::open(self.harness.address(), H::VERSION).await;
            let response = connection.send(request(Method::GET, path)).await.unwrap();
            (connection, response)
        };
        let (connection, response) = self.runtime.block_on(begun);
        Streamed::new(&self.runtime, connection, response)
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path))
    }

    /// With an idempotency key.
    pub(super) fn get_with_key(&self, path: &str, key: &str) -> Answer {
        self.send(with_key(path, key))
    }

    /// An operator's request, to the usage API.
    pub(super) fn operate(&self, method: Method, path: &str, body: &str) -> Answer {
        self.send(operators(method, path, body))
    }

    /// What is held, and what was used of the client's first quota.
    pub(super) fn held_and_used(&self) -> (String, String) {
        let status = self.runtime.block_on(self.service.status(&ClientId::new(CLIENT).unwrap())).unwrap();
        let quota = status.quotas().iter().next().unwrap();
        (quota.held().to_string(), quota.used().to_string())
    }

    /// What the client has used; nothing is held.
    #[track_caller]
    pub(super) fn assert_used(&self, credits: &str) {
        assert_eq!(self.held_and_used(), ("0".to_owned(), credits.to_owned()));
    }

    /// Waits until so much is held. What a server does where a client goes away, it does by itself.
    #[track_caller]
    pub(super) fn wait_for_held(&self, credits: &str) {
        self.wait_until(|held, _| held == credits);
    }

    /// Waits until what is held and used is as it should be.
    #[track_caller]
    pub(super) fn wait_until(&self, is_so: impl Fn(&str, &str) -> bool) {
        let now = || self.held_and_used();
        wait_until(
            || {
                let (held, used) = now();
                is_so(&held, &used)
            },
            || format!("{:?} are held and used", now()),
        );
    }

    /// What the store does from here on, where it has a gate.
    pub(super) fn set_gate(&self, gate: Gate) {
        self.keeper.as_ref().unwrap().set(gate);
    }

    /// Waits until the store has taken a batch which its gate holds.
    pub(super) fn wait_for_a_held_batch(&self) {
        self.runtime.block_on(self.keeper.as_ref().unwrap().held(1));
    }

    /// How often the service's time was asked for: once and more for whatever is asked of the service.
    pub(super) fn times_read(&self) -> usize {
        self.times_read.load(Ordering::SeqCst)
    }

    /// Usage that was recorded elsewhere.
    pub(super) fn record(&self, credits: &str) {
        let credits: Credits = credits.parse().unwrap();
        let client = ClientId::new(CLIENT).unwrap();
        let recorded = self.service.record(&client, credits.into());
        assert!(self.runtime.block_on(recorded).unwrap().is_allowed());
    }

    /// Holds so many times a credit's smallest part, until the guards are dropped.
    pub(super) fn hold(&self, times: usize) -> Vec<HoldGuard> {
        let client = ClientId::new(CLIENT).unwrap();
        let smallest: Credits = "0.000001".parse().unwrap();
        let hold = || match self.runtime.block_on(self.service.hold(&client, smallest.into(), Ttl::DEFAULT)) {
            Ok(Holding::Held(guard)) => guard,
            other => panic!("{other:?}"),
        };
        (0..times).map(|_| hold()).collect()
    }

    /// Whether the store fails from here on.
    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// How often the store was asked and waited for.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Sends a request of HTTP/1.1 as it stands, then nothing more, and reads what comes back.
    pub(super) fn send_raw(&self, text: &str) -> String {
        let stream = self.write(text);
        stream.shutdown(Shutdown::Write).unwrap();
        read(stream)
    }

    /// Sends a whole request that asks for the connection to be closed after it, and reads what comes back. A server that is
    /// sent nothing more may take that for a client who has gone.
    pub(super) fn send_closing(&self, text: &str) -> String {
        read(self.write(text))
    }

    /// Sends a request of HTTP/1.1 as it stands, and does not wait.
    pub(super) fn write(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.harness.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// The service's time.
    pub(super) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Where handlers wait.
    pub(super) const fn pause(&self) -> &Pause {
        &self.pause
    }

    /// What the usage API describes and has not answered yet.
    pub(super) fn lacking(&self) -> Vec<Described> {
        self.description().lacking()
    }

    /// The usage API's own, as it serves it.
    fn description(&self) -> &Description {
        self.description.get_or_init(|| {
            let request = request(Method::GET, "/quota/openapi.json");
            let answer = self.runtime.block_on(answer(self.harness.address(), H::VERSION, request));
            Description::new(answer.unwrap().json())
        })
    }
}

/// Waits until it is so, not without end.
#[track_caller]
pub(super) fn wait_until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Everything that comes back until the connection ends.
pub(super) fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Everything that comes back; none where the server cuts the connection.
async fn answer(address: SocketAddr, version: Version, request: Request<Bytes>) -> Option<Answer> {
    let mut connection = Connection::open(address, version).await;
    let (parts, body) = connection.send(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Some(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// A request of the client.
pub(super) fn request(method: Method, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).header("x-client-id", CLIENT).body(Bytes::new()).unwrap()
}

/// A request of the client with an idempotency key.
pub(super) fn with_key(path: &str, key: &str) -> Request<Bytes> {
    let mut request = request(Method::GET, path);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// A request of an operator, to the usage API.
pub(super) fn operators(method: Method, path: &str, body: &str) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(format!("/quota{path}"));
    request.header(AUTHORIZATION, "Bearer s3cret").body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}
