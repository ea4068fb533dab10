//! The store.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, ClientId, Credits, DayUsage, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesCursor, EntriesPage, EntriesQuery, HeldClients, KeptAccounts, Pruned,
    Request, StoreError, StoredPlan,
};

use crate::connect_error::ConnectError;
use crate::failure::Failure;
use crate::server::batch::Applying;
use crate::server::builder::ServerBuilder;
use crate::server::engine::Engine;
use crate::server::pool::Connections;
use crate::server::reading::{Clients, Daily, Health, Page, PlanOf, Reading, Time, Total, read};
use crate::server::repeats::Repeats;

/// So many requests of one client in a batch are worth a transaction of their own: others in many processes may want
/// its lock as well.
const HOT: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// So many accounts are kept, those used last.
const KEPT_ACCOUNTS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How long it may take in all to check a server and to make the tables: longer than one lock and one statement of it may, which
/// servers bound themselves as far as they can.
const PREPARING: Duration = Duration::from_secs(150);

/// Keeps usage and plans on a database server, which any number of stores in any number of processes may share.
///
/// Every batch is one transaction that locks the accounts of its clients in the order of their bytes, or finds them as it has kept
/// them; it is answered when the server has committed. Dropping a batch's future closes its connection: the batch is done or not, never half.
pub(crate) struct ServerStore<E: Engine> {
    server: String,
    prefix: String,
    lanes: NonZeroUsize,
    max_batch: NonZeroUsize,
    pub(super) applying: Applying<E>,
}

impl<E: Engine> ServerStore<E> {
    pub(super) async fn connect_with(builder: &ServerBuilder<E>) -> Result<Self, ConnectError> {
        let engine = Arc::new(E::new(&builder.url, &builder.settings)?);
        let mut link = engine.connect().await?;
        timely(engine.server(), engine.prepare(&mut link)).await?;
        let connections =
            Connections::new(Arc::clone(&engine), builder.pool_size.get(), builder.lanes.get(), &builder.settings)?;
        Ok(Self {
            server: engine.server().to_owned(),
            prefix: builder.settings.prefix.as_str().to_owned(),
            lanes: builder.lanes,
            max_batch: builder.max_batch,
            applying: Applying {
                connections,
                held: HeldClients::default(),
                kept: KeptAccounts::new(KEPT_ACCOUNTS),
                repeats: Repeats::default(),
                terms: builder.terms,
                patience: builder.settings.lock_timeout,
            },
        })
    }

    async fn read<R: Reading>(&self, reading: &R) -> Result<R::Output, StoreError> {
        Ok(read(&self.applying.connections, reading).await?)
    }

    /// Reads what rows of a client say; once more where rows that a large deletion has left were in the way.
    async fn read_of<R: Reading>(&self, client: &ClientId, reading: &R) -> Result<R::Output, StoreError> {
        loop {
            match read(&self.applying.connections, reading).await {
                Err(Failure::Unfinished) => self.finish_deletion(client).await?,
                done => return Ok(done?),
            }
        }
    }
}

impl<E: Engine> fmt::Debug for ServerStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, prefix) = (&self.server, &self.prefix);
        f.debug_struct("ServerStore").field("server", server).field("prefix", prefix).finish_non_exhaustive()
    }
}

impl<E: Engine> ServerStore<E> {
    pub(crate) fn dispatch(&self) -> Dispatch {
        Dispatch::Batched { lanes: self.lanes, max_batch: self.max_batch, hot: Some(HOT) }
    }

    pub(crate) fn is_held(&self, client: &ClientId) -> bool {
        self.applying.held.is_held(client)
    }

    pub(crate) async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        if batch.is_empty() { Vec::new() } else { self.applying.apply(batch).await }
    }

    pub(crate) async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        Ok(self.read_of(client, &Total(client, range)).await??)
    }

    pub(crate) async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        Ok(self.read_of(client, &Daily(client, query)).await??)
    }

    pub(crate) async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let range = query.range;
        let after = match &query.after {
            Some(cursor) => EntriesCursor::read(cursor, range)?,
            None => EntriesCursor::before(range),
        };
        self.read_of(client, &Page { client, after, range, limit: query.limit.max(1) }).await
    }

    pub(crate) async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.read(&Clients(query)).await
    }

    pub(crate) async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.applying.fold_before(before).await
    }

    pub(crate) async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        Ok(self.applying.take_out(client).await.map(|_| ())?)
    }

    pub(crate) async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.read(&Time).await.map(Some)
    }

    pub(crate) async fn health(&self) -> Result<(), StoreError> {
        if self.read(&Health).await? {
            return Ok(());
        }
        // A new connection may find the server that took over.
        self.applying.connections.close_idle();
        Err(StoreError::NotDone { message: "the server is read-only".to_owned(), source: None })
    }

    pub(crate) async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        self.read(&PlanOf(client)).await
    }
}

/// Waits for the server, not for ever.
async fn timely(server: &str, prepared: impl Future<Output = Result<(), ConnectError>>) -> Result<(), ConnectError> {
    let late = |_| {
        let seconds = PREPARING.as_secs();
        let message = format!(
            "its tables were not looked at or made within {seconds} s: look for what holds locks on them there, and open again"
        );
        ConnectError::Unsuited { server: server.to_owned(), message }
    };
    tokio::time::timeout(PREPARING, prepared).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opening_waits_for_no_server_for_ever() {
        let error = timely("MySQL at db:3306", std::future::pending()).await.unwrap_err().to_string();
        let said = "MySQL at db:3306 cannot be used: its tables were not looked at or made within 150 s: ";
        assert!(error.starts_with(said), "{error}");
    }
}
