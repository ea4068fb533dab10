//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, HttpRequest, HttpResponse, Resource, web};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use quota_actix::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RefusalResponse, Refused, RouteCost, UsageRoutes, credits_from_query,
    member_from_query,
};
use quota_testkit::http::{HttpHarness, Program};

type Answering = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>>>>;

/// A request goes in on the thread that serves, which is the test's own.
struct Actix {
    runtime: actix_web::rt::Runtime,
    send: RefCell<Box<dyn FnMut(TestRequest) -> Answering>>,
}

impl HttpHarness for Actix {
    fn serve(program: Program) -> Self {
        let runtime = actix_web::rt::Runtime::new().unwrap();
        let app = runtime.block_on(init_service(app(program)));
        let send = Box::new(move |request: TestRequest| -> Answering {
            let answer = app.call(request.to_request());
            Box::pin(async move { read(answer.await?).await })
        });
        Self { runtime, send: RefCell::new(send) }
    }

    fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let mut request = TestRequest::with_uri(&parts.uri.to_string()).set_payload(body);
        request = request.method(actix_web::http::Method::from_bytes(parts.method.as_str().as_bytes()).unwrap());
        for (name, value) in &parts.headers {
            let value = actix_web::http::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request = request.append_header((name.as_str(), value));
        }
        let answer = self.send.borrow_mut()(request);
        self.runtime.block_on(answer).unwrap()
    }
}

async fn read(response: ServiceResponse<impl MessageBody>) -> Result<Response<Bytes>, Error> {
    let is_head = response.request().method() == actix_web::http::Method::HEAD;
    let mut answer = Response::builder().status(response.status().as_u16());
    for (name, value) in response.headers() {
        answer = answer.header(name.as_str(), value.as_bytes());
    }
    let body = to_bytes(response.into_body()).await.map_err(|_| ()).unwrap();
    // The server writes no body for it, which is not at work here.
    Ok(answer.body(if is_head { Bytes::new() } else { body }).unwrap())
}

fn app(
    program: Program,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let client = ClientBy::header("X-Client-Id").unwrap();
    let mut quota = QuotaLayer::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let quota = quota
        .with_route("/five", 5)
        .with_route("/half", RouteCost::from("0.5".parse::<quota_core::Credits>().unwrap()))
        .with_route("/by-query", by_query())
        .with_route("/free", RouteCost::exempt())
        .with_route("/answer", RouteCost::from(4).on_success())
        .with_route("/idle", RouteCost::by_handler())
        .with_route("/compute", RouteCost::by_handler())
        .with_route("/generate", RouteCost::by_handler());
    let metered = web::scope("")
        .wrap(quota)
        .service(ran("/one"))
        .service(ran("/five"))
        .service(ran("/half"))
        .service(ran("/by-query"))
        .service(ran("/free"))
        .service(web::resource("/created").route(web::post().to(created)))
        .service(web::resource("/number/{number}").route(web::get().to(async |_: web::Path<u32>| "ran")))
        .service(web::resource("/answer").route(web::get().to(answer)))
        .service(ran("/idle"))
        .service(web::resource("/compute").route(web::get().to(compute)))
        .service(web::resource("/generate").route(web::get().to(generate)))
        .service(web::resource("/twice").route(web::get().to(twice)));
    App::new().service(UsageRoutes::new(program.usage, client).at("/quota")).service(metered)
}

fn ran(path: &str) -> Resource {
    web::resource(path).route(web::get().to(async || "ran")).route(web::head().to(async || "ran"))
}

fn by_query() -> RouteCost {
    RouteCost::computed(|request| {
        credits_from_query(request.uri().query(), "n").map_err(|error| Answers::default().malformed(&error))
    })
}

async fn created() -> HttpResponse {
    HttpResponse::Created()
        .insert_header(("location", "/made/1"))
        .insert_header(("x-ratelimit-remaining", "own"))
        .body("made")
}

async fn answer(request: HttpRequest) -> Result<HttpResponse, Refused> {
    let status = member_from_query(request.uri().query(), "status")?.unwrap_or_default();
    Ok(HttpResponse::build(StatusCode::from_u16(status.parse().unwrap()).unwrap()).body("ran"))
}

async fn compute(quota: ClientQuota, request: HttpRequest) -> Result<String, Refused> {
    let credits = credits_from_query(request.uri().query(), "credits")?;
    quota.charge(credits).await?;
    Ok(credits.to_string())
}

async fn generate(quota: ClientQuota, request: HttpRequest) -> Result<String, Refused> {
    let query = request.uri().query();
    let held = quota.hold(credits_from_query(query, "max")?).await?;
    if member_from_query(query, "fail")?.is_some() {
        held.release().await?;
        let failed = http::StatusCode::INTERNAL_SERVER_ERROR;
        return Err(RefusalResponse::new(failed, HeaderMap::new(), "failed".into()).into());
    }
    let settled = held.settle(credits_from_query(query, "actual")?).await?;
    Ok(format!("late: {}", settled.is_late()))
}

async fn twice(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<quota_core::Credits>().unwrap()).await?;
    quota.record("0.5".parse::<quota_core::Credits>().unwrap()).await?;
    Ok("ran")
}

quota_testkit::http_suite!(Actix);
