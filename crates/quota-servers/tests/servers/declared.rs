//! What is skipped, and what must not be.

use std::process::{Command, Output};

use quota_servers::{REQUIRED, Server, private, url};

/// Another process of this program, whose suites find an environment of their own.
fn suite(name: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("declared::{name}")]);
    for server in Server::ALL {
        command.env_remove(server.variable());
    }
    let Output { status, stdout, stderr } =
        command.env_remove(REQUIRED).envs(variables.iter().copied()).output().unwrap();
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn asks_for_postgres() {
    if let Some(url) = url(Server::Postgres) {
        assert!(url.starts_with("postgres"), "{url}");
    }
}

#[test]
fn starts_redis() {
    drop(private(Server::Redis));
}

#[test]
fn a_declared_server_is_used() {
    let variable = Server::Postgres.variable();
    assert!(suite("asks_for_postgres", &[(variable, "postgres://somewhere/quota")]).0);
    assert!(!suite("asks_for_postgres", &[(variable, "what it was given")]).0, "it was not given what was declared");
}

#[test]
fn a_server_that_nobody_declared_is_skipped_aloud() {
    for others in ["", "mysql, redis-cluster"] {
        let (passed, said) = suite("asks_for_postgres", &[(REQUIRED, others)]);
        assert!(passed, "{said}");
        let line = "SKIP declared::asks_for_postgres: set QUOTA_TEST_POSTGRES_URL or run cargo xtask test";
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn a_required_server_without_a_url_fails_the_suite() {
    let (passed, said) = suite("asks_for_postgres", &[(REQUIRED, "redis,postgres")]);
    assert!(!passed);
    assert!(
        said.contains("postgres is required (QUOTA_TEST_REQUIRED), but QUOTA_TEST_POSTGRES_URL is not set"),
        "{said}"
    );
}

#[test]
fn a_private_server_that_is_not_installed_is_skipped_aloud_unless_it_is_required() {
    let (passed, said) = suite("starts_redis", &[("PATH", "/nowhere")]);
    assert!(passed, "{said}");
    assert!(said.contains("SKIP declared::starts_redis: redis-server is not installed"), "{said}");
    // The cluster is another kind.
    assert!(suite("starts_redis", &[("PATH", "/nowhere"), (REQUIRED, "redis-cluster")]).0);
    let (passed, said) = suite("starts_redis", &[("PATH", "/nowhere"), (REQUIRED, "redis")]);
    assert!(!passed);
    assert!(said.contains("redis-server is not installed"), "{said}");
}
