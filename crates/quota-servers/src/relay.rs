//! Other words in a server's mouth.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::error::ServerError;

/// Passes connections on to a server of this machine, and puts other words in the place of some that it says: a server that
/// is too old is met so where none is installed. It listens until this process ends.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    port: u16,
}

impl Relay {
    /// Listens for connections to the server on `port`. What it says as `said` is heard as `heard`, unless it comes in two
    /// pieces.
    ///
    /// # Errors
    /// No port can be had, or `heard` is not as long as `said`: what surrounds it may count its bytes.
    pub fn start(port: u16, said: Vec<u8>, heard: Vec<u8>) -> Result<Self, ServerError> {
        if said.is_empty() || said.len() != heard.len() {
            return Err(ServerError::Answer(format!("{} bytes cannot be heard as {}", said.len(), heard.len())));
        }
        let failed = || ServerError::io("a relay could not listen");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
        let own = listener.local_addr().map_err(failed())?.port();
        let words = Arc::new(Words { said, heard });
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let words = Arc::clone(&words);
                // Whoever is connected sees how it ended.
                thread::spawn(move || drop(pass(near, port, &words)));
            }
        });
        Ok(Self { port: own })
    }

    /// The port of `127.0.0.1` on which it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn pass(near: TcpStream, port: u16, words: &Words) -> io::Result<()> {
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut asks, mut asked) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        // However it ends, nothing more is asked.
        let _ = io::copy(&mut asks, &mut asked);
        asked.shutdown(Shutdown::Both)
    });
    answer(far, near, words)
}

fn answer(mut from: TcpStream, mut to: TcpStream, words: &Words) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let count = from.read(&mut buffer)?;
        let piece = buffer.get_mut(..count).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown(Shutdown::Both);
        }
        words.replace(piece);
        to.write_all(piece)?;
    }
}

/// What is said, and what is heard.
struct Words {
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Words {
    fn replace(&self, piece: &mut [u8]) {
        let length = self.said.len();
        for place in 0..piece.len() {
            if let Some(part) = piece.get_mut(place..place.saturating_add(length))
                && part == self.said.as_slice()
            {
                part.copy_from_slice(&self.heard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_heard_as_another_wherever_it_is_said() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 3];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(b"old, not new: old").unwrap();
        });
        let relay = Relay::start(server, b"old".to_vec(), b"new".to_vec()).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port())).unwrap();
        stream.write_all(b"old").unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "new, not new: new");
    }

    #[test]
    fn words_of_another_length_are_refused() {
        assert!(Relay::start(1, b"7.0".to_vec(), b"10.0".to_vec()).is_err());
        assert!(Relay::start(1, Vec::new(), Vec::new()).is_err());
    }
}
