//! Layers around routes, scopes and apps, and inside each other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, HttpResponse, error, web};
use app::{layer, ran, service, used};
use quota_actix::{ClientQuota, Refused, RouteCost};
use quota_core::{Credits, Label};

/// What is answered to these paths, one after the other: the status, what remains, and the body. An error of the app's is
/// answered as a server does.
async fn ask<const N: usize>(
    app: App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody + 'static>,
            Error = Error,
            InitError = (),
            Future: 'static,
        > + 'static,
    >,
    paths: [&str; N],
) -> [(u16, Option<String>, String); N] {
    let app = init_service(app).await;
    let mut answers = Vec::new();
    for path in paths {
        let request = TestRequest::get().uri(path).insert_header(("x-client-id", "client1")).to_request();
        let response = match app.call(request).await {
            Ok(response) => response.into_parts().1.map_into_boxed_body(),
            Err(error) => error.error_response(),
        };
        let remaining = response.headers().get("x-ratelimit-remaining");
        let remaining = remaining.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        answers.push((status, remaining, String::from_utf8(body.to_vec()).unwrap()));
    }
    answers.try_into().unwrap()
}

fn answered(status: u16, remaining: &str, body: &str) -> (u16, Option<String>, String) {
    (status, Some(remaining.to_owned()), body.to_owned())
}

async fn charge_one(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge(Credits::ONE).await?;
    Ok("ran")
}

#[actix_web::test]
async fn clones_inside_each_other_charge_once() {
    let service = service();
    let quota = layer(&service);
    let resource = web::resource("/a").wrap(quota.clone()).route(web::get().to(ran).wrap(quota.clone()));
    let scope = web::scope("/api").wrap(quota.clone().with_route("/b", 5)).service(resource);
    let answers = ask(App::new().wrap(quota).service(scope), ["/api/a", "/api/a"]).await;
    assert_eq!(answers, [answered(200, "9", "ran"), answered(200, "8", "ran")]);
    assert_eq!(used(&service).await, "2");
}

#[actix_web::test]
async fn clones_around_another_layer_are_refused_and_charge_once() {
    let (users, tenants) = (service(), service());
    let (user, tenant) = (layer(&users), layer(&tenants));
    let resource = web::resource("/a").wrap(user.clone()).route(web::get().to(ran));
    let scope = web::scope("").wrap(tenant).service(resource);
    let [(status, _, body)] = ask(App::new().wrap(user).service(scope), ["/a"]).await;
    assert_eq!(status, 500, "{body}");
    assert_eq!((used(&users).await.as_str(), used(&tenants).await.as_str()), ("1", "1"));
}

#[actix_web::test]
async fn another_cost_or_label_inside_is_refused_and_not_misunderstood() {
    let service = service();
    let quota = layer(&service);
    let labelled = RouteCost::from(1).with_label(Label::new("reports").unwrap());
    let exempt = quota.cost(RouteCost::exempt());
    for inner in [quota.cost(5), quota.clone().with_route("/a", 5), quota.cost(labelled), exempt] {
        let app = App::new().wrap(quota.clone()).service(web::resource("/a").wrap(inner).route(web::get().to(ran)));
        let [(status, _, body)] = ask(app, ["/a"]).await;
        assert_eq!(status, 500);
        assert!(body.contains("could not be metered") && !body.contains("layer"), "{body}");
    }
}

#[actix_web::test]
async fn layers_of_two_services_charge_both_and_show_the_inner_one() {
    let (users, tenants) = (service(), service());
    let inner = layer(&users).cost(6);
    let app = App::new().wrap(layer(&tenants)).service(web::resource("/a").wrap(inner).route(web::get().to(ran)));
    let [first, denied, again] = ask(app, ["/a", "/a", "/a"]).await;
    assert_eq!(first, answered(200, "4", "ran"));
    for (status, remaining, _) in [denied, again] {
        assert_eq!((status, remaining.as_deref()), (429, Some("4")), "of the inner one");
    }
    assert_eq!((used(&users).await.as_str(), used(&tenants).await.as_str()), ("6", "3"));
}

#[actix_web::test]
async fn a_handler_that_no_layer_meters_is_told_so() {
    let service = service();
    let bare = web::resource("/bare").route(web::get().to(charge_one));
    let exempt =
        web::resource("/exempt").wrap(layer(&service).cost(RouteCost::exempt())).route(web::get().to(charge_one));
    for (status, remaining, body) in ask(App::new().service(bare).service(exempt), ["/bare", "/exempt"]).await {
        assert_eq!((status, remaining), (500, None));
        assert!(body.contains("the request could not be metered"), "{body}");
    }
    assert_eq!(used(&service).await, "0");
}

#[actix_web::test]
async fn every_request_is_metered_where_that_is_said() {
    let service = service();
    let quota = layer(&service).with_every_request(Label::new("all").unwrap());
    let app = App::new().wrap(quota).service(web::resource("/a").route(web::get().to(ran)));
    let app = app.default_service(web::to(async || HttpResponse::NotFound().body("nothing")));
    let answers = ask(app, ["/a", "/none", "/none/more"]).await;
    assert_eq!(answers, [answered(200, "9", "ran"), answered(404, "8", "nothing"), answered(404, "7", "nothing")]);
    assert_eq!(used(&service).await, "3");
}

#[actix_web::test]
async fn an_error_of_a_middleware_further_in_tells_of_the_quotas() {
    let service = service();
    let quota = layer(&service);
    let fails = |path: &str, cost: RouteCost| {
        let fail = from_fn(async |_: ServiceRequest, _: Next<_>| {
            Err::<ServiceResponse, Error>(error::InternalError::new("tea", StatusCode::IM_A_TEAPOT).into())
        });
        web::resource(path).wrap(fail).wrap(quota.cost(cost)).route(web::get().to(ran))
    };
    let app = App::new().service(fails("/a", 1.into())).service(fails("/b", RouteCost::from(4).on_success()));
    // The first request of a route waits for its answer, the second does not.
    let answers = ask(app, ["/a", "/a", "/b", "/b", "/b"]).await;
    assert_eq!(answers, ["9", "8", "8", "8", "8"].map(|remaining| answered(418, remaining, "tea")));
    assert_eq!(used(&service).await, "2");
}
