//! What is charged, in whatever way an app is put together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::NormalizePath;
use actix_web::test::{TestRequest, init_service};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, Error, Resource, get};
use app::{TestService, layer, ran, service, used};
use quota_actix::{ClientBy, UsageApi, UsageRoutes};
use quota_core::ClientId;
use quota_testkit::http::logged;

/// `GET` and `HEAD` of this path, and nothing else.
fn resource(path: &str) -> Resource {
    web::resource(path).route(web::get().to(ran)).route(web::head().to(ran))
}

/// The status, and what remains.
async fn answer<R>(
    app: &impl Service<R, Response = ServiceResponse<impl MessageBody>, Error = Error>,
    request: R,
) -> (u16, Option<String>) {
    let response = app.call(request).await.unwrap();
    let remaining = response.headers().get("x-ratelimit-remaining");
    (response.status().as_u16(), remaining.map(|value| value.to_str().unwrap().to_owned()))
}

fn configured(config: &mut ServiceConfig) {
    config.service(resource("/a"));
}

/// `GET` and `HEAD` are charged, nothing else is, in an app whose one metered resource is `path`.
async fn charges_only_what_matches(
    how: &str,
    service: &TestService,
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
    path: &str,
) {
    let app = init_service(app).await;
    let ask = async |method: &Method, path: &str, preflight: bool| {
        let request = TestRequest::default().method(method.clone()).uri(path);
        let request = if preflight {
            request.insert_header(("access-control-request-method", "GET"))
        } else {
            request.insert_header(("x-client-id", "client1"))
        };
        answer(&app, request.to_request()).await
    };
    // The first time it is not known yet whether a handler answers, the second time it is.
    for before in [0_u32, 2] {
        for (method, more) in [(Method::GET, 1), (Method::HEAD, 2)] {
            let remaining = Some((10 - before - more).to_string());
            assert_eq!(ask(&method, path, false).await, (200, remaining), "{method} of {how}");
        }
        for other in ["/nowhere", "/api/nowhere", "/api/v1/nowhere"] {
            assert_eq!(ask(&Method::GET, other, false).await, (404, None), "{other} of {how}");
        }
        for method in [Method::POST, Method::OPTIONS, Method::from_bytes(b"BREW").unwrap()] {
            assert_eq!(ask(&method, path, false).await, (405, None), "{method} of {how}");
        }
        assert_eq!(ask(&Method::OPTIONS, path, true).await, (405, None), "a preflight of {how}");
        assert_eq!(used(service).await, (before + 2).to_string(), "{how}");
    }
}

#[actix_web::test]
async fn a_layer_charges_only_what_matches_wherever_it_is() {
    let service = service();
    charges_only_what_matches("an app", &service, App::new().wrap(layer(&service)).service(resource("/a")), "/a").await;

    let service = app::service();
    let scope = web::scope("/api").wrap(layer(&service)).service(resource("/a"));
    charges_only_what_matches("a scope", &service, App::new().service(scope), "/api/a").await;

    let service = app::service();
    let inner = web::scope("/v1").service(resource("/a"));
    let app = App::new().service(web::scope("/api").wrap(layer(&service)).service(inner));
    charges_only_what_matches("a scope around a scope", &service, app, "/api/v1/a").await;

    let service = app::service();
    let inner = web::scope("/v1").wrap(layer(&service)).service(resource("/a"));
    let app = App::new().service(web::scope("/api").service(inner));
    charges_only_what_matches("a scope in a scope", &service, app, "/api/v1/a").await;

    let service = app::service();
    let app = App::new().service(resource("/a").wrap(layer(&service)));
    charges_only_what_matches("a resource", &service, app, "/a").await;

    let service = app::service();
    let app = App::new().wrap(layer(&service)).configure(configured);
    charges_only_what_matches("an app that is configured", &service, app, "/a").await;

    let service = app::service();
    let quota = layer(&service);
    let scope = move |config: &mut ServiceConfig| {
        config.service(web::scope("/api").wrap(quota).configure(configured));
    };
    charges_only_what_matches("a scope of a configuration", &service, App::new().configure(scope), "/api/a").await;
}

#[actix_web::test]
async fn a_layer_on_a_route_charges_that_one() {
    let service = service();
    let quota = layer(&service);
    let both = web::resource("/a").route(web::get().to(ran).wrap(quota.clone())).route(web::head().to(ran).wrap(quota));
    charges_only_what_matches("routes", &service, App::new().service(both), "/a").await;
}

/// What is answered to `client1`, one after the other.
async fn answers(
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
    asked: &[(Method, &str)],
) -> Vec<(u16, Option<String>)> {
    let app = init_service(app).await;
    let mut answers = Vec::new();
    for (method, path) in asked {
        let request = TestRequest::default().method(method.clone()).uri(path).insert_header(("x-client-id", "client1"));
        answers.push(answer(&app, request.to_request()).await);
    }
    answers
}

fn remains(remaining: &str) -> (u16, Option<String>) {
    (200, Some(remaining.to_owned()))
}

/// What nobody has answered, and nobody has paid.
fn unanswered() -> (u16, Option<String>) {
    (404, None)
}

#[actix_web::test]
async fn a_path_that_is_sent_encoded_costs_what_it_leads_to() {
    let asked = ["/%61pi/%66ive", "/api/%66%69ve", "/%61pi/five", "/api/%6Fne"].map(|path| (Method::GET, path));
    let scope = || web::scope("/api").service(resource("/five")).service(resource("/{name}"));
    let service = service();
    let quota = layer(&service).with_route("/api/five", 3);
    let around_app = App::new().wrap(quota.clone()).service(scope());
    assert_eq!(answers(around_app, &asked).await, [remains("7"), remains("4"), remains("1"), remains("0")]);

    let service = app::service();
    let quota = layer(&service).with_route("/api/five", 3);
    let around_scope = App::new().service(scope().wrap(quota.clone()));
    assert_eq!(answers(around_scope, &asked).await, [remains("7"), remains("4"), remains("1"), remains("0")]);

    let service = app::service();
    let quota = layer(&service).with_route("/api/five", 3);
    let route = web::get().to(ran).wrap(quota);
    let around_route = App::new().service(web::scope("/api").route("/five", route));
    assert_eq!(answers(around_route, &asked[..3]).await, [remains("7"), remains("4"), remains("1")]);
}

#[get("/a")]
async fn attributed() -> &'static str {
    "ran"
}

#[actix_web::test]
async fn a_method_that_a_guard_of_the_resource_turns_away_is_free() {
    let asked = [Method::POST, Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::GET];
    let [to_app, to_scope] = ["/a", "/api/a"].map(|path| asked.clone().map(|method| (method, path)));
    let expected = [unanswered(), remains("9"), unanswered(), unanswered(), unanswered(), remains("8")];

    let service = service();
    let by_attribute = App::new().wrap(layer(&service)).service(attributed);
    assert_eq!(answers(by_attribute, &to_app).await, expected);
    assert_eq!(used(&service).await, "2");

    let service = app::service();
    let by_route = App::new().wrap(layer(&service)).route("/a", web::get().to(ran));
    assert_eq!(answers(by_route, &to_app).await, expected);
    assert_eq!(used(&service).await, "2");

    let service = app::service();
    let in_scope = App::new().service(web::scope("/api").wrap(layer(&service)).service(attributed));
    assert_eq!(answers(in_scope, &to_scope).await, expected);
    assert_eq!(used(&service).await, "2");
}

/// The first is charged, as nothing shows that the method is turned away now.
#[actix_web::test]
async fn what_a_guard_of_the_resource_turns_away_after_it_let_others_through_is_charged_once() {
    let service = service();
    let beta = actix_web::guard::Header("x-beta", "1");
    let resource = web::resource("/a").guard(beta).route(web::get().to(ran));
    let app = init_service(App::new().wrap(layer(&service)).service(resource)).await;
    let ask = async |is_beta: bool| {
        let request = TestRequest::default().uri("/a").insert_header(("x-client-id", "client1"));
        let request = if is_beta { request.insert_header(("x-beta", "1")) } else { request };
        answer(&app, request.to_request()).await
    };
    assert_eq!(ask(true).await, remains("9"));
    ask(false).await;
    for _ in 0..3 {
        assert_eq!(ask(false).await, unanswered());
    }
    assert_eq!(used(&service).await, "2");
}

/// However often the one is let through in between.
#[actix_web::test]
async fn what_a_guard_of_the_resource_turns_away_costs_a_client_little_whoever_is_let_through() {
    let service = service();
    let beta = actix_web::guard::Header("x-beta", "1");
    let resource = web::resource("/a").guard(beta).route(web::get().to(ran));
    let app = init_service(App::new().wrap(layer(&service)).service(resource)).await;
    for _ in 0..10 {
        let let_through = TestRequest::default().uri("/a").insert_header(("x-client-id", "client1"));
        assert_eq!(answer(&app, let_through.insert_header(("x-beta", "1")).to_request()).await.0, 200);
        let turned_away = TestRequest::default().uri("/a").insert_header(("x-client-id", "client2"));
        assert_eq!(answer(&app, turned_away.to_request()).await.0, 404);
    }
    let turned_away = service.status(&ClientId::new("client2").unwrap()).await.unwrap();
    assert_eq!(turned_away.lowest().unwrap().used().to_string(), "2");
    assert_eq!(used(&service).await, "10");
}

/// A handler's own 404 is an answer like any other.
#[actix_web::test]
async fn a_404_of_a_handlers_own_is_charged() {
    let service = service();
    let nothing = web::get().to(async || actix_web::HttpResponse::NotFound());
    let app = App::new().wrap(layer(&service)).route("/thing/{id}", nothing);
    let remains = |remaining: &str| (404, Some(remaining.to_owned()));
    let asked = [(Method::GET, "/thing/1"), (Method::GET, "/thing/%32")];
    assert_eq!(answers(app, &asked).await, [remains("9"), remains("8")]);
}

#[actix_web::test]
async fn what_passes_free_for_want_of_a_pattern_is_told_once() {
    let service = service();
    let quota = layer(&service);
    let usage = UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id").unwrap());
    let rewritten = || App::new().wrap(NormalizePath::trim());
    let app = rewritten().wrap(quota.clone()).service(resource("/a")).service(usage.at("/quota"));
    let paths = ["/nowhere", "/quota/status", "/a/", "/a/", "/a"].map(|path| (Method::GET, path));
    let (answered, log) = logged(answers(app, &paths)).await;
    let free = (200, None);
    assert_eq!(answered, [unanswered(), free.clone(), free.clone(), free, remains("9")]);
    assert_eq!(log.matches("a request passed free").count(), 1, "{log}");
    assert!(log.contains("path=\"/a\"") && log.contains("wrap it after the quota layer"), "{log}");
    // As it is to be.
    let app = App::new().wrap(quota).wrap(NormalizePath::trim()).service(resource("/a"));
    assert_eq!(answers(app, &paths[2..]).await, [remains("8"), remains("7"), remains("6")]);
}
