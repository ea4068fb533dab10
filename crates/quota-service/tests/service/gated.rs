//! A store that keeps batches back, fails or panics when a test asks for it.

use std::collections::{HashSet, VecDeque};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quota_service::quota_core::{Answer, Asker, Detail, EntryId, Operation};
use quota_service::{
    ClientId, ClientsQuery, Credits, DailyQuery, DayUsage, Decision, Dispatch, EntriesPage, EntriesQuery, Instant,
    OperationId, PlainCharge, PlanStore, Pruned, Receipt, Request, StoreError, StoredPlan, Ttl, UsageStore, Window,
};
use quota_store_memory::MemoryStore;
use tokio::sync::watch;

/// What is done with one batch.
pub(crate) enum Fault {
    /// Nothing, and the store says that about every request.
    Not(fn() -> StoreError),
    /// All of it, and the store says something else about every request.
    Done(fn() -> StoreError),
    /// All of it, but the last answer is lost.
    AnswersOneTooFew,
    Panics,
}

/// What a server tells of the time.
pub(crate) type Time = fn() -> Result<Instant, StoreError>;

/// A memory store behind a gate; clones are the same store.
#[derive(Clone)]
pub(crate) struct Gated(Arc<Inner>);

struct Inner {
    memory: MemoryStore,
    dispatch: Dispatch,
    /// How many batches may pass in all.
    passes: watch::Sender<usize>,
    log: watch::Sender<Vec<Vec<Request>>>,
    held_back: watch::Sender<Option<ClientId>>,
    said_held: Mutex<Option<ClientId>>,
    faults: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<fn() -> StoreError>>,
    plans: Mutex<Option<fn() -> StoreError>>,
    in_flight: Mutex<HashSet<ClientId>>,
    receipts: Mutex<Vec<Receipt>>,
    server: Mutex<Option<Time>>,
    delay: Mutex<Duration>,
    time_questions: AtomicUsize,
}

pub(crate) fn not_done() -> StoreError {
    StoreError::not_done("as asked", "the store is down")
}

pub(crate) fn unknown() -> StoreError {
    StoreError::unknown("as asked", "the connection broke")
}

pub(crate) fn corrupt() -> StoreError {
    StoreError::corrupt("as asked", "not a document")
}

pub(crate) fn newer() -> StoreError {
    StoreError::UpgradeNeeded { found: 2, known: 1 }
}

impl Gated {
    /// Takes batches of up to 64 through one lane.
    pub(crate) fn batched() -> Self {
        Self::lanes(1, 64)
    }

    pub(crate) fn lanes(lanes: usize, max_batch: usize) -> Self {
        let some = |number| NonZeroUsize::new(number).unwrap();
        Self::new(Dispatch::Batched { lanes: some(lanes), max_batch: some(max_batch), hot: None })
    }

    /// One lane, in which a client with so many requests in a batch gets batches of its own.
    pub(crate) fn with_hot(hot: usize) -> Self {
        Self::with_hot_in(hot, 64)
    }

    /// The same, with so many requests in a batch.
    pub(crate) fn with_hot_in(hot: usize, max_batch: usize) -> Self {
        let some = |number| NonZeroUsize::new(number).unwrap();
        Self::new(Dispatch::Batched { lanes: some(1), max_batch: some(max_batch), hot: Some(some(hot)) })
    }

    /// Is asked by the caller's own task.
    pub(crate) fn direct() -> Self {
        Self::new(Dispatch::Direct)
    }

    fn new(dispatch: Dispatch) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryStore::with_entries(),
            dispatch,
            passes: watch::Sender::new(usize::MAX),
            log: watch::Sender::new(Vec::new()),
            held_back: watch::Sender::new(None),
            said_held: Mutex::default(),
            faults: Mutex::default(),
            always: Mutex::default(),
            plans: Mutex::default(),
            in_flight: Mutex::default(),
            receipts: Mutex::default(),
            server: Mutex::default(),
            delay: Mutex::default(),
            time_questions: AtomicUsize::new(0),
        }))
    }

    /// Keeps back every batch that comes from here on.
    pub(crate) fn close(&self) {
        self.0.passes.send_replace(self.0.log.borrow().len());
    }

    /// Lets everything pass from here on.
    pub(crate) fn open(&self) {
        self.0.passes.send_replace(usize::MAX);
    }

    /// Lets one more batch pass.
    pub(crate) fn pass_one(&self) {
        self.0.passes.send_modify(|passes| *passes += 1);
    }

    /// Waits until so many batches have come in all, kept back or not.
    pub(crate) async fn came(&self, batches: usize) {
        self.0.log.subscribe().wait_for(|log| log.len() >= batches).await.unwrap();
    }

    /// Keeps back this client's batches that have come and are not answered, and those that come, whatever else passes.
    pub(crate) fn hold_back(&self, client: &ClientId) {
        self.0.held_back.send_replace(Some(client.clone()));
    }

    /// Says that somebody holds a client's account.
    pub(crate) fn say_held(&self, client: &ClientId) {
        *self.0.said_held.lock().unwrap() = Some(client.clone());
    }

    /// Keeps nobody's batches back on their own.
    pub(crate) fn let_go(&self) {
        self.0.held_back.send_replace(None);
    }

    /// What the next batches meet, each its own.
    /// From now on it panics where it is asked whose account is held.
    pub(crate) fn break_held(&self) {
        let store = self.clone();
        let broken = std::thread::spawn(move || {
            let _held = store.0.said_held.lock().unwrap();
            panic!("as asked");
        });
        broken.join().unwrap_err();
    }

    pub(crate) fn next(&self, fault: Fault) {
        self.0.faults.lock().unwrap().push_back(fault);
    }

    /// Does nothing any more and says this; none heals it.
    pub(crate) fn fail(&self, error: Option<fn() -> StoreError>) {
        *self.0.always.lock().unwrap() = error;
    }

    /// Does not tell plans any more and says this; none heals it.
    pub(crate) fn fail_plans(&self, error: Option<fn() -> StoreError>) {
        *self.0.plans.lock().unwrap() = error;
    }

    /// Has a server, whose time is this.
    pub(crate) fn tell_time(&self, server: Time) {
        *self.0.server.lock().unwrap() = Some(server);
    }

    /// The next question for the server's time is on its way for so long.
    pub(crate) fn delay_time(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// How often it was asked for the server's time.
    pub(crate) fn time_questions(&self) -> usize {
        self.0.time_questions.load(Ordering::SeqCst)
    }

    /// The batches that have come, each as the ids or names of its operations.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        let name = |request: &Request| {
            let operation = &request.operation;
            let id = operation.id().map_or("", OperationId::as_str);
            format!("{} {id}", operation.name()).trim_end().to_owned()
        };
        self.0.log.borrow().iter().map(|batch| batch.iter().map(name).collect()).collect()
    }

    /// Of each batch that has come, whether all its answers were received.
    pub(crate) fn receipts(&self) -> Vec<bool> {
        self.0.receipts.lock().unwrap().iter().map(Receipt::is_confirmed).collect()
    }

    /// Every request that has come, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.log.borrow().iter().flatten().cloned().collect()
    }

    /// How many requests of this kind have come.
    pub(crate) fn count(&self, kind: impl Fn(&Operation) -> bool) -> usize {
        self.requests().iter().filter(|request| kind(&request.operation)).count()
    }

    /// What the ledger has of a client, past the gate.
    pub(crate) async fn ledger(&self, client: &ClientId) -> Credits {
        self.0.memory.total(client, Window::ALL).await.unwrap()
    }

    /// Tells another process that it holds, past the gate.
    pub(crate) async fn tell_another(&self, client: &ClientId, id: &OperationId, credits: Credits) {
        let requests = self.requests();
        let mut request = requests.into_iter().find(|request| request.operation.id() == Some(id)).unwrap();
        request.operation = Operation::Hold {
            credits,
            id: EntryId::Given(id.clone()),
            ttl: Ttl::DEFAULT,
            label: None,
            asker: Some(Asker::new(NonZeroU64::MIN)),
        };
        assert_eq!(request.client, *client);
        let answers = self.0.memory.apply(vec![request]).await;
        let [Ok(Answer::Decision(Decision::Allowed(allowed)))] = &answers[..] else { panic!("{answers:?}") };
        assert!(allowed.replayed());
    }

    async fn meet(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let always = *self.0.always.lock().unwrap();
        let fault = self.0.faults.lock().unwrap().pop_front();
        let say = |error: fn() -> StoreError, count| (0..count).map(|_| Err(error())).collect();
        let count = batch.len();
        match always.map(Fault::Not).or(fault) {
            Some(Fault::Panics) => panic!("as asked"),
            Some(Fault::Not(error)) => say(error, count),
            Some(Fault::Done(error)) => {
                self.0.memory.apply(batch).await;
                say(error, count)
            }
            Some(Fault::AnswersOneTooFew) => {
                let mut answers = self.0.memory.apply(batch).await;
                answers.pop();
                answers
            }
            None => self.0.memory.apply(batch).await,
        }
    }
}

impl UsageStore for Gated {
    fn dispatch(&self) -> Dispatch {
        self.0.dispatch
    }

    fn detail(&self) -> Detail {
        self.0.memory.detail()
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.0.said_held.lock().unwrap().as_ref() == Some(client)
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let clients: HashSet<ClientId> = batch.iter().map(|request| request.client.clone()).collect();
        let laned = matches!(self.0.dispatch, Dispatch::Batched { .. });
        for client in clients.iter().filter(|_| laned) {
            assert!(self.0.in_flight.lock().unwrap().insert(client.clone()), "{client} is in two batches at once");
        }
        let mut number = 0;
        self.0.log.send_modify(|log| {
            number = log.len();
            log.push(batch.clone());
        });
        self.0.passes.subscribe().wait_for(|passes| number < *passes).await.unwrap();
        let is_free = |held: &Option<ClientId>| held.as_ref().is_none_or(|client| !clients.contains(client));
        self.0.held_back.subscribe().wait_for(is_free).await.unwrap();
        self.0.in_flight.lock().unwrap().retain(|client| !clients.contains(client));
        self.meet(batch).await
    }

    async fn apply_with_receipt(&self, batch: Vec<Request>, receipt: &Receipt) -> Vec<Result<Answer, StoreError>> {
        self.0.receipts.lock().unwrap().push(receipt.clone());
        self.apply(batch).await
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.0.memory.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.0.memory.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.0.memory.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.0.memory.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.0.memory.prune(before).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.0.time_questions.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let delay = std::mem::take(&mut *self.0.delay.lock().unwrap());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let server = *self.0.server.lock().unwrap();
        server.map(|server| server()).transpose()
    }

    async fn health(&self) -> Result<(), StoreError> {
        let failing = *self.0.always.lock().unwrap();
        failing.map_or(Ok(()), |error| Err(error()))
    }
}

#[async_trait]
impl PlanStore for Gated {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        let failing = *self.0.plans.lock().unwrap();
        match failing {
            Some(error) => Err(error()),
            None => self.0.memory.stored_plan(client).await,
        }
    }
}
