//! A command of Redis and its answer, as far as a cluster needs them to be made.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Sends a command whose words hold no blank, and gives what the server answers: a text.
pub(crate) fn ask(port: u16, command: &str) -> Result<String> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let length = length.parse::<u64>().map_err(|_| refused(command, line))?;
            let mut text = String::new();
            stream.take(length).read_to_string(&mut text)?;
            Ok(text)
        }
        _ => Err(refused(command, line)),
    }
}

fn refused(command: &str, answer: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{command} was answered with {answer:?}"))
}
