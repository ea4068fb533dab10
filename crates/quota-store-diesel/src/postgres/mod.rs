//! The store on PostgreSQL.

pub(crate) mod engine;
mod hosts;
mod link;
mod opening;
mod statement;
mod texts;

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};

use crate::connect_error::ConnectError;
use crate::postgres::engine::Postgres;
use crate::prefix::TablePrefix;
use crate::server::{ServerBuilder, ServerStore, server_store};

server_store! {
    /// Keeps usage and plans on PostgreSQL 12 or newer, which any number of stores in any number of processes may share.
    ///
    /// Every batch is one transaction that locks the accounts of its clients in the order of their bytes; it is answered
    /// when the server has committed. It costs two round trips, and one where the store has kept the accounts of its clients
    /// (those of the last 16,384) and nobody else has written them since. Dropping a batch's future closes its connection: the
    /// batch is done or not, never half done.
    PostgresStore,
    /// How to connect to PostgreSQL. The URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `?sslmode=require`
    /// for an encrypted connection to a server that is verified.
    ///
    /// ```no_run
    /// use quota_store_diesel::{PostgresStore, TablePrefix};
    ///
    /// # async fn connect() -> Result<(), quota_store_diesel::ConnectError> {
    /// let store = PostgresStore::builder("postgres://app:secret@localhost/app")
    ///     .with_prefix(TablePrefix::new("billing_")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    PostgresBuilder,
    Postgres
}
