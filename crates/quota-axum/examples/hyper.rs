//! Quotas around a plain hyper service: `cargo run -p quota-axum --example hyper`.

#![expect(clippy::print_stdout, reason = "it says what to try")]

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use quota_axum::{ClientBy, QuotaLayer};
use quota_core::{Anchor, ClientId, Credits, Label, Limit, Period, Plan, Quota, Tz};
use quota_service::{PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse()?, Tz::UTC);
    let minute = Quota::new(Period::MINUTE, Limit::Finite(Credits::new(10)?), anchor);
    let plans = PlanRegistry::new().with(ClientId::new("client1")?, Plan::new([minute])?);
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans).build();
    // No router matches anything here, so all is metered, under one label.
    let quota = QuotaLayer::new(service, ClientBy::header("X-Client-Id")?).with_every_request(Label::new("all")?);
    let metered = ServiceBuilder::new().layer(quota).service(service_fn(answer));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 3000)).await?;
    println!("try: curl -i -H 'X-Client-Id: client1' http://127.0.0.1:3000/");
    loop {
        let (connection, _) = listener.accept().await?;
        let service = TowerToHyperService::new(metered.clone());
        tokio::spawn(async move {
            let served = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
            if let Err(error) = served {
                println!("a connection ended: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match *request.method() {
        Method::GET => *response.body_mut() = "1 credit\n".into(),
        // CORS preflights come unmetered: nothing is done for them.
        Method::OPTIONS => *response.status_mut() = StatusCode::NO_CONTENT,
        _ => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
    }
    Ok(response)
}
