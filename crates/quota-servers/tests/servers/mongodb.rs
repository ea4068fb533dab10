//! MongoDB, spoken to in its own protocol: no client comes with it.

use std::io::{Read, Write};
use std::net::TcpStream;

use quota_servers::{PrivateServer, Server, private, private_guarded};

use crate::client::only;

#[test]
fn mongodb_keeps_what_it_acknowledged_over_a_kill() {
    let Some(mut server) = private(Server::Mongodb) else { return };
    assert_eq!(server.url(), format!("mongodb://127.0.0.1:{}/quota", only(&server).port()));
    let one = document(&[int("_id", 1), text("fact", "a fact that stays")]);
    let documents = element(4, "documents", &document(&[element(3, "0", &one)]));
    let durable = element(3, "writeConcern", &document(&[int("w", 1), boolean("j", true)]));
    ask(&server, &document(&[text("insert", "facts"), documents, durable, text("$db", "quota")]));
    server.restart().unwrap();
    let found = ask(&server, &document(&[text("find", "facts"), text("$db", "quota")]));
    assert!(String::from_utf8_lossy(&found).contains("a fact that stays"));
}

#[test]
fn a_guarded_mongodb_answers_no_stranger() {
    let Some(server) = private_guarded() else { return };
    let found = ask(&server, &document(&[text("find", "facts"), text("$db", "quota")]));
    let said = String::from_utf8_lossy(&found).into_owned();
    assert!(said.contains("Unauthorized"), "{said}");
}

/// `OP_MSG` with one document; the answer's bytes.
fn ask(server: &PrivateServer, command: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", only(server).port())).unwrap();
    let mut message = Vec::new();
    for number in [i32::try_from(command.len()).unwrap() + 21, 1, 0, 2_013, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend(command);
    stream.write_all(&message).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_le_bytes(length)).unwrap() - 4];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let body = elements.concat();
    let length = i32::try_from(body.len()).unwrap() + 5;
    [&length.to_le_bytes(), body.as_slice(), &[0]].concat()
}

fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], value].concat()
}

fn int(name: &str, value: i32) -> Vec<u8> {
    element(16, name, &value.to_le_bytes())
}

fn boolean(name: &str, value: bool) -> Vec<u8> {
    element(8, name, &[u8::from(value)])
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let length = i32::try_from(value.len()).unwrap() + 1;
    element(2, name, &[&length.to_le_bytes(), value.as_bytes(), &[0]].concat())
}
