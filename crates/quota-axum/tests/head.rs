//! `HEAD` on a plain hyper service, where no router leaves bodies out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use quota_axum::{ClientBy, NoClient, QuotaLayer, RouteCost};
use quota_service::{Anchor, ClientId, Credits, Label, Limit, Period, Plan, PlanRegistry, Quota, QuotaService, Tz};
use quota_store_memory::MemoryStore;
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, Service, service_fn};

/// Serves it as `examples/hyper.rs` does.
async fn serve<S>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let serving = async {
                drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
            };
            tokio::spawn(serving);
        }
    });
    address
}

/// The status, the length that is told, and all of the body.
async fn ask(address: SocketAddr, version: Version, method: Method, client: &str) -> (u16, String, Bytes) {
    let uri = Uri::try_from(format!("http://{address}/any")).unwrap();
    let request = Request::builder().method(method).uri(uri).header("x-client-id", client);
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = request.header(HOST, address.to_string());
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
    };
    let (parts, body) = response.into_parts();
    // Where a body comes that a HEAD has not, HTTP/2 breaks the stream off.
    let body = body.collect().await.unwrap().to_bytes();
    let length = parts.headers.get(CONTENT_LENGTH).unwrap();
    (parts.status.as_u16(), length.to_str().unwrap().to_owned(), body)
}

/// A `HEAD` is refused as a `GET` is, but for the body.
async fn assert_refused<S>(status: u16, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let address = serve(service).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (got, length, body) = ask(address, version, Method::GET, "client1").await;
        assert_eq!((got, length.as_str()), (status, body.len().to_string().as_str()), "{version:?}");
        assert!(!body.is_empty());
        let of_head = ask(address, version, Method::HEAD, "client1").await;
        assert_eq!(of_head, (status, length, Bytes::new()), "{version:?}");
    }
}

async fn ran(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("ran")))
}

/// Of a client with ten credits a year.
fn service() -> QuotaService<MemoryStore> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let year = Quota::new(Period::YEAR, Limit::Finite(Credits::new(10).unwrap()), anchor);
    let plans = PlanRegistry::new().with(ClientId::new("client1").unwrap(), Plan::new([year]).unwrap());
    QuotaService::builder(MemoryStore::new()).with_registry(plans).build()
}

fn layer(service: &QuotaService<MemoryStore>, client: ClientBy) -> QuotaLayer {
    QuotaLayer::new(service.clone(), client).with_every_request(Label::new("all").unwrap())
}

fn by_header(name: &str) -> ClientBy {
    ClientBy::header(name).unwrap()
}

#[tokio::test]
async fn a_head_that_is_refused_at_once_has_no_body() {
    let nobody = layer(&service(), by_header("X-Other-Id"));
    assert_refused(401, nobody.layer(service_fn(ran))).await;
}

#[tokio::test]
async fn a_head_that_is_refused_later_has_no_body() {
    let nobody = layer(&service(), ClientBy::async_function(|_| Box::pin(async { Err(NoClient::Missing) })));
    assert_refused(401, nobody.layer(service_fn(ran))).await;
}

#[tokio::test]
async fn a_head_through_layers_that_do_not_agree_has_no_body() {
    let outer = layer(&service(), by_header("X-Client-Id")).cost(RouteCost::by_handler());
    assert_refused(500, outer.layer(outer.cost(2).layer(service_fn(ran)))).await;
}

#[tokio::test]
async fn a_head_whose_cost_cannot_be_settled_has_no_body() {
    // Each request shuts its own service down before it is paid.
    let metered = service_fn(|request: Request<Incoming>| async {
        let service = service();
        let quota = layer(&service, by_header("X-Client-Id")).cost(RouteCost::from(4).on_success());
        let closing = service_fn(move |request| {
            let service = service.clone();
            async move {
                service.shutdown().await;
                ran(request).await
            }
        });
        quota.layer(closing).call(request).await
    });
    assert_refused(503, metered).await;
}
