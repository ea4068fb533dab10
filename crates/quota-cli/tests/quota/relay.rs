//! A way to a server that breaks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes connections on to a server until it breaks. It ends with the process.
pub(crate) struct Relay {
    address: SocketAddr,
    way: Arc<Way>,
}

/// What breaks a way, and how.
#[derive(Clone, Copy)]
enum Breaks {
    /// Each connection is cut when so many bytes of answers have come through it.
    Each { after: u64 },
    /// When so many bytes of requests came through all together, they are cut, and later ones at once.
    Lost { after: u64 },
    /// When so many bytes of requests came through all together, nothing passes any more, and connections stay open.
    Stuck { after: u64 },
    /// The same when it is so many bytes of answers.
    Silent { after: u64 },
    /// When so many bytes of requests came through all together, something happens, and they pass as before.
    Changed { after: u64 },
}

/// What is done in the midst of requests.
type Change = Box<dyn FnOnce() + Send>;

/// What is said on a way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Requests,
    Answers,
}

struct Way {
    server: String,
    breaks: Breaks,
    /// How many connections were cut.
    cuts: AtomicUsize,
    /// Bytes that came through, where they count all together.
    passed: AtomicU64,
    is_broken: AtomicBool,
    change: Mutex<Option<Change>>,
}

impl Relay {
    /// To `server` (`HOST:PORT`); cuts each connection when so many bytes of answers have come through it.
    pub(crate) fn cutting(server: &str, after: u64) -> Self {
        Self::start(server, Breaks::Each { after }, None)
    }

    /// To `server`; when so many bytes of requests came through it, it is as if the server were gone.
    pub(crate) fn losing(server: &str, after: u64) -> Self {
        Self::start(server, Breaks::Lost { after }, None)
    }

    /// To `server`; when so many bytes of requests came through it, nothing does any more.
    pub(crate) fn sticking(server: &str, after: u64) -> Self {
        Self::start(server, Breaks::Stuck { after }, None)
    }

    /// To `server`; when so many bytes of answers came through it, nothing does any more.
    pub(crate) fn falling_silent(server: &str, after: u64) -> Self {
        Self::start(server, Breaks::Silent { after }, None)
    }

    /// To `server`; when so many bytes of requests came through it, this is done before anything else passes.
    pub(crate) fn changing(server: &str, after: u64, change: impl FnOnce() + Send + 'static) -> Self {
        Self::start(server, Breaks::Changed { after }, Some(Box::new(change)))
    }

    fn start(server: &str, breaks: Breaks, change: Option<Change>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, passed, is_broken) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let (server, change) = (server.to_owned(), Mutex::new(change));
        let way = Arc::new(Way { server, breaks, cuts, passed, is_broken, change });
        let shared = Arc::clone(&way);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, way) = (client.unwrap(), Arc::clone(&shared));
                // Whoever is connected sees how it ended.
                thread::spawn(move || drop(way.pass(&client)));
            }
        });
        Self { address, way }
    }

    /// A server's URL with the relay in the server's place.
    pub(crate) fn in_place_of(&self, server: &str, url: &str) -> String {
        let url = url.replacen(server, &self.address.to_string(), 1);
        if !url.starts_with("mongodb:") {
            return url;
        }
        // Else the driver goes where the server says that it is.
        format!("{url}{}directConnection=true", if url.contains('?') { '&' } else { '?' })
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.way.cuts.load(Ordering::SeqCst)
    }

    /// Whether all of it is broken, or what was to be done in the midst of requests is done.
    pub(crate) fn is_broken(&self) -> bool {
        self.way.is_broken.load(Ordering::SeqCst)
    }
}

/// The `HOST:PORT` of a server's URL.
pub(crate) fn server_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap()
}

impl Way {
    fn pass(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.server)?;
        let (from_client, to_server, way) = (client.try_clone()?, server.try_clone()?, Arc::clone(self));
        thread::spawn(move || {
            // Either may have gone, and then the other is to go.
            let _ = way.carry(&from_client, &to_server, Said::Requests);
            let _ = to_server.shutdown(Shutdown::Both);
            if way.is_broken.load(Ordering::SeqCst) && !matches!(way.breaks, Breaks::Changed { .. }) {
                let _ = from_client.shutdown(Shutdown::Both);
            }
        });
        let passed = match self.breaks {
            Breaks::Each { after } => io::copy(&mut (&server).take(after), &mut &*client).map(|passed| passed == after),
            _ => self.carry(&server, client, Said::Answers).map(|()| false),
        };
        if passed.is_ok_and(|is_cut| is_cut) {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }
        // By the end of its stream and not by a reset: what came through before is still read.
        for stream in [client, &server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
        Ok(())
    }

    /// Carries bytes until one side ends or the way is cut; those that come when it is stuck are lost.
    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream, said: Said) -> io::Result<()> {
        let mut buffer = vec![0; 16_384];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if self.breaks_with(said, count) {
                match self.breaks {
                    Breaks::Lost { .. } => return Ok(()),
                    Breaks::Changed { .. } => self.change(),
                    _ => continue,
                }
            }
            to.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }

    /// Others wait until it is done.
    fn change(&self) {
        if let Some(change) = self.change.lock().unwrap().take() {
            change();
        }
    }

    /// Whether it is broken when so many bytes more have come.
    fn breaks_with(&self, said: Said, count: usize) -> bool {
        let (counted, after) = match self.breaks {
            Breaks::Each { .. } => return false,
            Breaks::Lost { after } | Breaks::Stuck { after } | Breaks::Changed { after } => (Said::Requests, after),
            Breaks::Silent { after } => (Said::Answers, after),
        };
        let count = u64::try_from(count).unwrap();
        if said == counted && self.passed.fetch_add(count, Ordering::SeqCst) + count > after {
            self.is_broken.store(true, Ordering::SeqCst);
        }
        self.is_broken.load(Ordering::SeqCst)
    }
}
