//! A primary of a cluster that does not answer, and the clients of the others.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{Anchor, ClientId, Credits, Decision, Detail, Limit, Period, Plan, Quota, Tz, Window};
use quota_servers::PrivateServer;
use quota_service::{ClientsQuery, PlanRegistry, QuotaService, ServiceError, UsageStore};
use quota_store_redis::RedisStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::load::charge_until_allowed;
use crate::requests::{agreed_usage, allowed, charge_one, client, credits, is_not_done};
use crate::servers::{Place, keep_parts, private_cluster, serve_parts, tell, url_of};

/// Each charges a client of its own.
const CALLERS: usize = 64;

/// For so long a primary is away.
const AWAY: Duration = Duration::from_secs(12);

/// By then it has been found silent, once in each of the service's lanes.
const FOUND_WITHIN: Duration = Duration::from_secs(4);

/// By then a primary's replica has its place, and is asked.
const REPLACED_WITHIN: Duration = Duration::from_secs(9);

/// Within the service's deadline, and on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_is_silent_keeps_nobody_waiting_but_its_own_clients() {
    stays_away(Parts::Kept, fall_silent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_is_gone_keeps_nobody_waiting_but_its_own_clients() {
    stays_away(Parts::Kept, async |server| {
        tokio::task::block_in_place(|| server.nodes_mut()[0].kill());
        tokio::time::sleep(AWAY).await;
        tokio::task::block_in_place(|| server.nodes_mut()[0].restart()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_whose_machine_is_gone_keeps_nobody_waiting_but_its_own_clients() {
    stays_away(Parts::Kept, lose_machine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_whose_machine_is_gone_and_that_is_replaced_keeps_nobody_waiting_but_its_own_clients() {
    stays_away(Parts::Moved, lose_machine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_is_silent_and_that_is_replaced_keeps_nobody_waiting_but_its_own_clients() {
    stays_away(Parts::Moved, fall_silent).await;
}

async fn fall_silent(server: &mut PrivateServer) {
    server.nodes()[0].pause();
    tokio::time::sleep(AWAY).await;
    server.nodes()[0].resume();
}

/// Connections to it are not refused any more, and nobody is heard on them.
async fn lose_machine(server: &mut PrivateServer) {
    tokio::task::block_in_place(|| server.nodes_mut()[0].kill());
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, server.nodes()[0].port())).await.unwrap();
    tokio::time::sleep(AWAY).await;
    drop(nobody);
    tokio::task::block_in_place(|| server.nodes_mut()[0].restart()).unwrap();
}

/// Its connections last, and nobody tells that another has its part by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_clients_of_a_primary_that_is_silent_find_the_one_that_replaces_it() {
    let Some((server, place)) = private_cluster() else { return };
    let builder = place.builder().with_detail(Detail::Entries).with_response_timeout(Duration::from_secs(2));
    let store = builder.with_connect_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let names: Vec<String> = (0..12).map(|number| format!("client{number}")).collect();
    charge_until_allowed(&store, &names).await;
    server.nodes()[0].pause();
    charge_until_allowed(&store, &names).await;
    for name in &names {
        assert!(agreed_usage(&store, name).await >= Credits::ONE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_client_is_charged_where_what_all_clients_share_is_silent() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let store = store(&place).await;
    let mut names = Vec::new();
    for shared in ["format", "detail"] {
        let silent = place_of(&server, &place.key(shared));
        let fresh = (0..).map(|number| format!("{shared}{number}"));
        let fresh: Vec<String> = fresh.filter(|name| place_of(&server, name) != silent).take(12).collect();
        server.nodes()[silent].pause();
        for name in &fresh {
            let asked = Instant::now();
            assert!(allowed(&charge_one(&store, name, "1").await), "{name}");
            assert!(asked.elapsed() < SOON, "{name}: {:?}", asked.elapsed());
        }
        server.nodes()[silent].resume();
        names.extend(fresh);
        // Whose list was silent is listed with the next charge, at the latest.
        charge_until_allowed(&store, &names).await;
        charge_until_allowed(&store, &names).await;
    }
    names.sort();
    assert_eq!(listed_by(&store).await, names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_in_whose_place_another_was_made_takes_no_new_clients_in_a_cluster() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let store = place.store(Detail::Entries).await;
    assert!(allowed(&charge_one(&store, "known", "1").await));
    for node in &server.nodes()[..3] {
        tell(&url_of(node), "FLUSHALL").await.unwrap();
    }
    let other = place.store(Detail::Quarters).await;
    let mut refused = 0;
    for number in 0..6 {
        let answer = charge_one(&store, &format!("new{number}"), "1").await;
        if answer.is_err() {
            assert!(is_not_done(&answer) && format!("{answer:?}").contains("open this one again"), "{answer:?}");
            refused += 1;
        }
    }
    // A machine with much to do may be too slow for one of them.
    assert!(refused > 3, "{refused}");
    assert!(allowed(&charge_one(&other, "another", "1").await));
}

async fn store(place: &Place) -> RedisStore {
    RedisStore::builder(&place.url).with_prefix(place.prefix.clone()).connect().await.unwrap()
}

/// Which of the primaries has a key's slot.
fn place_of(server: &PrivateServer, key: &str) -> usize {
    let slot: u32 = server.nodes()[1].ask_redis(&format!("CLUSTER KEYSLOT {key}")).unwrap().parse().unwrap();
    usize::from(slot > 5_460) + usize::from(slot > 10_922)
}

async fn listed_by(store: &RedisStore) -> Vec<String> {
    let query = ClientsQuery { limit: 100, ..ClientsQuery::default() };
    store.clients(&query).await.unwrap().iter().map(ToString::to_string).collect()
}

/// What becomes of the part of a primary that is away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Kept,
    /// Its replica has it.
    Moved,
}

/// Callers of a service charge clients of all primaries while the first is away and comes back.
async fn stays_away(parts: Parts, away: impl AsyncFnOnce(&mut PrivateServer)) {
    let Some((mut server, place)) = private_cluster() else { return };
    match parts {
        Parts::Kept => keep_parts(&server).await,
        Parts::Moved => serve_parts(&server).await,
    }
    let names: Vec<String> = (0..CALLERS).map(|number| format!("client{number}")).collect();
    let places: Vec<usize> = names.iter().map(|name| place_of(&server, name)).collect();
    let service = Arc::new(QuotaService::builder(store(&place).await).with_registry(plans()).build());
    let callers = Callers::begin(&service, &names);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gone = Instant::now();
    away(&mut server).await;
    let back = Instant::now();
    // A node that was started again says for a while that it waits for the others.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let charges = callers.end().await;
    let late = back + Duration::from_secs(6);
    for ((name, place), charges) in names.iter().zip(places).zip(&charges) {
        charges.iter().filter(|charge| place != 0 || charge.asked > late).for_each(|charge| {
            let is_found = charge.asked > gone + FOUND_WITHIN;
            assert!(charge.is_allowed(), "{name}, {:?} after: {charge:?}", charge.asked.checked_duration_since(gone));
            assert!(!is_found || charge.took < SOON, "{name}: {charge:?}");
        });
        let meanwhile = charges.iter().filter(|charge| charge.asked > gone + FOUND_WITHIN && charge.asked < back);
        assert!(place == 0 || meanwhile.count() > 20, "{name} was not charged meanwhile");
        let replaced = |charge: &Charge| charge.asked > gone + REPLACED_WITHIN && charge.asked < back;
        let is_replaced = charges.iter().any(|charge| charge.is_allowed() && replaced(charge));
        assert!(parts == Parts::Kept || is_replaced, "{name} was not charged where its primary was replaced");
        assert!(charges.iter().any(|charge| charge.asked > late), "{name} was not charged after it");
        let used = agreed_usage(service.store(), name).await;
        // What a primary has not told its replica is lost with it.
        let is_sure = |charge: &Charge| charge.is_allowed() && (parts == Parts::Kept || place != 0);
        let sure = charges.iter().filter(|charge| is_sure(charge)).count();
        let most = charges.iter().filter(|charge| charge.may_be_done()).count();
        assert!((count(sure)..=count(most)).contains(&used), "{name}: {used} of {sure} to {most}");
        assert_eq!(used, service.store().total(&client(name), Window::ALL).await.unwrap());
    }
}

fn count(charges: usize) -> Credits {
    credits(&charges.to_string())
}

fn plans() -> PlanRegistry {
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let quota = Quota::new(Period::YEAR, Limit::Finite(credits("1000000")), anchor);
    PlanRegistry::new().with_default(Plan::new([quota]).unwrap())
}

/// Callers who charge one credit again and again.
struct Callers {
    ended: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Charge>>>,
}

#[derive(Debug)]
struct Charge {
    asked: Instant,
    took: Duration,
    answer: Result<Decision, ServiceError>,
}

impl Callers {
    fn begin(service: &Arc<QuotaService<RedisStore>>, names: &[String]) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let caller = |name: &String| {
            let (service, ended, client) = (Arc::clone(service), Arc::clone(&ended), client(name));
            tokio::spawn(async move { go_on(&service, &client, &ended).await })
        };
        Self { tasks: names.iter().map(caller).collect(), ended }
    }

    async fn end(self) -> Vec<Vec<Charge>> {
        self.ended.store(true, Ordering::Relaxed);
        let mut charges = Vec::new();
        for task in self.tasks {
            charges.push(task.await.unwrap());
        }
        charges
    }
}

async fn go_on(service: &QuotaService<RedisStore>, client: &ClientId, ended: &AtomicBool) -> Vec<Charge> {
    let mut charges = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = service.charge(client, Credits::ONE).await;
        charges.push(Charge { asked, took: asked.elapsed(), answer });
        // A machine with little to spare has other tests to run.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    charges
}

impl Charge {
    fn is_allowed(&self) -> bool {
        matches!(self.answer, Ok(Decision::Allowed(_)))
    }

    fn may_be_done(&self) -> bool {
        self.is_allowed() || matches!(self.answer, Err(ServiceError::Unknown { .. }))
    }
}
