//! One Redis.

use quota_servers::{Server, private};

use crate::client::{only, redis};

#[test]
fn redis_keeps_what_it_was_told_over_a_kill() {
    let Some(mut server) = private(Server::Redis) else { return };
    let port = only(&server).port();
    assert_eq!(server.url(), format!("redis://127.0.0.1:{port}/0"));
    assert_eq!(redis(only(&server), "CONFIG SET appendfsync always").unwrap(), "OK");
    assert_eq!(redis(only(&server), "SET name value").unwrap(), "OK");

    server.kill();
    assert_eq!(only(&server).pid(), None);
    assert!(redis(only(&server), "PING").is_err());

    server.restart().unwrap();
    assert_eq!(only(&server).port(), port);
    assert_eq!(redis(only(&server), "GET name").unwrap(), "value");
}

#[test]
fn redis_is_as_its_documentation_says() {
    let Some(server) = private(Server::Redis) else { return };
    for (setting, value) in [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction")] {
        let answer = redis(only(&server), &format!("CONFIG GET {setting}")).unwrap();
        assert_eq!(answer.lines().last(), Some(value), "{setting}");
    }
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    let Some(server) = private(Server::Redis) else { return };
    server.pause();
    assert!(redis(only(&server), "PING").is_err());
    server.resume();
    assert_eq!(redis(only(&server), "PING").unwrap(), "PONG");
}

#[test]
fn servers_of_one_kind_are_strangers() {
    let (Some(one), Some(other)) = (private(Server::Redis), private(Server::Redis)) else { return };
    redis(only(&one), "SET name value").unwrap();
    assert_eq!(redis(only(&other), "DBSIZE").unwrap(), "0");
}
