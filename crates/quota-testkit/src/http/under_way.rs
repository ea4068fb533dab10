//! Requests that have not been answered whole.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::answer::Answer;
use crate::http::connection::Connection;

/// A request whose answer nobody waits for yet. Dropped, its client goes away.
pub(super) struct UnderWay<'r> {
    runtime: &'r Runtime,
    answer: JoinHandle<Option<Answer>>,
}

/// A request whose answer may be given up while its connection lives on.
pub(super) struct OnConnection<'r> {
    runtime: &'r Runtime,
    given_up: oneshot::Sender<()>,
    connection: JoinHandle<Connection>,
}

/// An answer whose body is read bit by bit. Dropped, its client goes away.
pub(super) struct Streamed<'r> {
    runtime: &'r Runtime,
    _connection: Connection,
    response: Response<Incoming>,
}

impl<'r> UnderWay<'r> {
    pub(super) fn new(runtime: &'r Runtime, answer: impl Future<Output = Option<Answer>> + Send + 'static) -> Self {
        Self { runtime, answer: runtime.spawn(answer) }
    }

    /// Whether it has been answered whole, or cut.
    pub(super) fn has_ended(&self) -> bool {
        self.answer.is_finished()
    }

    /// The whole answer; none where the server cuts the connection.
    pub(super) fn answer(mut self) -> Option<Answer> {
        self.runtime.block_on(&mut self.answer).unwrap()
    }
}

impl<'r> OnConnection<'r> {
    pub(super) fn new(runtime: &'r Runtime, mut connection: Connection, request: Request<Bytes>) -> Self {
        let (given_up, told) = oneshot::channel();
        let connection = runtime.spawn(async move {
            tokio::select! {
                answer = connection.send(request) => drop(answer),
                _ = told => {}
            }
            connection
        });
        Self { runtime, given_up, connection }
    }

    /// Gives it up: in HTTP/2 its stream is reset, which the server has read when it answers what was asked after it. The connection, for
    /// others.
    pub(super) fn give_up(self) -> Connection {
        // It fails where the answer has come, which is a failure of the test that looks.
        let _ = self.given_up.send(());
        self.runtime.block_on(async {
            let mut connection = self.connection.await.unwrap();
            let after = Request::get("/free").body(Bytes::new()).unwrap();
            assert_eq!(connection.send(after).await.unwrap().status(), 200);
            connection
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl<'r> Streamed<'r> {
    pub(super) const fn new(runtime: &'r Runtime, connection: Connection, response: Response<Incoming>) -> Self {
        Self { runtime, _connection: connection, response }
    }

    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Reads until it ends or is cut.
    pub(super) fn read_to_end(&mut self) {
        while let Some(Ok(_)) = self.runtime.block_on(self.response.body_mut().frame()) {}
    }

    /// What comes next of the body.
    pub(super) fn chunk(&mut self) -> Vec<u8> {
        let frame = self.runtime.block_on(self.response.body_mut().frame());
        frame.unwrap().unwrap().into_data().unwrap().to_vec()
    }
}
