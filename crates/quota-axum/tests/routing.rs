//! What is charged, in whatever way a router is put together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use app::{get, layer, request, send, service, used};
use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{any, get as on_get, post};
use futures_util::FutureExt;
use http::{Method, Request, StatusCode};
use quota_axum::{Answers, ClientBy, NoClient, QuotaLayer, RouteCost, UsageApi, UsageRoutes};
use quota_service::{DailyQuery, GroupBy, Label, QuotaService, Tz, UsageStore, Window};
use quota_testkit::http::logged;
use tower::ServiceBuilder;

async fn ok() -> &'static str {
    "ok"
}

/// GET and HEAD are charged, nothing else is, on a router whose one metered route is GET `path`.
async fn charges_only_what_matches<S: UsageStore>(app: Router, service: &QuotaService<S>, path: &str) {
    for (round, app) in [app.clone(), app.with_state(())].into_iter().enumerate() {
        let before: u64 = used(service).await.parse().unwrap();
        assert_eq!(before, 4 * u64::try_from(round).unwrap());
        for turn in 0..2 {
            let expected = |more: u64| (10 - before - 2 * turn - more).to_string();
            let answer = get(&app, path).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ok"));
            assert_eq!(answer.remaining(), Some(&*expected(1)));
            let answer = send(&app, request(Method::HEAD, path)).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
            assert_eq!(answer.remaining(), Some(&*expected(2)));

            let unmatched = get(&app, "/nowhere").await;
            assert_eq!((unmatched.status, unmatched.remaining()), (StatusCode::NOT_FOUND, None));
            for method in [Method::POST, Method::OPTIONS, Method::from_bytes(b"BREW").unwrap()] {
                let answer = send(&app, request(method, path)).await;
                assert_eq!((answer.status, answer.remaining()), (StatusCode::METHOD_NOT_ALLOWED, None));
                assert_eq!(answer.header("allow"), Some("GET,HEAD"));
            }
            let mut preflight = request(Method::OPTIONS, path);
            preflight.headers_mut().remove("x-client-id");
            preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
            assert_eq!(send(&app, preflight).await.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(used(service).await, (before + 2 * turn + 2).to_string());
        }
    }
}

#[tokio::test]
async fn a_layer_on_the_router_charges_only_what_matches() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok)).layer(layer(&service));
    charges_only_what_matches(app, &service, "/a").await;
}

#[tokio::test]
async fn a_route_layer_on_the_router_charges_only_what_matches() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok)).route_layer(layer(&service));
    charges_only_what_matches(app, &service, "/a").await;
}

#[tokio::test]
async fn a_layer_on_the_route_charges_only_what_matches() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok).layer(layer(&service)));
    charges_only_what_matches(app, &service, "/a").await;
}

#[tokio::test]
async fn a_route_layer_on_the_route_charges_only_what_matches() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok).route_layer(layer(&service)));
    charges_only_what_matches(app, &service, "/a").await;
}

#[tokio::test]
async fn a_layer_inside_a_nested_router_charges_only_what_matches() {
    let service = service();
    let inner = Router::new().route("/a/{id}", on_get(ok)).layer(layer(&service));
    charges_only_what_matches(Router::new().nest("/api", inner), &service, "/api/a/7").await;
}

#[tokio::test]
async fn a_layer_around_a_nested_router_charges_only_what_matches() {
    let service = service();
    let inner = Router::new().route("/a/{id}", on_get(ok));
    charges_only_what_matches(Router::new().nest("/api", inner).layer(layer(&service)), &service, "/api/a/7").await;
}

#[tokio::test]
async fn a_layer_inside_a_nested_service_charges_only_what_matches() {
    let service = service();
    let inner = Router::new().route("/a", on_get(ok)).layer(layer(&service));
    let app = Router::new().nest_service("/api", inner);
    charges_only_what_matches(app, &service, "/api/a").await;
}

#[tokio::test]
async fn a_layer_on_one_of_two_merged_routers_leaves_the_other_alone() {
    let service = service();
    let metered = Router::new().route("/a", on_get(ok)).route_layer(layer(&service));
    let app = metered.merge(Router::new().route("/free", on_get(ok)));
    assert_eq!(get(&app, "/free").await.remaining(), None);
    assert_eq!(used(&service).await, "0");
    charges_only_what_matches(app, &service, "/a").await;
}

#[tokio::test]
async fn a_fallback_of_the_router_is_free() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok)).fallback(|| async { "elsewhere" }).layer(layer(&service));
    let answer = get(&app, "/b").await;
    assert_eq!((answer.body.as_str(), answer.remaining()), ("elsewhere", None));
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_fallback_of_a_nested_router_is_free() {
    let service = service();
    let inner = || Router::new().route("/a", on_get(ok)).fallback(|| async { "elsewhere" }).layer(layer(&service));
    for app in [Router::new().nest("/api", inner()), Router::new().nest_service("/api", inner())] {
        let answer = get(&app, "/api/b").await;
        assert_eq!((answer.body.as_str(), answer.remaining()), ("elsewhere", None));
    }
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_service_under_a_pattern_is_charged_by_it_and_a_nested_service_by_the_layer_inside() {
    let service = service();
    let inner = Router::new().route("/a", on_get(ok));
    let app = Router::new().route_service("/api/{*rest}", on_get(ok)).layer(layer(&service));
    assert_eq!(get(&app, "/api/a").await.remaining(), Some("9"));
    // Axum shows no pattern to a layer around a nested service.
    let app = Router::new().nest_service("/api", inner.clone()).layer(layer(&service));
    assert_eq!(get(&app, "/api/a").await.remaining(), None);
    let app = Router::new().nest_service("/api", inner.layer(layer(&service)));
    assert_eq!(get(&app, "/api/a").await.remaining(), Some("8"));
}

#[tokio::test]
async fn a_405_is_answered_without_a_client_under_a_methods_route_layer() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok).route_layer(layer(&service)));
    let nobody = Request::post("/a").body(Body::empty()).unwrap();
    assert_eq!(send(&app, nobody).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn each_method_of_a_route_is_learned_on_its_own() {
    let service = service();
    let app = Router::new().route("/a", on_get(ok).post(ok)).layer(layer(&service)).with_state(());
    for method in [Method::GET, Method::POST, Method::PUT, Method::GET, Method::POST, Method::PUT] {
        send(&app, request(method, "/a")).await;
    }
    assert_eq!(used(&service).await, "4");
}

/// What answers in front of the router is no handler, and does not make the router's own answers cost something for good.
#[tokio::test]
async fn a_405_behind_what_has_answered_before_is_charged_twice_at_most() {
    let service = service();
    let in_front = from_fn(async |request: Request<Body>, next: Next| {
        if request.headers().contains_key("expect-refusal") {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        next.run(request).await
    });
    let app = Router::new().route("/a", on_get(ok)).layer(in_front).layer(layer(&service)).with_state(());
    let refused = async || {
        let mut refused = request(Method::POST, "/a");
        refused.headers_mut().insert("expect-refusal", "1".parse().unwrap());
        assert_eq!(send(&app, refused).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    };
    // What is answered in between makes it known again, but once.
    for used_by_then in ["2", "4", "5", "6"] {
        refused().await;
        for _ in 0..4 {
            assert_eq!(send(&app, request(Method::POST, "/a")).await.status, StatusCode::METHOD_NOT_ALLOWED);
        }
        assert_eq!(used(&service).await, used_by_then);
    }
}

#[tokio::test]
async fn a_method_that_http_does_not_list_is_charged_where_a_handler_takes_it() {
    let service = service();
    let app = Router::new().route("/any", any(ok)).route("/get", on_get(ok)).layer(layer(&service)).with_state(());
    for (name, left) in [("QUERY", "9"), ("PROPFIND", "8"), ("QUERY", "7")] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        assert_eq!(send(&app, request(method.clone(), "/any")).await.remaining(), Some(left));
        assert_eq!(send(&app, request(method, "/get")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(used(&service).await, "3");
}

#[tokio::test]
async fn the_usage_api_inside_a_layer_is_free_and_no_reason_to_say_anything() {
    let service = service();
    let usage = UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id").unwrap());
    let app = Router::new().route("/a", on_get(ok)).merge(usage.at("/quota")).layer(layer(&service));
    let (answer, log) = logged(get(&app, "/quota/status")).await;
    assert_eq!((answer.status, answer.remaining(), log.as_str()), (StatusCode::OK, None, ""));
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_layer_that_is_shown_no_pattern_says_so_once() {
    let inner = || Router::new().route("/a", on_get(ok));
    for nested in [true, false] {
        let service = service();
        let quota = layer(&service);
        let all = quota.clone().with_every_request(Label::new("all").unwrap());
        let put = |quota: QuotaLayer| {
            if nested {
                Router::new().nest_service("/api", inner()).layer(quota)
            } else {
                // Axum shows the path below "/api" to what is nested, and no pattern to what is put around a router.
                Router::new()
                    .fallback_service(ServiceBuilder::new().layer(quota).service(Router::new().nest("/api", inner())))
            }
        };
        let app = put(quota);
        let mut preflight = request(Method::OPTIONS, "/api/a");
        preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        let (_, log) = logged(async {
            assert_eq!(get(&app, "/api/b").await.status, StatusCode::NOT_FOUND);
            assert_eq!(send(&app, request(Method::POST, "/api/a")).await.status, StatusCode::METHOD_NOT_ALLOWED);
            send(&app, preflight).await;
        })
        .await;
        assert_eq!(log, "");
        let (_, log) = logged(async {
            for _ in 0..2 {
                assert_eq!(get(&app, "/api/a").await.remaining(), None);
            }
        })
        .await;
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("ERROR") && log.contains("with_every_request") && log.contains("route_layer"), "{log}");
        assert_eq!(get(&put(all), "/api/a").await.remaining(), Some("9"));
    }
}

#[tokio::test]
async fn routes_cost_what_they_declare() {
    let service = service();
    let quota = layer(&service);
    let by_query = RouteCost::computed(|parts| {
        let answers = Answers::default();
        quota_axum::credits_from_query(parts.uri.query(), "n").map_err(|error| answers.malformed(&error))
    });
    let later = RouteCost::async_computed(|parts| {
        let long = parts.uri.path().len() > 100;
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(!long);
            "0.25".parse().map_err(|_| Answers::default().internal())
        })
    });
    let app = Router::new()
        .route("/one", on_get(ok).route_layer(quota.clone()))
        .route("/five", on_get(ok).route_layer(quota.cost(5)))
        .route("/query", on_get(ok).route_layer(quota.cost(by_query)))
        .route("/later", on_get(ok).route_layer(quota.cost(later)))
        .with_state(());
    for _ in 0..2 {
        let left = |answer: app::Answer| answer.remaining().map(str::to_owned);
        let before: f64 = left(get(&app, "/one").await).unwrap().parse().unwrap();
        assert_eq!(left(get(&app, "/query?n=0.5").await), Some((before - 0.5).to_string()));
        assert_eq!(left(get(&app, "/later").await), Some((before - 0.75).to_string()));
    }
    let refused = get(&app, "/query?n=-1").await;
    assert_eq!((refused.status, refused.remaining()), (StatusCode::BAD_REQUEST, None));
    assert!(refused.body.contains("n: an amount of credits is not negative"));
    assert_eq!(get(&app, "/five").await.remaining(), Some("1.5"));
    assert_eq!(used(&service).await, "8.5");
}

#[tokio::test]
async fn a_table_gives_routes_their_costs_and_exempts_them() {
    let service = service();
    let quota = layer(&service).with_route("/api/five/{id}", 5).with_route("/health", RouteCost::exempt());
    let nested = Router::new().route("/five/{id}", on_get(ok)).route("/one", on_get(ok));
    let app = Router::new().route("/health", on_get(ok)).nest("/api", nested).layer(quota);
    let mut nobody = request(Method::GET, "/health");
    nobody.headers_mut().clear();
    let answer = send(&app, nobody).await;
    assert_eq!((answer.status, answer.remaining()), (StatusCode::OK, None));
    assert_eq!(get(&app, "/api/five/1").await.remaining(), Some("5"));
    assert_eq!(get(&app, "/api/one").await.remaining(), Some("4"));
}

#[tokio::test]
async fn clones_of_one_layer_inside_each_other_charge_once() {
    let service = service();
    let quota = layer(&service);
    let inner = Router::new().route("/a", on_get(ok).layer(quota.clone())).route_layer(quota.clone());
    let app = Router::new().nest("/api", inner).layer(quota);
    for left in ["9", "8"] {
        assert_eq!(get(&app, "/api/a").await.remaining(), Some(left));
    }
}

#[tokio::test]
async fn clones_of_one_layer_around_another_one_are_refused_and_charge_once() {
    let (users, tenants) = (service(), service());
    let (user, tenant) = (layer(&users), layer(&tenants));
    let app = Router::new().route("/a", on_get(ok).layer(user.clone())).layer(tenant).layer(user).with_state(());
    let (answer, log) = logged(get(&app, "/a")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log.contains("take one of the clones away") && log.contains("route=\"/a\""), "{log}");
    assert_eq!((used(&users).await.as_str(), used(&tenants).await.as_str()), ("1", "1"));
}

#[tokio::test]
async fn a_changed_clone_inside_charges_once_too() {
    let service = service();
    let quota = layer(&service);
    let changed = [
        quota.clone().with_answers(Answers::default()),
        quota.clone().with_route("/b", 5),
        quota.clone().with_every_request(Label::new("all").unwrap()),
    ];
    for (inner, left) in changed.into_iter().zip(["9", "8", "7"]) {
        let app = Router::new().route("/a", on_get(ok)).layer(inner).layer(quota.clone());
        assert_eq!(get(&app, "/a").await.remaining(), Some(left));
    }
    // One that changes the cost of this route is as wrong as any other cost.
    let app = Router::new().route("/a", on_get(ok)).layer(quota.clone().with_route("/a", 5)).layer(quota);
    assert_eq!(get(&app, "/a").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn another_cost_inside_is_refused_and_not_misunderstood() {
    let service = service();
    let quota = layer(&service);
    for inner in [quota.cost(5), quota.cost(RouteCost::exempt())] {
        let app = Router::new().route("/a", on_get(ok).layer(inner)).layer(quota.clone());
        let (answer, log) = logged(get(&app, "/a")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!answer.body.contains("layer"));
        assert!(log.contains("by with_route") && log.contains("route=\"/a\""), "{log}");
    }
}

#[tokio::test]
async fn layers_of_two_services_charge_both_and_show_the_inner_one() {
    let (users, tenants) = (service(), service());
    assert!(tenants.charge(&app::client(), "3".parse().unwrap()).await.unwrap().is_allowed());
    let app = Router::new().route("/a", on_get(ok)).layer(layer(&users)).layer(layer(&tenants)).with_state(());
    for left in ["9", "8"] {
        assert_eq!(get(&app, "/a").await.remaining(), Some(left));
    }
    assert_eq!((used(&users).await.as_str(), used(&tenants).await.as_str()), ("2", "5"));
}

#[tokio::test]
async fn what_answers_between_two_layers_is_told_of_the_outer_one() {
    let (users, tenants) = (service(), service());
    let impatient = async |request: axum::extract::Request, next: Next| match next.run(request).now_or_never() {
        Some(response) => response,
        None => StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let app = Router::new()
        .route("/stalls", on_get(std::future::pending::<()>))
        .route("/a", on_get(ok))
        .layer(layer(&users).cost(2))
        .layer(from_fn(impatient))
        .layer(layer(&tenants))
        .with_state(());
    // Each method is first charged in a way that waits.
    for (path, remaining) in [("/stalls", "9"), ("/stalls", "8"), ("/a", "4"), ("/a", "2")] {
        let answer = get(&app, path).await;
        let status = if path == "/a" { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
        assert_eq!((answer.status, answer.remaining()), (status, Some(remaining)), "{path}");
    }
}

#[tokio::test]
async fn the_page_of_a_usage_api_that_is_merged_after_a_layer_is_free() {
    let service = service();
    let usage = || UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id").unwrap()).at("/quota");
    let app = Router::new().route("/a", on_get(ok)).layer(layer(&service)).merge(usage());
    let exempt = ["/quota", "/quota/"]
        .into_iter()
        .fold(layer(&service), |layer, path| layer.with_route(path, RouteCost::exempt()));
    let inside = Router::new().route("/a", on_get(ok)).merge(usage()).layer(exempt);
    for app in [app, inside] {
        for path in ["/quota", "/quota/", "/quota/status"] {
            assert_eq!(get(&app, path).await.remaining(), None, "{path}");
        }
    }
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_refusal_by_the_inner_of_two_layers_shows_nothing_of_the_outer_one() {
    let (users, tenants) = (service(), service());
    let stranger = QuotaLayer::new(users.clone(), ClientBy::extension(|(): &()| Err(NoClient::Missing)));
    let user = layer(&users).cost(6);
    let app = Router::new()
        .route("/a", on_get(ok).layer(user))
        .route("/nobody", on_get(ok).layer(stranger))
        .layer(layer(&tenants))
        .with_state(());
    assert_eq!(get(&app, "/a").await.remaining(), Some("4"));
    // The way that does not wait.
    let denied = get(&app, "/a").await;
    assert_eq!((denied.status, denied.remaining()), (StatusCode::TOO_MANY_REQUESTS, Some("4")));
    // The one that does, as the method is new here.
    let denied = send(&app, request(Method::HEAD, "/a")).await;
    assert_eq!((denied.status, denied.remaining()), (StatusCode::TOO_MANY_REQUESTS, Some("4")));
    let nobody = get(&app, "/nobody").await;
    assert_eq!((nobody.status, nobody.remaining()), (StatusCode::UNAUTHORIZED, None));
    assert_eq!((used(&users).await.as_str(), used(&tenants).await.as_str()), ("6", "4"));
}

#[tokio::test]
async fn the_label_is_the_routes_pattern() {
    let service = service();
    let app = Router::new().route("/a/{id}", on_get(ok)).route("/b", post(ok)).layer(layer(&service)).with_state(());
    for path in ["/a/1", "/a/2", "/a/3"] {
        get(&app, path).await;
    }
    send(&app, request(Method::POST, "/b")).await;
    let range = Window::new("2024-03-01T00:00:00Z".parse().unwrap(), "2024-03-02T00:00:00Z".parse().unwrap()).unwrap();
    let query = DailyQuery { range, zone: Tz::UTC, by: GroupBy::DayAndLabel };
    let days = service.daily_usage(&app::client(), query).await.unwrap();
    let labels: Vec<_> =
        days.iter().map(|day| (day.label.as_ref().map(ToString::to_string), day.credits.to_string())).collect();
    assert_eq!(labels, [(Some("/a/{id}".to_owned()), "3".to_owned()), (Some("/b".to_owned()), "1".to_owned())]);
}
