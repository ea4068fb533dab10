//! Clients that go away, where connections are not half closed.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use quota_actix::{ClientBy, ClientQuota, QuotaLayer, Refused};
use quota_core::{Anchor, ClientId, Credits, Limit, Period, Plan, Quota, Tz};
use quota_service::{PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;

async fn never_ends(quota: ClientQuota) -> Result<&'static str, Refused> {
    let _held = quota.hold(Credits::ONE).await?;
    std::future::pending::<()>().await;
    Ok("it has ended")
}

#[actix_web::test]
async fn a_client_that_goes_away_ends_its_handler_which_releases_its_hold() {
    let client = ClientId::new("client1").unwrap();
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let plan = Plan::new([Quota::new(Period::YEAR, Limit::Finite("10".parse().unwrap()), anchor)]).unwrap();
    let plans = PlanRegistry::new().with(client.clone(), plan);
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans).build();
    let quota = QuotaLayer::new(service.clone(), ClientBy::header("X-Client-Id").unwrap()).without_charge();
    let app = move || App::new().service(web::resource("/").route(web::get().to(never_ends)).wrap(quota.clone()));
    let server = HttpServer::new(app).workers(1).disable_signals().h1_allow_half_closed(false);
    let server = server.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let held = async |credits: &str| {
        let status = service.status(&client).await.unwrap();
        status.lowest().unwrap().held().to_string() == credits
    };
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Client-Id: client1\r\n\r\n").unwrap();
    let until_held = async |credits: &str| {
        while !held(credits).await {
            actix_web::rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(20);
    actix_web::rt::time::timeout(patience, until_held("1")).await.unwrap();
    drop(connection);
    actix_web::rt::time::timeout(patience, until_held("0")).await.unwrap();
    assert_eq!(service.status(&client).await.unwrap().lowest().unwrap().used(), Credits::ZERO);
    handle.stop(false).await;
}
