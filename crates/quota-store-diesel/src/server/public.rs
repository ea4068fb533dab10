//! The public face of a store on one engine.

/// Makes the public store and builder of an engine from [`crate::server::ServerStore`] and
/// [`crate::server::ServerBuilder`], which stay this crate's own.
macro_rules! server_store {
    ($(#[$store_doc:meta])* $store:ident, $(#[$builder_doc:meta])* $builder:ident, $engine:ty) => {
        $(#[$store_doc])*
        #[derive(Debug)]
        pub struct $store(ServerStore<$engine>);

        $(#[$builder_doc])*
        #[derive(Debug)]
        #[must_use]
        pub struct $builder(ServerBuilder<$engine>);

        impl $store {
            #[doc = concat!("Connects with the defaults of [`", stringify!($builder), "`], makes or upgrades the tables.")]
            ///
            /// # Errors
            /// [`ConnectError`]
            pub async fn connect(url: &str) -> Result<Self, ConnectError> {
                Self::builder(url).connect().await
            }

            /// Begins to choose how to connect.
            pub fn builder(url: &str) -> $builder {
                $builder(ServerBuilder::new(url))
            }
        }

        impl $builder {
            /// Names the tables with this prefix. Stores with different prefixes share a database without seeing each
            /// other.
            pub fn with_prefix(self, prefix: TablePrefix) -> Self {
                Self(self.0.with_prefix(prefix))
            }

            /// The greatest number of connections, 10 by default. They are opened when they are needed. As many as there are lanes
            /// are left to batches, plans and health; the rest is shared by halves between who waits for accounts that others
            /// hold, and who reads usage. Fewer than two more than lanes make each wait for the other.
            pub fn with_pool_size(self, connections: NonZeroUsize) -> Self {
                Self(self.0.with_pool_size(connections))
            }

            /// How many batches may be in flight at once, 2 by default. More keep a server with many processors busy;
            /// fewer make larger batches.
            pub fn with_lanes(self, lanes: NonZeroUsize) -> Self {
                Self(self.0.with_lanes(lanes))
            }

            /// The greatest number of operations in one commit, 256 by default.
            pub fn with_max_batch(self, max_batch: NonZeroUsize) -> Self {
                Self(self.0.with_max_batch(max_batch))
            }

            /// How long another transaction's lock is waited for, 4 s by default; after that nothing was done. MySQL
            /// counts in whole seconds.
            pub fn with_lock_timeout(self, timeout: Duration) -> Self {
                Self(self.0.with_lock_timeout(timeout))
            }

            /// How long one statement may take, 10 s by default.
            pub fn with_statement_timeout(self, timeout: Duration) -> Self {
                Self(self.0.with_statement_timeout(timeout))
            }

            /// How long a new connection may take, 5 s by default; for each host, where the URL of PostgreSQL names several.
            pub fn with_connect_timeout(self, timeout: Duration) -> Self {
                Self(self.0.with_connect_timeout(timeout))
            }

            /// Trusts servers whose certificate was signed by one of these (PEM). By default those are trusted that
            /// the system trusts, or whom the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Needs the feature
            /// `tls`, and a URL that asks for an encrypted connection.
            pub fn with_root_certificates(self, pem: &[u8]) -> Self {
                Self(self.0.with_root_certificates(pem))
            }

            /// For how long the sums of quarters are kept; for ever by default. A pruning forgets older ones, and what
            /// was used then is read back as nothing. A plan with a window that may last longer
            /// ([`quota_core::Period::longest`]) is refused. Every store on these tables should be given the same.
            pub fn with_retention(self, retention: Duration) -> Self {
                Self(self.0.with_retention(retention))
            }

            /// Connects, checks the server, makes or upgrades the tables. Start-ups at the same time make them once.
            ///
            /// # Errors
            /// [`ConnectError`]
            pub async fn connect(&self) -> Result<$store, ConnectError> {
                self.0.connect().await.map($store)
            }
        }

        impl UsageStore for $store {
            fn dispatch(&self) -> Dispatch {
                self.0.dispatch()
            }

            fn detail(&self) -> Detail {
                Detail::Entries
            }

            fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
                None
            }

            fn is_held(&self, client: &ClientId) -> bool {
                self.0.is_held(client)
            }

            async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
                self.0.apply(batch).await
            }

            async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
                self.0.total(client, range).await
            }

            async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
                self.0.daily(client, query).await
            }

            async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
                self.0.entries(client, query).await
            }

            async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
                self.0.clients(query).await
            }

            async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
                self.0.prune(before).await
            }

            async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
                self.0.finish_deletion(client).await
            }

            async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
                self.0.server_time().await
            }

            async fn health(&self) -> Result<(), StoreError> {
                self.0.health().await
            }
        }

        #[async_trait]
        impl PlanStore for $store {
            async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
                self.0.stored_plan(client).await
            }
        }
    };
}

pub(crate) use server_store;
