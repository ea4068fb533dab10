//! A served program with a clock, plans and a store that can fail.

use std::cell::OnceCell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Uri, Version};
use http_body_util::BodyExt;
use quota_core::{ClientId, Credits, OperationId, Ttl};
use quota_service::{Charge, HoldGuard, Holding, ManualClock, SharedService};
use tokio::runtime::Runtime;

use crate::gated::{Gate, Keeper};
use crate::http::HttpHarness;
use crate::http::answer::Answer;
use crate::http::connection::Connection;
use crate::http::description::{Described, Description};
use crate::http::faults::Sent;
use crate::http::fields;
use crate::http::pause::Pause;
use crate::http::raw;
use crate::http::store::Orders;
use crate::http::under_way::{OnConnection, Streamed, UnderWay};

/// A program at work.
pub(super) struct Ground<H> {
    pub(super) harness: H,
    pub(super) service: SharedService,
    pub(super) clock: Arc<ManualClock>,
    pub(super) times_read: Arc<AtomicUsize>,
    pub(super) pause: Pause,
    pub(super) runtime: Runtime,
    pub(super) orders: Arc<Orders>,
    /// Of the store's gate, if it has one.
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) description: OnceCell<Description>,
}

/// The client with a plan. So has `a/b`.
pub(super) const CLIENT: &str = "client1";

/// How long something may take that a server does by itself.
const PATIENCE: Duration = Duration::from_secs(20);

impl<H: HttpHarness> Ground<H> {
    /// Sends it over a connection of its own, and waits for everything that comes back.
    #[track_caller]
    pub(super) fn send(&self, request: Request<Bytes>) -> Answer {
        self.try_send(request).expect("an answer")
    }

    /// The same; none where the server cuts the connection.
    pub(super) fn try_send(&self, request: Request<Bytes>) -> Option<Answer> {
        let (method, uri, body) = (request.method().clone(), request.uri().clone(), request.body().clone());
        let answer = self.runtime.block_on(answer(self.harness.address(), H::VERSION, request))?;
        self.check(method.as_str(), &uri, Some(&body), &answer);
        Some(answer)
    }

    /// What was asked of the usage API and its answer are as they are described.
    #[track_caller]
    fn check(&self, method: &str, uri: &Uri, body: Option<&[u8]>, answer: &Answer) {
        let path = uri.path().strip_prefix("/v1/deep").unwrap_or_else(|| uri.path());
        if let Some(path) = path.strip_prefix("/quota") {
            let sent = Sent { method, path, query: uri.query().unwrap_or_default(), body };
            self.description().check(&sent, answer);
        }
    }

    /// Sends it, and does not wait.
    pub(super) fn begin(&self, request: Request<Bytes>) -> UnderWay<'_> {
        UnderWay::new(&self.runtime, answer(self.harness.address(), H::VERSION, request))
    }

    /// Sends it and does not wait for its answer, which may be given up while its connection lives on.
    pub(super) fn begin_on_a_connection(&self, request: Request<Bytes>) -> OnConnection<'_> {
        let (address, version) = (self.harness.address(), H::VERSION);
        let connection = self.runtime.block_on(Connection::open(address, version));
        OnConnection::new(&self.runtime, connection, request)
    }

    /// Sends it, and waits until its answer begins.
    pub(super) fn stream(&self, request: Request<Bytes>) -> Streamed<'_> {
        let begun = async {
            let mut connection = Connection::open(self.harness.address(), H::VERSION).await;
            let response = connection.send(request).await.unwrap();
            fields::assert_structured(response.headers());
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

    /// Holds so much under an id.
    pub(super) fn hold_as(&self, id: &str, credits: &str) -> HoldGuard {
        let charge = Charge::new(credits.parse().unwrap()).with_id(OperationId::new(id).unwrap());
        match self.runtime.block_on(self.service.hold(&ClientId::new(CLIENT).unwrap(), charge, Ttl::DEFAULT)) {
            Ok(Holding::Held(guard)) => guard,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the store fails from here on.
    pub(super) fn fail(&self, fails: bool) {
        self.orders.fails.store(fails, Ordering::SeqCst);
    }

    /// The store remembers no more ids from here on.
    pub(super) fn fill(&self) {
        self.orders.is_full.store(true, Ordering::SeqCst);
    }

    /// Waits until the store was to void something so often.
    #[track_caller]
    pub(super) fn wait_for_voids(&self, times: usize) {
        let voids = || self.orders.voids.load(Ordering::SeqCst);
        wait_until(|| voids() >= times, || format!("{} times something was to be voided", voids()));
    }

    /// The store says so often that it has not voided what it was to.
    pub(super) fn void_nothing(&self, times: usize) {
        self.orders.voids_in_vain.store(times, Ordering::SeqCst);
    }

    /// How often the store was asked and waited for.
    pub(super) fn asked(&self) -> usize {
        self.orders.asked.load(Ordering::SeqCst)
    }

    /// Sends a request of HTTP/1.1 as it stands, then nothing more, and reads what comes back.
    pub(super) fn send_raw(&self, text: &str) -> Answer {
        let stream = self.write(text);
        stream.shutdown(Shutdown::Write).unwrap();
        self.raw(text, &read(stream))
    }

    /// Sends a whole request that asks for the connection to be closed after it, and reads what comes back. A server that is
    /// sent nothing more may take that for a client who has gone.
    pub(super) fn send_closing(&self, text: &str) -> Answer {
        self.raw(text, &read(self.write(text)))
    }

    fn raw(&self, sent: &str, came: &str) -> Answer {
        let sent = raw::Request::read(sent);
        let answer = raw::answer(came, sent.method == "HEAD");
        self.check(sent.method, &sent.uri, sent.body, &answer);
        answer
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
    fields::assert_structured(&parts.headers);
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
