//! What is charged, in whatever way an app is put together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, Error, Resource};
use app::{TestService, layer, ran, service, used};

/// `GET` and `HEAD` of this path, and nothing else.
fn resource(path: &str) -> Resource {
    web::resource(path).route(web::get().to(ran)).route(web::head().to(ran))
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
        let response = app.call(request.to_request()).await.unwrap();
        let remaining = response.headers().get("x-ratelimit-remaining");
        (response.status().as_u16(), remaining.map(|value| value.to_str().unwrap().to_owned()))
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
