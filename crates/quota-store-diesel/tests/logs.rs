//! What is logged while a server refuses, goes and comes back.

use std::error::Error;
use std::io::{Result as Written, Write};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use quota_core::{Anchor, ClientId, Credits, Limit, Period, Plan, Quota, Tz, Window};
use quota_servers::Server;
use quota_service::{PlanStore, QuotaService, UsageStore};
use quota_store_diesel::{ConnectError, MysqlStore, PostgresStore};

/// What this process has logged: every crate of it, at every level.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is written to it.
struct Log;

impl Log {
    fn begin() {
        static BEGUN: Once = Once::new();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        BEGUN.call_once(|| lines.with_writer(|| Self).init());
    }

    /// The lines that hold this.
    fn lines(word: &str) -> Vec<String> {
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Written<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> Written<()> {
        Ok(())
    }
}

/// Logs an error as an application may: whole, and each of its causes.
fn log(error: &(dyn Error + 'static)) {
    tracing::error!(?error, "met: {error}");
    error.source().into_iter().for_each(log);
}

async fn use_it(service: &QuotaService<impl UsageStore>, client: &ClientId) {
    if let Err(error) = service.charge(client, Credits::ONE).await {
        log(&error);
    }
    if let Err(error) = service.total_usage(client, Window::ALL).await {
        log(&error);
    }
    if let Err(error) = service.health().await {
        log(&error);
    }
}

fn check<S: UsageStore + PlanStore>(kind: Server, connect: &impl AsyncFn(&str) -> Result<S, ConnectError>) {
    let Some(mut server) = quota_servers::private(kind) else { return };
    Log::begin();
    let url = server.url().to_owned();
    let password = url.split(['@', '/', ':']).nth(4).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let refused = connect(&url.replace(password, "hunter2secret")).await.err().unwrap();
        assert!(matches!(refused, ConnectError::Refused { .. }), "{refused:?}");
        log(&refused);
        let service = QuotaService::new(connect(&url).await.unwrap());
        let client = ClientId::new("a").unwrap();
        let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
        let plan = Plan::new([Quota::new(Period::YEAR, Limit::Unlimited, anchor)]).unwrap();
        service.set_plan(&client, plan).await.unwrap();
        use_it(&service, &client).await;
        tokio::task::block_in_place(|| server.kill());
        use_it(&service, &client).await;
        log(&connect(&url).await.err().unwrap());
        tokio::task::block_in_place(|| server.restart()).unwrap();
        let back = async {
            while service.health().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
        use_it(&service, &client).await;
        assert!(service.charge(&client, Credits::ONE).await.unwrap().is_allowed());
        service.shutdown().await;
    });
    let met = Log::lines("met: ");
    assert!(met.len() > 4, "what is logged is seen here: {met:?}");
    for secret in ["hunter2secret", password] {
        assert_eq!(Log::lines(secret), Vec::<String>::new());
    }
}

#[test]
fn no_password_of_postgresql_is_ever_logged() {
    check(Server::Postgres, &async |url| PostgresStore::connect(url).await);
}

#[test]
fn no_password_of_mysql_is_ever_logged() {
    check(Server::Mysql, &async |url| MysqlStore::connect(url).await);
}
