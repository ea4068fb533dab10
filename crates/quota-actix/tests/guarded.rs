//! Methods that a route's guards decide about as well.

use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, guard, web};
use quota_actix::{ClientBy, QuotaLayer};
use quota_core::{Anchor, ClientId, Limit, Period, Plan, Quota, Tz};
use quota_service::{PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;

#[actix_web::test]
async fn a_405_of_a_guard_is_not_charged_once_it_is_known_that_there_are_such() {
    let client = ClientId::new("client1").unwrap();
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let plan = Plan::new([Quota::new(Period::YEAR, Limit::Finite("100".parse().unwrap()), anchor)]).unwrap();
    let plans = PlanRegistry::new().with(client.clone(), plan);
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans).build();
    let quota = QuotaLayer::new(service.clone(), ClientBy::header("X-Client-Id").unwrap());
    let versioned = web::get().guard(guard::Header("x-version", "2")).to(async || "ran");
    let app = init_service(App::new().service(web::resource("/").route(versioned).wrap(quota))).await;
    let ask = async |version: &'static str| {
        let request = TestRequest::default().method(Method::GET);
        let request = request.insert_header(("x-client-id", "client1")).insert_header(("x-version", version));
        call_service(&app, request.to_request()).await.status().as_u16()
    };
    let used = async || service.status(&client).await.unwrap().lowest().unwrap().used().to_string();
    assert_eq!((ask("1").await, used().await), (405, "0".to_owned()));
    assert_eq!((ask("2").await, used().await), (200, "1".to_owned()));
    // Of one that was answered with 405 it is never sure again, nor of one after that.
    assert_eq!((ask("1").await, used().await), (405, "1".to_owned()));
    assert_eq!((ask("2").await, used().await), (200, "2".to_owned()));
    assert_eq!((ask("1").await, used().await), (405, "2".to_owned()));
}
