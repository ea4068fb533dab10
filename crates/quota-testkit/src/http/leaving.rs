//! A client that goes away.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};

use crate::http::HttpHarness;
use crate::http::connection::Connection;
use crate::http::ground::{Ground, read};
use crate::http::under_way::OnConnection;

/// A request whose client goes away.
pub(super) enum Leaving<'g> {
    /// With its connection.
    Connection(TcpStream),
    /// In HTTP/2, without.
    Stream(OnConnection<'g>),
}

impl<'g> Leaving<'g> {
    pub(super) fn ask<H: HttpHarness>(ground: &'g Ground<H>, request: Request<Bytes>) -> Self {
        if H::VERSION == Version::HTTP_2 {
            return Self::Stream(ground.begin_on_a_connection(request));
        }
        let mut text = format!("{} {} HTTP/1.1\r\nHost: x\r\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        Self::Connection(ground.write(&(text + "\r\n")))
    }

    /// The client says nothing more. Gives the connection, where it lives on.
    pub(super) fn leave<H: HttpHarness>(self) -> Option<Connection> {
        let left = match self {
            Self::Stream(asked) => Some(asked.give_up()),
            Self::Connection(asked) => {
                asked.shutdown(Shutdown::Write).unwrap();
                if H::CANCELS {
                    // It ends the connection, and what it was waiting for in it.
                    assert_eq!(read(asked), "");
                }
                None
            }
        };
        if H::CANCELS {
            // What the server has read ends in a task of its own.
            std::thread::sleep(Duration::from_millis(20));
        }
        left
    }
}
