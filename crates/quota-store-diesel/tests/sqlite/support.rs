//! A store in a folder of its own, and what the tests ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use quota_core::{
    Anchor, Answer, ClientId, Credits, Decision, EntryId, Instant, Label, Limit, Operation, OperationId, PastEntry,
    Period, Plan, PlanCheck, Quota, Ttl, Tz, Window,
};
use quota_service::{PlanStamp, PlanView, Request, StoreError, UsageStore};
use quota_store_diesel::{SqliteBuilder, SqliteStore};
use tempfile::TempDir;

pub(crate) type Answered = Result<Answer, StoreError>;

/// A file in a folder that goes with it.
pub(crate) struct File {
    pub(crate) folder: TempDir,
}

impl File {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("quota.db")
    }

    pub(crate) fn builder(&self) -> SqliteBuilder {
        SqliteStore::builder(self.path()).with_busy_timeout(Duration::from_secs(20))
    }

    pub(crate) fn store(&self) -> SqliteStore {
        self.builder().open().unwrap()
    }

    /// A connection that is not the store's.
    pub(crate) fn connection(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.path().to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 20000").unwrap();
        connection
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.connection().batch_execute(sql).unwrap();
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        number(&mut self.connection(), sql)
    }

    /// The sums that stand in the quarters, and those that the entries make.
    pub(crate) fn sums(&self) -> (Vec<Sum>, Vec<Sum>) {
        let connection = &mut self.connection();
        let kept =
            diesel::sql_query("SELECT client, quarter, label, credits, entries FROM quota_quarters ORDER BY 1, 2, 3");
        let made = diesel::sql_query(
            "SELECT client, at - at % 900000 AS quarter, label, SUM(credits) AS credits, COUNT(*) AS entries \
             FROM quota_entries GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        );
        (kept.load(connection).unwrap(), made.load(connection).unwrap())
    }
}

#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub(crate) struct Sum {
    #[diesel(sql_type = Text)]
    pub(crate) client: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) quarter: i64,
    #[diesel(sql_type = Text)]
    pub(crate) label: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) credits: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) entries: i64,
}

pub(crate) fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    diesel::sql_query(format!("SELECT ({sql}) AS n")).get_result::<Number>(connection).unwrap().n
}

pub(crate) fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

pub(crate) fn id(name: &str) -> OperationId {
    OperationId::new(name).unwrap()
}

pub(crate) fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

pub(crate) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub(crate) fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

pub(crate) fn range(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).unwrap()
}

/// A plan of one quota.
pub(crate) fn plan(period: Period, limit: &str) -> Arc<Plan> {
    let anchor = Anchor::new(at("2020-01-01T00:00:00Z"), Tz::UTC);
    Arc::new(Plan::new([Quota::new(period, Limit::Finite(credits(limit)), anchor)]).unwrap())
}

/// A plan that admits everything and still has a counter.
pub(crate) fn unlimited() -> Arc<Plan> {
    let anchor = Anchor::new(at("2020-01-01T00:00:00Z"), Tz::UTC);
    Arc::new(Plan::new([Quota::new(Period::YEAR, Limit::Unlimited, anchor)]).unwrap())
}

pub(crate) fn request(name: &str, operation: Operation, now: Instant, plan: &Arc<Plan>) -> Request {
    let stamp = PlanStamp::lasting(0);
    let plan = PlanView { plan: Some(Arc::clone(plan)), check: PlanCheck::Any, stamp };
    Request { client: client(name), operation, at: now, asked: now, plan }
}

pub(crate) fn charge(cost: &str) -> Operation {
    Operation::Charge { credits: credits(cost), id: EntryId::Absent, label: None }
}

pub(crate) fn charge_with_id(cost: &str, name: &str) -> Operation {
    Operation::Charge { credits: credits(cost), id: EntryId::Given(id(name)), label: None }
}

pub(crate) fn labelled(cost: &str, name: &str) -> Operation {
    Operation::Charge { credits: credits(cost), id: EntryId::Absent, label: Some(label(name)) }
}

pub(crate) fn hold(cost: &str, name: &str, ttl: Duration) -> Operation {
    let ttl = Ttl::new(ttl).unwrap();
    Operation::Hold { credits: credits(cost), id: EntryId::Given(id(name)), ttl, label: None, asker: None }
}

pub(crate) fn past(name: &str, when: Instant, cost: &str, of: Option<&str>) -> PastEntry {
    PastEntry { id: id(name), at: when, credits: credits(cost), label: of.map(label) }
}

pub(crate) fn backfill(entries: Vec<PastEntry>) -> Operation {
    Operation::Backfill { entries, not_after: Instant::MAX }
}

pub(crate) async fn one(store: &SqliteStore, request: Request) -> Answered {
    let mut answers = store.apply(vec![request]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

pub(crate) fn allowed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(_))) => true,
        Ok(Answer::Decision(Decision::Denied(_))) => false,
        other => panic!("no decision: {other:?}"),
    }
}

pub(crate) fn replayed(answer: &Answered) -> bool {
    matches!(answer, Ok(Answer::Decision(Decision::Allowed(allowed))) if allowed.replayed())
}

/// What the only quota of a decision or a status says is used.
pub(crate) fn used(answer: &Answered) -> String {
    let quotas = match answer {
        Ok(Answer::Decision(decision)) => decision.quotas().unwrap(),
        Ok(Answer::Status(status)) => status.quotas(),
        other => panic!("no quotas: {other:?}"),
    };
    quotas.as_slice()[0].used().to_string()
}

/// Day and label to credits and entries.
pub(crate) fn days(days: &[quota_core::DayUsage]) -> BTreeMap<(String, String), (String, u64)> {
    let key = |day: &quota_core::DayUsage| {
        (day.day.to_string(), day.label.as_ref().map_or_else(String::new, ToString::to_string))
    };
    days.iter().map(|day| (key(day), (day.credits.to_string(), day.entries))).collect()
}
