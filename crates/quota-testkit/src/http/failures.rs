//! A store that cannot answer, and a limit that is reached.

use std::time::Duration;

use http::Method;
use quota_core::{Answer as StoreAnswer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, OnStoreError, PlainCharge, Pruned, Request,
    StoreError, UsageStore,
};

use crate::http::HttpHarness;
use crate::http::answer::Answer;
use crate::http::ground::{Failing, Ground, Setting, request};

pub fn a_store_that_fails_closed_is_unavailable_and_tells_nothing<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/one").status, 200);
    ground.fail(true);
    for path in ["/one", "/half", "/compute?credits=1", "/answer?status=200"] {
        let answer = ground.get(path);
        assert_eq!(answer.status, 503, "{path}");
        answer.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
        assert_eq!(
            answer.body,
            concat!(
                r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
                r#""title":"Request cannot be satisfied due to temporary server capacity constraints","status":503,"#,
                r#""detail":"the request could not be metered; try again"}"#
            )
        );
    }
    ground.fail(false);
    ground.assert_used("1");
}

pub fn a_store_that_fails_is_not_asked_again_for_the_headers<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.fail(true);
    for path in ["/one", "/compute?credits=1", "/generate?max=1&actual=1", "/answer?status=200"] {
        let before = ground.asked();
        assert_eq!(ground.get(path).status, 503, "{path}");
        // Each time a client may have waited for as long as the service's deadline.
        assert_eq!(ground.asked() - before, 1, "{path}");
    }
}

pub fn a_store_that_fails_open_runs_without_headers<H: HttpHarness>() {
    let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
    ground.fail(true);
    for path in ["/one", "/compute?credits=1", "/answer?status=200", "/generate?max=1&actual=1", "/twice"] {
        let answer = ground.get(path);
        assert_eq!(answer.status, 200, "{path}");
        answer.assert_no_quota();
    }
    let streamed = ground.get("/stream?max=1&chunks=1");
    assert_eq!((streamed.status, streamed.body.as_str()), (200, "x"));
    streamed.assert_no_quota();
}

/// Asks for what waits with four credits held, lets the store fail, and lets it go on; the answer.
fn fails_while_held<H: HttpHarness>(ground: &Ground<H>, path: &str) -> Answer {
    let asked = ground.begin(request(Method::GET, path));
    ground.wait_for_held("4");
    ground.fail(true);
    ground.pause().end();
    let answer = asked.answer().unwrap();
    ground.fail(false);
    ground.pause().begin();
    answer
}

const HELD: [&str; 2] = ["/answer?status=200&work=wait", "/generate?max=4&actual=4&work=wait"];

pub fn what_cannot_be_settled_is_unavailable<H: HttpHarness>() {
    for path in HELD {
        let ground = Setting::<H>::ten().serve();
        let answer = fails_while_held(&ground, path);
        assert_eq!(answer.status, 503, "{path}");
        answer.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
        assert!(answer.body.contains("the request could not be metered; try again"), "{answer:?}");
        // What the client was told was not done is not charged, now or later.
        ground.clock().advance(Duration::from_secs(6 * 60));
        ground.wait_for_held("0");
        ground.assert_used("0");
    }
}

pub fn what_cannot_be_settled_is_answered_where_the_service_fails_open<H: HttpHarness>() {
    for path in HELD {
        let ground = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
        let answer = fails_while_held(&ground, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

pub fn no_more_than_the_limit_runs_over_all_routes<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let ran = (0..64).filter(|number| {
        let path = if number % 2 == 0 { "/one" } else { "/by-query?n=1" };
        ground.send(request(Method::GET, path)).status == 200
    });
    assert_eq!(ran.count(), 10);
    ground.assert_used("10");
}

pub fn no_more_than_the_limit_runs_at_the_same_time<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let paths = ["/one", "/by-query?n=1", "/compute?credits=1", "/generate?max=1&actual=1"];
    let asked: Vec<_> = paths.iter().cycle().take(32).map(|path| ground.begin(request(Method::GET, path))).collect();
    let mut statuses: Vec<u16> = asked.into_iter().map(|asked| asked.answer().unwrap().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429; 22]].concat());
    ground.assert_used("10");
}

impl UsageStore for Failing {
    fn dispatch(&self) -> Dispatch {
        self.store().dispatch()
    }

    fn detail(&self) -> Detail {
        self.store().detail()
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.check().ok().and_then(|()| self.store().charge_now(charge))
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<StoreAnswer, StoreError>> {
        self.count();
        match self.check() {
            Ok(()) => self.store().apply(batch).await,
            Err(error) => batch.iter().map(|_| Err(error.again())).collect(),
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.check()?;
        self.store().total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.check()?;
        self.store().daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.check()?;
        self.store().entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.check()?;
        self.store().clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.check()?;
        self.store().prune(before).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.check()?;
        self.store().server_time().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check()
    }
}
