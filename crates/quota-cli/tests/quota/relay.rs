//! A way to a server that breaks.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes connections on to a server, and cuts each when so many bytes of answers have come through it. It ends with the
/// process.
pub(crate) struct Relay {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    /// Listens on a free port of the loopback for connections to `server` (`HOST:PORT`).
    pub(crate) fn cutting(server: &str, after: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let (server, counted) = (server.to_owned(), Arc::clone(&cuts));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server, cuts) = (client.unwrap(), server.clone(), Arc::clone(&counted));
                thread::spawn(move || pass(&client, &server, after, &cuts).unwrap());
            }
        });
        Self { address, cuts }
    }

    /// A server's URL with the relay in the server's place.
    pub(crate) fn in_place_of(&self, server: &str, url: &str) -> String {
        url.replacen(server, &self.address.to_string(), 1)
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// The `HOST:PORT` of a server's URL.
pub(crate) fn server_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap()
}

fn pass(client: &TcpStream, server: &str, after: u64, cuts: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        // Either may have gone, and then the other is to go.
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let mut to_client = client;
    let passed = io::copy(&mut (&server).take(after), &mut to_client);
    if passed.is_ok_and(|passed| passed == after) {
        cuts.fetch_add(1, Ordering::SeqCst);
    }
    // By the end of its stream and not by a reset: what came through before is still read.
    for stream in [client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    Ok(())
}
