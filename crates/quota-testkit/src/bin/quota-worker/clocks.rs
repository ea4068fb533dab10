//! Clocks that are wrong.

use std::time::Duration;

use clap::Args;
use quota_core::Instant;
use quota_service::{AnyStore, Clock, QuotaService, QuotaServiceBuilder, SystemClock};
use quota_testkit::Gated;

/// What clocks show, in seconds after the machine's.
#[derive(Debug, Args)]
pub(crate) struct Clocks {
    /// The process's own. Where none is given it goes by the server's.
    #[arg(long)]
    clock_ahead: Option<u64>,
    /// The server's, if the store has one: as if the machine's were so far behind.
    #[arg(long)]
    server_ahead: Option<u64>,
}

impl Clocks {
    /// A service over this store that goes by them.
    pub(crate) fn builder(&self, store: AnyStore) -> QuotaServiceBuilder<AnyStore> {
        let store = match self.server_ahead {
            Some(seconds) => {
                let (store, keeper) = Gated::new(store);
                keeper.set_server_ahead(Duration::from_secs(seconds));
                AnyStore::new(store)
            }
            None => store,
        };
        let builder = QuotaService::builder(store).with_stored_plans();
        match self.clock_ahead {
            Some(seconds) => builder.with_clock(Ahead(Duration::from_secs(seconds))),
            None => builder,
        }
    }
}

/// A clock that is so much ahead of the machine's.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Instant {
        SystemClock.now().saturating_add(self.0)
    }
}
