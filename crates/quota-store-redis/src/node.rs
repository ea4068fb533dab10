//! One connection to one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quota_service::Together;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Pipeline, PushInfo, PushKind, RedisError, Value};

use crate::call_error::CallError;
use crate::listener::Ear;

/// How long the driver waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) answer: Duration,
    /// For so long a server may wait for replicas before it answers.
    pub(crate) replicas: Duration,
}

impl Timeouts {
    /// How long one of several servers is waited for, of which nothing is heard while others answer.
    pub(crate) fn silence(self) -> Duration {
        (self.answer.saturating_mul(2) / 5).saturating_add(self.replicas)
    }
}

/// Whom to connect to.
pub(crate) enum Source {
    Single(Box<Client>),
    /// The primary that the sentinels name, asked anew at each connection. Each has a client of its own: nobody waits for one
    /// whose runtime is driven no more.
    Sentinel(Box<dyn Fn() -> Result<SentinelClient, RedisError> + Send + Sync>),
    /// The first of these that answers.
    Any(Vec<Client>),
}

/// One connection that many commands share, made at the first command and again after it was lost.
///
/// The driver's own connection manager is not used: it cannot tell a command that was never sent from one that was, and
/// does not ask sentinels again.
pub(crate) struct Node {
    way: Way,
    live: Arc<Mutex<Option<Live>>>,
    connecting: Together<Result<Live, RedisError>>,
}

/// How it is connected.
#[derive(Clone)]
struct Way {
    source: Arc<Source>,
    timeouts: Timeouts,
    ear: Option<Arc<Ear>>,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    lost: Arc<AtomicBool>,
}

impl Node {
    pub(crate) fn new(source: Arc<Source>, timeouts: Timeouts) -> Self {
        Self::by(Way { source, timeouts, ear: None })
    }

    /// One that hears what is said on a channel.
    pub(crate) fn listening(source: Arc<Source>, timeouts: Timeouts, ear: Ear) -> Self {
        Self::by(Way { source, timeouts, ear: Some(Arc::new(ear)) })
    }

    fn by(way: Way) -> Self {
        Self { way, live: Arc::default(), connecting: Together::default() }
    }

    /// Whether there is a connection that is not known to be lost.
    pub(crate) fn is_connected(&self) -> bool {
        self.ready().is_some()
    }

    /// Connects, if it is not connected, and finds out whether the connection answers.
    pub(crate) async fn ping(&self) {
        drop(self.run(async |connection| redis::cmd("PING").query_async::<Value>(connection).await).await);
    }

    /// Connects, if it is not connected.
    pub(crate) async fn connected(&self) -> Result<(), RedisError> {
        self.live().await.map(drop)
    }

    /// Runs a command on the connection, which it is given a clone of.
    pub(crate) async fn run<T>(
        &self,
        run: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, CallError> {
        let mut live = self.live().await.map_err(CallError::NotSent)?;
        let ran = run(&mut live.connection).await.map_err(CallError::sent);
        if ran.as_ref().is_err_and(CallError::ends_connection) {
            live.lost.store(true, Ordering::Release);
        }
        ran
    }

    /// Runs commands in one message, and gives the answers behind the first `skipped`, each judged by itself: what the
    /// server refuses of one says nothing of the others.
    pub(crate) async fn run_each(
        &self,
        commands: &Pipeline,
        skipped: usize,
        count: usize,
    ) -> Vec<Result<Value, CallError>> {
        let mut live = match self.live().await {
            Ok(live) => live,
            Err(error) => return vec![Err(CallError::NotSent(error)); count],
        };
        let answered = live.connection.req_packed_commands(commands, skipped, count).await;
        let answers = CallError::each(answered, count);
        if answers.iter().any(|answer| answer.as_ref().is_err_and(CallError::ends_connection)) {
            live.lost.store(true, Ordering::Release);
        }
        answers
    }

    fn ready(&self) -> Option<Live> {
        ready(&self.live)
    }

    /// Who connects meanwhile is waited for, and shares what came of it: they don't try one after the other.
    async fn live(&self) -> Result<Live, RedisError> {
        if let Some(live) = self.ready() {
            return Ok(live);
        }
        let connecting = self.connecting.ask(|| self.connect());
        // Sentinels are asked over connections of their own.
        let patience = self.way.timeouts.connect.saturating_mul(2);
        tokio::time::timeout(patience, connecting.clone()).await.unwrap_or_else(|_| {
            self.connecting.forget(&connecting);
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
        })
    }

    /// Boxed: the driver's futures are so deep in each other that a caller who spawns a task would meet the compiler's
    /// recursion limit.
    fn connect(&self) -> BoxFuture<'static, Result<Live, RedisError>> {
        let (way, place) = (self.way.clone(), Arc::clone(&self.live));
        let connect = async move {
            // Who connected before may have been done just now.
            if let Some(live) = ready(&place) {
                return Ok(live);
            }
            let live = way.connect().await?;
            *place.lock() = Some(live.clone());
            Ok(live)
        };
        connect.boxed()
    }
}

impl Way {
    async fn connect(&self) -> Result<Live, RedisError> {
        let lost = Arc::new(AtomicBool::new(false));
        let (notice, ear) = (Arc::clone(&lost), self.ear.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.answer))
            .set_pipeline_buffer_size(1_024)
            .set_write_backpressure_boundary(256 * 1_024)
            // A connection that ends while nothing is asked is noticed before the next command is sent on it.
            .set_push_sender(move |push: PushInfo| -> Result<(), redis::aio::SendError> {
                if push.kind == PushKind::Disconnection {
                    notice.store(true, Ordering::Release);
                }
                if let Some(ear) = &ear {
                    ear.hear(&push);
                }
                Ok(())
            });
        let mut connection = match &*self.source {
            Source::Single(client) => client.get_multiplexed_async_connection_with_config(&config).await,
            Source::Sentinel(asking) => {
                let client = asking()?.async_get_client().await?;
                client.get_multiplexed_async_connection_with_config(&config).await
            }
            Source::Any(clients) => any(clients, &config).await,
        }?;
        if let Some(ear) = &self.ear {
            connection.subscribe(&ear.channel).await?;
        }
        Ok(Live { connection, lost })
    }
}

fn ready(live: &Mutex<Option<Live>>) -> Option<Live> {
    live.lock().as_ref().filter(|live| !live.lost.load(Ordering::Acquire)).cloned()
}

async fn any(clients: &[Client], config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, RedisError> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound).into();
    // Not always in this order: to wait for one that does not answer may take all the time there is.
    let first = usize::from(uuid::Uuid::new_v4().as_bytes()[0]);
    for client in clients.iter().cycle().skip(first).take(clients.len()) {
        match client.get_multiplexed_async_connection_with_config(config).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}
