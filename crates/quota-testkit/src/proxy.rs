//! A network that fails when a test asks for it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to a connection, counted in pieces of what the client sends from when it was asked for: piece 0 is the
/// next. A piece is what arrives in one reading: a request, several, or part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Every connection is cut when the piece arrives; the server never sees it.
    Before(usize),
    /// Every connection is cut when the server answers the piece; the client never sees the answer.
    After(usize),
    /// The answer to the piece, and all after it, come this much later.
    Late(usize, Duration),
    /// The piece, and all after it on its connection, reach the server when something else is asked for.
    Held(usize),
    /// What the server says after the piece reaches the client when something else is asked for.
    HeldAnswer(usize),
}

/// Passes bytes on to a server, and fails on demand. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    plan: Mutex<Plan>,
    /// Counts what was asked for: what an earlier one holds goes on.
    plans: watch::Sender<u64>,
    /// Counts cuts: a connection that began before ends.
    cuts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Plan {
    cut: Option<Cut>,
    /// Pieces since the cut was asked for.
    pieces: usize,
    /// Whether it has come to pass.
    met: bool,
}

/// What is to be done with a piece, or with the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Cut,
    CutTheAnswer,
    Late(Duration),
    /// Until something else is asked for than was so far.
    Held(u64),
    HeldAnswer(u64),
}

impl Proxy {
    /// Listens on a free port of the loopback for connections to `server`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            server,
            plan: Mutex::default(),
            plans: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails so, once, from here on; none passes everything. What is held is let go.
    pub fn plan(&self, cut: Option<Cut>) {
        let mut plan = self.state.plan();
        *plan = Plan { cut, ..Plan::default() };
        self.state.plans.send_modify(|plans| *plans = plans.wrapping_add(1));
    }

    /// Whether what was asked for has come to pass.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.state.plan().met
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.cut_all();
    }
}

impl State {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_all(&self) {
        self.cuts.send_modify(|cuts| *cuts = cuts.wrapping_add(1));
    }

    /// Counts a piece, and says what becomes of it.
    fn meet(&self) -> Fate {
        let mut plan = self.plan();
        let piece = plan.pieces;
        plan.pieces = piece.saturating_add(1);
        let (at, fate) = match plan.cut {
            Some(Cut::Before(at)) => (at, Fate::Cut),
            Some(Cut::After(at)) => (at, Fate::CutTheAnswer),
            Some(Cut::Late(at, by)) if piece >= at => (piece, Fate::Late(by)),
            Some(Cut::Held(at)) => (at, Fate::Held(*self.plans.borrow())),
            Some(Cut::HeldAnswer(at)) => (at, Fate::HeldAnswer(*self.plans.borrow())),
            Some(Cut::Late(..)) | None => return Fate::Pass,
        };
        if piece != at || (plan.met && !matches!(fate, Fate::Late(_))) {
            return Fate::Pass;
        }
        plan.met = true;
        fate
    }

    /// Waits until something else is asked for than this.
    async fn moved_on_from(&self, plan: u64) {
        // The sender lives in `self`, so waiting does not fail.
        let _ = self.plans.subscribe().wait_for(|now| *now != plan).await;
    }
}

async fn serve(client: TcpStream, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    cuts.borrow_and_update();
    let Ok(server) = TcpStream::connect(state.server).await else { return };
    // Small pieces must not wait for each other: what is tested is not how slow a proxy is.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let answers = watch::Sender::new(Fate::Pass);
    tokio::select! {
        _ = cuts.changed() => {}
        () = requests(from_client, to_server, &state, &answers) => {}
        () = replies(from_server, to_client, &state, answers.subscribe()) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, answers: &watch::Sender<Fate>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        match state.meet() {
            Fate::Cut => return state.cut_all(),
            Fate::Held(plan) => state.moved_on_from(plan).await,
            // The answer that is held may come after the next piece was sent.
            Fate::Pass if matches!(*answers.borrow(), Fate::HeldAnswer(_)) => {}
            fate => {
                answers.send_replace(fate);
            }
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, fate: watch::Receiver<Fate>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let fate = *fate.borrow();
        match fate {
            Fate::CutTheAnswer => return state.cut_all(),
            Fate::Late(by) => tokio::time::sleep(by).await,
            Fate::HeldAnswer(plan) => state.moved_on_from(plan).await,
            Fate::Pass | Fate::Cut | Fate::Held(_) => {}
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every byte with its successor, and counts the bytes that it saw.
    async fn successor() -> (SocketAddr, watch::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, counted) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        seen.send_modify(|seen| *seen += 1);
                        if stream.write_u8(byte + 1).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, counted)
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_cut_before_keeps_the_request_from_the_server_and_one_after_does_not() {
        let (server, seen) = successor().await;
        let proxy = Proxy::start(server).await.unwrap();
        for (cut, reaches) in [(Cut::Before(1), 1), (Cut::After(1), 2)] {
            let before = *seen.borrow();
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            proxy.plan(Some(cut));
            assert_eq!(ask(&mut stream, 1).await.unwrap(), 2);
            assert!(!proxy.has_cut());
            assert!(ask(&mut stream, 1).await.is_err(), "{cut:?}");
            assert!(proxy.has_cut());
            assert_eq!(*seen.borrow() - before, reaches, "{cut:?}");
            // Only once.
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(ask(&mut stream, 5).await.unwrap(), 6);
        }
    }

    #[tokio::test]
    async fn a_late_answer_comes_late() {
        let (server, _) = successor().await;
        let proxy = Proxy::start(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.plan(Some(Cut::Late(0, Duration::from_secs(3_600))));
        let asked = tokio::time::timeout(Duration::from_millis(100), ask(&mut stream, 1)).await;
        assert!(asked.is_err() && proxy.has_cut());
    }

    #[tokio::test]
    async fn what_is_held_goes_on_when_something_else_is_asked_for() {
        let (server, mut seen) = successor().await;
        let proxy = Proxy::start(server).await.unwrap();
        for (cut, reaches) in [(Cut::Held(1), 1), (Cut::HeldAnswer(1), 2)] {
            let before = *seen.borrow();
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            proxy.plan(Some(cut));
            assert_eq!(ask(&mut stream, 1).await.unwrap(), 2);
            stream.write_u8(5).await.unwrap();
            seen.wait_for(|seen| *seen - before == reaches).await.unwrap();
            let early = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
            assert!(early.is_err() && proxy.has_cut(), "{cut:?}");
            assert_eq!(*seen.borrow() - before, reaches, "{cut:?}");
            // Others go on meanwhile.
            let mut other = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(ask(&mut other, 7).await.unwrap(), 8);
            proxy.plan(None);
            assert_eq!(stream.read_u8().await.unwrap(), 6, "{cut:?}");
        }
    }
}
