//! One connection to a harness's server.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A client of its own. Dropped, its connection is cut, whatever is under way.
pub(super) struct Connection {
    address: SocketAddr,
    sender: Sender,
    driver: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // What gives a request up is not to wait until the request is acknowledged.
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            let driver = tokio::spawn(async { drop(connection.await) });
            return Self { address, sender: Sender::Http2(sender), driver };
        }
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async { drop(connection.await) });
        Self { address, sender: Sender::Http1(sender), driver }
    }

    /// Sends a request whose URI is a path, and waits until its answer begins.
    ///
    /// # Errors
    /// The server has cut the connection.
    pub(super) async fn send(&mut self, request: Request<Bytes>) -> hyper::Result<Response<Incoming>> {
        let mut request = request.map(Full::new);
        let authority = self.address.to_string();
        match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().insert(HOST, HeaderValue::try_from(authority).unwrap());
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let path = request.uri().path_and_query().unwrap().clone();
                *request.uri_mut() =
                    Uri::builder().scheme("http").authority(authority).path_and_query(path).build().unwrap();
                sender.send_request(request).await
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
