//! A network between a store and its server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quota_store_mongo::MongoStore;

use crate::collections::Collections;

/// A network between a store and its server: it keeps updates back for as long as it is told to, and remembers what was sent.
pub(crate) struct Between {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    delay: Mutex<Duration>,
    updates: AtomicUsize,
    sent: Mutex<Vec<Vec<u8>>>,
}

impl Between {
    pub(crate) fn new(collections: &Collections) -> Self {
        let server = collections.url().split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let url = collections.url_with("directConnection=true").replace(&server, &here);
        let state = Arc::new(State::default());
        let between = Self { url, state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (back, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let state = Arc::clone(&state);
                std::thread::spawn(move || forward(client, server, |piece| state.meet(piece)));
                std::thread::spawn(move || forward(answers, back, |_| {}));
            }
        });
        between
    }

    /// Another process, beyond this network.
    pub(crate) async fn store(&self, collections: &Collections) -> MongoStore {
        collections.builder(&self.url).connect().await.unwrap()
    }

    /// Each update reaches the server so late, also those that are kept back already.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// How many updates were sent.
    pub(crate) fn updates(&self) -> usize {
        self.state.updates.load(Ordering::SeqCst)
    }

    /// What was sent since this was asked last, in pieces: each is a command where that is short.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state.sent.lock().unwrap())
    }
}

impl State {
    fn meet(&self, piece: &[u8]) {
        self.sent.lock().unwrap().push(piece.to_vec());
        // A command that is named so and names its collection, a text.
        if contains(piece, b"\x02update\0") {
            self.updates.fetch_add(1, Ordering::SeqCst);
            let began = Instant::now();
            while began.elapsed() < *self.delay.lock().unwrap() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

pub(crate) fn contains(piece: &[u8], bytes: &[u8]) -> bool {
    piece.windows(bytes.len()).any(|some| some == bytes)
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut meet: impl FnMut(&[u8])) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        meet(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
