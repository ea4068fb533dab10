//! Requests and answers of HTTP/1.1 as they stand.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::http::answer::Answer;

/// What was written of a request.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: Uri,
    /// None where it was cut off.
    pub(super) body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let (line, headers, body) = parts(text);
        let mut words = line.split(' ');
        let (method, uri) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let is_whole = match (headers.get(CONTENT_LENGTH), headers.get(TRANSFER_ENCODING)) {
            (Some(length), None) => length == body.len().to_string().as_str(),
            (None, Some(_)) => body.ends_with("0\r\n\r\n"),
            (_, _) => body.is_empty(),
        };
        Self { method, uri, body: is_whole.then_some(body.as_bytes()) }
    }
}

/// The whole answer. It says how long its body is, which that of a `HEAD` leaves out.
pub(super) fn answer(text: &str, is_of_head: bool) -> Answer {
    let (line, headers, body) = parts(text);
    let status: u16 = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap().parse().unwrap();
    assert_eq!(headers.get(TRANSFER_ENCODING), None, "{text}");
    let length = headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap());
    if is_of_head {
        assert!(body.is_empty() && length.is_some_and(|length| length != "0"), "{text}");
    } else if status != 204 {
        assert_eq!(length, Some(body.len().to_string().as_str()), "{text}");
    }
    Answer { status, headers, body: body.to_owned() }
}

/// The first line, the headers, and what follows.
fn parts(text: &str) -> (&str, HeaderMap, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), value.trim().parse::<HeaderValue>().unwrap())
    });
    let mut map = HeaderMap::new();
    headers.for_each(|(name, value)| {
        map.append(name, value);
    });
    (line, map, body)
}
