//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorGatewayTimeout;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, HttpServer, Resource};
use futures_util::TryStreamExt;
use http::HeaderMap;
use quota_actix::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RefusalResponse, Refused, RouteCost, UsageRoutes, credits_from_query,
    member_from_query,
};
use quota_core::{Credits, Label};
use quota_testkit::http::{
    HttpHarness, IMPATIENT, LONG_ROUTE, Member, Named, Pause, Program, charge_from_query, chunks_from_query,
    client_of_token, cost_of_chunk, hold_from_query, in_time, on_drop_from_query, standing_of_role, told,
    ttl_from_query,
};

/// As the other frameworks say by themselves.
const PLAIN: &str = "text/plain; charset=utf-8";

/// A server in a thread of its own.
struct Actix {
    server: ServerHandle,
    address: SocketAddr,
}

impl HttpHarness for Actix {
    /// Unless it is told that connections are not half closed, and then in HTTP/1.1 alone.
    const CANCELS: bool = false;

    fn serve(program: Program) -> Self {
        Self::serve(program, true)
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The same where a client that has sent all is one that has gone.
struct NotHalfClosed(Actix);

impl HttpHarness for NotHalfClosed {
    const CANCELS: bool = true;

    fn serve(program: Program) -> Self {
        Self(Actix::serve(program, false))
    }

    fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Actix {
    fn serve(program: Program, half_closed: bool) -> Self {
        let (begun, begins) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(move || app(program.clone())).workers(1).disable_signals();
                let server = server.h1_allow_half_closed(half_closed);
                let server = server.bind_auto_h2c((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let address = *server.addrs().first().unwrap();
                let server = server.run();
                begun.send((server.handle(), address)).unwrap();
                server.await.unwrap();
            });
        });
        let (server, address) = begins.recv().unwrap();
        Self { server, address }
    }
}

impl Drop for Actix {
    fn drop(&mut self) {
        // It is told at once; nobody waits until it has ended.
        drop(self.server.stop(false));
    }
}

fn app(
    program: Program,
) -> App<
    impl actix_web::dev::ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let client = client_by(program.named);
    let mut quota = QuotaLayer::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let quota = quota
        .with_route("/five", 5)
        .with_route("/half", RouteCost::from("0.5".parse::<Credits>().unwrap()))
        .with_route("/by-query", by_query())
        .with_route("/by-waiting", by_waiting())
        .with_route("/free", RouteCost::exempt())
        .with_route("/labelled", RouteCost::from(1).with_label(Label::new("reports").unwrap()))
        .with_route("/success/{number}", RouteCost::from(4).on_success())
        .with_route("/answer", RouteCost::from(4).on_success())
        .with_route("/accepted", RouteCost::from(4).on_status(|status| status == http::StatusCode::ACCEPTED))
        .with_route("/beside", RouteCost::from(4).on_success())
        .with_route("/idle", RouteCost::by_handler())
        .with_route("/compute", RouteCost::by_handler())
        .with_route("/record", RouteCost::by_handler())
        .with_route("/generate", RouteCost::by_handler())
        .with_route("/stream", RouteCost::by_handler());
    let metered = web::scope("")
        .wrap(quota)
        .service(ran("/one"))
        .service(web::resource("/five").route(web::get().to(works)).route(web::head().to(works)))
        .service(ran("/any").route(web::method(Method::OPTIONS).to(async || "ran")))
        .service(ran("/half"))
        .service(ran(LONG_ROUTE))
        .service(ran("/by-query"))
        .service(ran("/by-waiting"))
        .service(ran("/free"))
        .service(ran("/labelled"))
        .service(web::resource("/created").route(web::post().to(created)))
        .service(web::resource("/number/{number}").route(web::get().to(numbered)))
        .service(web::resource("/success/{number}").route(web::get().to(numbered)))
        .service(web::resource("/answer").route(web::get().to(answer)))
        .service(web::resource("/accepted").route(web::get().to(answer)))
        .service(web::resource("/beside").route(web::get().to(compute)))
        .service(ran("/idle"))
        .service(web::resource("/compute").route(web::get().to(compute)))
        .service(web::resource("/record").route(web::get().to(record)))
        .service(web::resource("/generate").route(web::get().to(generate)))
        .service(web::resource("/stream").route(web::get().to(streamed)).route(web::head().to(streamed)))
        .service(web::resource("/twice").route(web::get().to(twice)))
        .service(web::resource("/told").route(web::get().to(seen)));
    let mut usage = UsageRoutes::new(program.usage, client);
    if program.operators_by_role {
        usage = usage.with_operators(|request| standing_of_role(value(request, "x-role")));
    }
    App::new()
        .app_data(Data::new(program.pause))
        .wrap(from_fn(authenticate))
        .wrap(from_fn(impatient))
        .service(web::resource("/unlayered").route(web::get().to(async |_: ClientQuota| "ran")))
        .service(usage.at("/quota"))
        .service(web::scope("/v1").service(usage.at("/deep/quota")))
        .service(metered)
}

fn value<'a>(request: &'a ServiceRequest, name: &str) -> Option<&'a [u8]> {
    request.headers().get(name).map(actix_web::http::header::HeaderValue::as_bytes)
}

/// Gives up what takes too long, where it is asked to.
async fn impatient(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !request.headers().contains_key("x-give-up") {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    let answer = actix_web::rt::time::timeout(IMPATIENT, next.call(request)).await;
    answer.unwrap_or_else(|_| Err(ErrorGatewayTimeout("too late"))).map(ServiceResponse::map_into_boxed_body)
}

/// The program's own authentication.
async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let member = Member::of_token(value(&request, "x-token"));
    if let Some(member) = member {
        request.extensions_mut().insert(member);
    }
    next.call(request).await
}

fn client_by(named: Named) -> ClientBy {
    match named {
        Named::Header => ClientBy::header("X-Client-Id").unwrap(),
        Named::Extension => ClientBy::extension(|member: &Member| Ok(member.client())),
        Named::Function => ClientBy::function(|request| client_of_token(value(request, "x-token"))),
        Named::Waiting => ClientBy::async_function(|request| {
            // What stays on its thread may be kept while it waits.
            let token = Rc::new(value(request, "x-token").map(<[u8]>::to_vec));
            Box::pin(async move {
                actix_web::rt::task::yield_now().await;
                client_of_token(token.as_deref())
            })
        }),
    }
}

fn ran(path: &str) -> Resource {
    web::resource(path).route(web::get().to(async || "ran")).route(web::head().to(async || "ran"))
}

fn by_query() -> RouteCost {
    RouteCost::computed(|request| {
        credits_from_query(request.uri().query(), "n").map_err(|error| Answers::default().malformed(&error))
    })
}

fn by_waiting() -> RouteCost {
    RouteCost::async_computed(|request| {
        let query = Rc::new(request.query_string().to_owned());
        Box::pin(async move {
            actix_web::rt::task::yield_now().await;
            credits_from_query(Some(query.as_str()), "n").map_err(|error| Answers::default().malformed(&error))
        })
    })
}

async fn works(pause: Data<Pause>, request: HttpRequest) -> &'static str {
    pause.work(request.uri().query()).await;
    "ran"
}

async fn created() -> HttpResponse {
    HttpResponse::Created()
        .insert_header(("location", "/made/1"))
        .insert_header(("x-ratelimit-remaining", "own"))
        .content_type(PLAIN)
        .body("made")
}

async fn numbered(_: web::Path<u32>) -> &'static str {
    "ran"
}

async fn answer(pause: Data<Pause>, request: HttpRequest) -> Result<HttpResponse, Refused> {
    let query = request.uri().query();
    pause.work(query).await;
    let status = member_from_query(query, "status")?.unwrap_or_default();
    Ok(HttpResponse::build(StatusCode::from_u16(status.parse().unwrap()).unwrap()).content_type(PLAIN).body("ran"))
}

async fn compute(quota: ClientQuota, request: HttpRequest) -> Result<String, Refused> {
    let charge = charge_from_query(request.uri().query())?;
    let credits = charge.credits();
    quota.charge(charge).await?;
    Ok(credits.to_string())
}

async fn record(quota: ClientQuota, request: HttpRequest) -> Result<String, Refused> {
    let charge = charge_from_query(request.uri().query())?;
    let credits = charge.credits();
    quota.record(charge).await?;
    Ok(credits.to_string())
}

async fn generate(quota: ClientQuota, pause: Data<Pause>, request: HttpRequest) -> Result<String, Refused> {
    let query = request.uri().query();
    in_time(query, async {
        let held = quota.hold(hold_from_query(query)?).await?;
        pause.work(query).await;
        if member_from_query(query, "fail")?.is_some() {
            held.release().await?;
            let failed = http::StatusCode::INTERNAL_SERVER_ERROR;
            return Err(RefusalResponse::new(failed, HeaderMap::new(), "failed".into()).into());
        }
        let settled = held.settle(credits_from_query(query, "actual")?).await?;
        Ok(format!("late: {}", settled.is_late()))
    })
    .await
}

async fn streamed(quota: ClientQuota, pause: Data<Pause>, request: HttpRequest) -> Result<HttpResponse, Refused> {
    let query = request.uri().query();
    let held = quota.hold_for(credits_from_query(query, "max")?, ttl_from_query(query)?).await?;
    let chunks = chunks_from_query(&pause, query)?.map_ok(|chunk| Bytes::from_static(chunk.as_bytes()));
    let body = held.settle_after(chunks, cost_of_chunk, on_drop_from_query(query)?);
    Ok(HttpResponse::Ok().content_type(PLAIN).streaming(Box::pin(body)))
}

async fn twice(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<Credits>().unwrap()).await?;
    quota.record("0.5".parse::<Credits>().unwrap()).await?;
    Ok("ran")
}

async fn seen(quota: ClientQuota) -> Result<String, Refused> {
    let decision = quota.decision();
    quota.record("2".parse::<Credits>().unwrap()).await?;
    Ok(told(decision.as_ref(), quota.status().await.ok().as_ref())?)
}

quota_testkit::http_suite!(Actix);

/// Clients that go away, in HTTP/1.1.
mod not_half_closed {
    use quota_testkit::http::{endings, failures, streams};

    use super::NotHalfClosed;

    #[test]
    fn a_client_that_goes_away_leaves_no_hold() {
        endings::a_client_that_goes_away_leaves_no_hold::<NotHalfClosed>();
    }

    #[test]
    fn a_client_that_goes_away_leaves_no_hold_on_success() {
        endings::a_client_that_goes_away_leaves_no_hold_on_success::<NotHalfClosed>();
    }

    #[test]
    fn a_charge_before_stands_whoever_goes_away() {
        endings::a_charge_before_stands_whoever_goes_away::<NotHalfClosed>();
    }

    #[test]
    fn a_stream_whose_client_goes_away_is_released() {
        streams::a_stream_whose_client_goes_away_is_released::<NotHalfClosed>();
    }

    #[test]
    fn a_stream_whose_client_goes_away_may_be_paid_so_far() {
        streams::a_stream_whose_client_goes_away_may_be_paid_so_far::<NotHalfClosed>();
    }

    #[test]
    fn a_charge_that_waits_is_not_made_for_a_client_that_goes_away() {
        failures::a_charge_that_waits_is_not_made_for_a_client_that_goes_away::<NotHalfClosed>();
    }

    #[test]
    fn a_client_that_goes_away_while_its_key_is_charged_has_it_free() {
        failures::a_client_that_goes_away_while_its_key_is_charged_has_it_free::<NotHalfClosed>();
    }
}
