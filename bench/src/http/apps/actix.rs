//! actix-web, bare and with `actix-extensible-rate-limit`.

use std::future::{Ready, ready};
use std::net::Ipv4Addr;
use std::time::Duration;

use actix_extensible_rate_limit::RateLimiter;
use actix_extensible_rate_limit::backend::SimpleInput;
use actix_extensible_rate_limit::backend::memory::InMemoryBackend;
use actix_web::dev::ServiceRequest;
use actix_web::error::ErrorUnauthorized;
use actix_web::web::{self, Json};
use actix_web::{App, Error, HttpServer, Responder};
use anyhow::Context;

use super::{CLIENT, data};

pub(super) fn serve_bare(port: u16) -> anyhow::Result<()> {
    serve(port, |app| {
        app.service(web::resource("/api/fetch-data").route(web::get().to(fetch_data)))
            .service(web::resource("/api/fetch-expensive-data").route(web::get().to(fetch_data)));
    })
}

/// One fixed window for each client, which no run reaches the end of, and the headers that tell of it.
pub(super) fn serve_limited(port: u16) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        // It cleans up in a task, so it is made inside a runtime.
        let backend = InMemoryBackend::builder().build();
        serve_on(port, move |app| {
            let limiter = || RateLimiter::builder(backend.clone(), input).add_headers().build();
            app.service(web::resource("/api/fetch-data").route(web::get().to(fetch_data).wrap(limiter())))
                .service(web::resource("/api/fetch-expensive-data").route(web::get().to(fetch_data).wrap(limiter())));
        })
        .await
    })
}

fn serve(port: u16, register: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(serve_on(port, register))
}

/// As the quickstart does.
async fn serve_on(
    port: u16,
    register: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let server = HttpServer::new(move || App::new().configure(&register))
        .tcp_nodelay(true)
        .bind((Ipv4Addr::LOCALHOST, port))
        .context("the port")?;
    server.run().await.context("the server")
}

async fn fetch_data() -> impl Responder {
    Json(data())
}

fn input(request: &ServiceRequest) -> Ready<Result<SimpleInput, Error>> {
    let client = request.headers().get(CLIENT).and_then(|value| value.to_str().ok());
    let input = |client: &str| SimpleInput {
        interval: Duration::from_secs(24 * 3_600),
        max_requests: u64::MAX,
        key: client.to_owned(),
    };
    ready(client.map(input).ok_or_else(|| ErrorUnauthorized("no client")))
}
