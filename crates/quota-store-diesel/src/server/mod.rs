//! What stores on a server share: batches, readings and pruning over a pool of connections.

mod alone;
mod batch;
mod builder;
mod checking;
mod engine;
mod folding;
mod kept;
mod ledger;
mod over;
mod passed_over;
mod pool;
mod public;
mod reading;
mod repeats;
mod rounds;
mod store;
mod texts;
mod words;
mod writing;

pub(crate) use crate::server::builder::ServerBuilder;
pub(crate) use crate::server::checking::{Found, check};
pub(crate) use crate::server::engine::{End, Engine, Fault, Link, Locked, NamedRow, Settings, Wait, loads};
#[cfg(feature = "postgres")]
pub(crate) use crate::server::over::{Over, Seen};
pub(crate) use crate::server::public::server_store;
pub(crate) use crate::server::store::ServerStore;
pub(crate) use crate::server::texts::{Dialect, Texts};
pub(crate) use crate::server::words::own_words;
pub(crate) use crate::server::writing::{PlanRows, Writing};
