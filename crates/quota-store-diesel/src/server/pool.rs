//! Connections, kept for the next transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult};
use diesel::result::{DatabaseErrorKind, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connect_error::ConnectError;
use crate::failure::Failure;
use crate::server::engine::{Engine, Link, Settings};

/// Connections of one store.
#[derive(Debug)]
pub(crate) struct Connections<E: Engine> {
    pool: Pool<Opener<E>>,
    /// As many may wait for locks that others hold at once, and how long for their turn to.
    locks: Arc<Semaphore>,
    lock_timeout: Duration,
    /// As many may read usage at once.
    readings: Arc<Semaphore>,
    /// How long an answer is waited for.
    patience: Duration,
    /// How long a connection is: as long as one answer of who has it now, and a new one.
    waiting: Duration,
}

/// What a connection is for. Whoever may have it for seconds leaves others to those who need one for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A batch that waits for nobody, a plan, the server's time.
    Brief,
    /// To wait for an account that others hold.
    Lock,
    /// Usage, entries, clients.
    Reading,
}

/// Opens connections.
#[derive(Debug)]
struct Opener<E>(Arc<E>);

/// A connection of the pool.
#[derive(Debug)]
struct Pooled<L> {
    link: L,
    /// When its last transaction ended; none where there was none yet.
    used: Option<Instant>,
}

/// So long after its last transaction a connection is taken for one that still is: less than anything between here and the server
/// waits before it forgets an idle one.
const FRESH: Duration = Duration::from_secs(5);

/// A connection that is lent. One whose transaction did not end in order is closed, and its transaction with it.
pub(crate) struct Session<E: Engine> {
    /// None once given back.
    object: Option<Object<Opener<E>>>,
    in_order: bool,
    /// Given back with it.
    _turn: Option<OwnedSemaphorePermit>,
}

impl<E: Engine> Manager for Opener<E> {
    type Type = Pooled<E::Link>;
    type Error = ConnectError;

    async fn create(&self) -> Result<Pooled<E::Link>, ConnectError> {
        Ok(Pooled { link: self.0.connect().await?, used: None })
    }

    async fn recycle(&self, pooled: &mut Pooled<E::Link>, _: &Metrics) -> RecycleResult<ConnectError> {
        if pooled.link.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

impl<E: Engine> Connections<E> {
    /// `size` of them at most, of which so many are always left to what is brief, if there are as many.
    pub(crate) fn new(engine: Arc<E>, size: usize, brief: usize, settings: &Settings) -> Result<Self, ConnectError> {
        let patience = settings.statement_timeout.saturating_add(settings.connect_timeout);
        let waiting = settings.statement_timeout.saturating_add(engine.connecting());
        let server = engine.server().to_owned();
        let pool = Pool::builder(Opener(engine)).max_size(size).queue_mode(QueueMode::Lifo).build();
        let pool = pool.map_err(|error| ConnectError::failed(&server, error))?;
        let half = size.saturating_sub(brief).div_euclid(2).max(1);
        let [locks, readings] = [half; 2].map(|turns| Arc::new(Semaphore::new(turns)));
        Ok(Self { pool, locks, lock_timeout: settings.lock_timeout, readings, patience, waiting })
    }

    /// A connection that nobody else has; opened if none is free.
    ///
    /// # Errors
    /// [`Failure::Crowded`], where too many wait for locks; [`Failure::Unconnected`]
    pub(crate) async fn session(&self, purpose: Purpose) -> Result<Session<E>, Failure> {
        let turn = self.turn(purpose).await?;
        match tokio::time::timeout(self.waiting, self.pool.get()).await {
            Ok(Ok(object)) => Ok(Session { object: Some(object), in_order: false, _turn: turn }),
            Ok(Err(PoolError::Backend(error))) => Err(Failure::Unconnected(Arc::new(error))),
            Ok(Err(error)) => Err(Failure::Unconnected(Arc::new(error))),
            Err(elapsed) => Err(Failure::Unconnected(Arc::new(elapsed))),
        }
    }

    /// Whether who wants to wait for a lock has to wait for its turn to.
    pub(crate) fn are_waited_for(&self) -> bool {
        self.locks.available_permits() == 0
    }

    /// A turn among those who want connections for the same.
    async fn turn(&self, purpose: Purpose) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let (turns, patience) = match purpose {
            Purpose::Brief => return Ok(None),
            Purpose::Lock => (&self.locks, self.lock_timeout),
            Purpose::Reading => (&self.readings, self.waiting),
        };
        match tokio::time::timeout(patience, Arc::clone(turns).acquire_owned()).await {
            // It is never closed.
            Ok(turn) => Ok(turn.ok()),
            Err(_) if purpose == Purpose::Lock => Err(Failure::Crowded),
            Err(elapsed) => Err(Failure::Unconnected(Arc::new(elapsed))),
        }
    }

    /// Closes those that nobody has: where one was lost, the others probably are as well.
    pub(crate) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Waits for an answer, and not for ever.
    pub(crate) async fn timely<T>(&self, answer: impl Future<Output = T>) -> Result<T, Error> {
        let late = "the server did not answer in time".to_owned();
        let lost = |_| Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(late));
        tokio::time::timeout(self.patience, answer).await.map_err(lost)
    }
}

impl<E: Engine> Session<E> {
    /// The connection; none once it was given back.
    pub(crate) fn link(&mut self) -> Result<&mut E::Link, Error> {
        self.object.as_deref_mut().map(|pooled| &mut pooled.link).ok_or(Error::NotFound)
    }

    /// Whether it was used so lately that it is hardly lost.
    pub(crate) fn is_fresh(&self) -> bool {
        let used = self.object.as_deref().and_then(|pooled| pooled.used);
        used.is_some_and(|used| used.elapsed() < FRESH)
    }

    /// Its transaction ended in order: the connection may be used again.
    pub(crate) fn ended(mut self) {
        if let Some(pooled) = self.object.as_deref_mut() {
            pooled.used = Some(Instant::now());
        }
        self.in_order = true;
    }

    /// It was not used: it is what it was.
    pub(crate) fn unused(mut self) {
        self.in_order = true;
    }
}

impl<E: Engine> Drop for Session<E> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.in_order
        {
            drop(Object::take(object));
        }
    }
}
