//! Requests and what came back, as text.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use pretty_assertions::assert_str_eq;

use crate::http::HttpHarness;
use crate::http::answer::Answer;
use crate::http::ground::{CLIENT, Ground};

/// What servers and frameworks say of themselves and of the connection.
pub(super) const OF_THE_SERVER: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "permissions-policy",
    "server",
    "transfer-encoding",
    "x-content-type-options",
    "x-frame-options",
];

/// Set, what came back is written instead of compared.
const REWRITE: &str = "QUOTA_REWRITE_TRANSCRIPTS";

/// A file of the folder `transcripts`, as it was compiled in.
pub(super) struct Expected {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// What was asked so far, and every byte of the answers that the server did not add.
pub(super) struct Transcript<'g, H> {
    ground: &'g Ground<H>,
    text: String,
}

impl<'g, H: HttpHarness> Transcript<'g, H> {
    pub(super) const fn of(ground: &'g Ground<H>) -> Self {
        Self { ground, text: String::new() }
    }

    /// Sends each: a method and a path, then lines of headers, and after an empty line a body. It is the client's, unless
    /// it names another or brings a token.
    pub(super) fn ask<const N: usize>(mut self, requests: [&str; N]) -> Self {
        for text in requests {
            let answer = self.ground.send(request(text));
            for line in text.lines() {
                writeln!(self.text, "> {line}").unwrap();
            }
            self.text.push_str(&told(&answer));
        }
        self
    }

    /// Something happens between two requests.
    pub(super) fn meanwhile(mut self, what: &str, happens: impl FnOnce(&Ground<H>)) -> Self {
        happens(self.ground);
        writeln!(self.text, "# {what}\n").unwrap();
        self
    }

    /// It is what the file says, to the byte.
    ///
    /// # Panics
    /// Where it is not, with the differences, and where the file was written instead.
    pub(super) fn is(self, expected: &Expected) {
        if std::env::var_os(REWRITE).is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/transcripts");
            std::fs::write(folder.join(format!("{}.txt", expected.name)), &self.text).unwrap();
            panic!("{} is written: read what has changed, and test again without {REWRITE}", expected.name);
        }
        assert!(!expected.text.is_empty(), "{}: set {REWRITE} to write what came back", expected.name);
        assert_str_eq!(self.text, expected.text, "{}: set {REWRITE} to write what came back", expected.name);
    }
}

fn request(text: &str) -> Request<Bytes> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    if !["x-client-id", "authorization"].iter().any(|name| request.headers().contains_key(*name)) {
        request.headers_mut().insert("x-client-id", HeaderValue::from_static(CLIENT));
    }
    request
}

fn told(answer: &Answer) -> String {
    let mut text = format!("< {}\n", answer.status);
    let headers = answer.headers.iter().filter(|(name, _)| !OF_THE_SERVER.contains(&name.as_str()));
    let mut headers: Vec<String> =
        headers.map(|(name, value)| format!("< {name}: {}\n", value.to_str().unwrap())).collect();
    headers.sort_unstable();
    text.extend(headers);
    text.push_str(&answer.body);
    text.push_str("\n\n");
    text
}
