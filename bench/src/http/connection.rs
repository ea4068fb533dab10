//! One keep-alive connection: as little work as possible, since it shares the processors with the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

pub(super) struct Connection {
    stream: TcpStream,
    /// What was received of an answer.
    received: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, received: Vec::with_capacity(2_048) })
    }

    pub(super) fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request)?)
    }

    /// Waits for the whole answer and says its status.
    pub(super) fn receive(&mut self) -> anyhow::Result<u16> {
        self.received.clear();
        loop {
            if let Some(status) = answer(&self.received)? {
                return Ok(status);
            }
            let mut part = [0_u8; 2_048];
            let length = self.stream.read(&mut part).context("an answer")?;
            let Some(part) = part.get(..length).filter(|part| !part.is_empty()) else {
                bail!("the server closed a connection");
            };
            self.received.extend_from_slice(part);
        }
    }
}

/// The status of an answer, if all of it is there.
fn answer(received: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(received.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without Content-Length")?;
    let length: usize = length.1.trim().parse()?;
    match received.len().cmp(&(end + 4 + length)) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(status)),
        std::cmp::Ordering::Greater => bail!("more than one answer to one request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let whole = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 3\r\nx: y\r\n\r\nabc";
        for part in 0..whole.len() {
            assert_eq!(answer(&whole[..part]).unwrap(), None, "{part}");
        }
        assert_eq!(answer(whole).unwrap(), Some(429));
        assert!(answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
