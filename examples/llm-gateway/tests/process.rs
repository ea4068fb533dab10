//! The example as its users start it: its own process, real HTTP.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::tempdir;

/// A running gateway on a free port. Ended with the test.
struct Server {
    process: Child,
    base: String,
    /// What it prints after its address.
    words: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-gateway"));
        command.env_clear().env("PORT", "0").env("QUOTA_PLANS", "plans.json").current_dir(folder);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut words = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        words.read_line(&mut first).unwrap();
        let base = first.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, base, words }
    }

    fn status(&self) -> Value {
        let request = ureq::get(format!("{}/quota/status", self.base)).header("Authorization", "Bearer sk-acme-7f3c");
        serde_json::from_str(&request.call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    fn told_to_stop(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended where the test waited for it; nobody is left to tell of an error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_stream_that_the_servers_end_cuts_short_is_paid_and_kept() {
    let folder = tempdir().unwrap();
    // One window that outlasts the test.
    let quota = r#"{"period":"YEAR","every":20,"limit":"10","anchor":"2020-01-01T00:00:00Z","tz":"UTC"}"#;
    let plans = format!(r#"{{"clients":{{"acme":{{"quotas":[{quota}]}}}}}}"#);
    fs::write(folder.path().join("plans.json"), plans).unwrap();

    let mut server = Server::start(folder.path());
    let request = ureq::post(format!("{}/v1/completions", server.base)).header("Authorization", "Bearer sk-acme-7f3c");
    let response = request.send(r#"{"prompt": "Go on forever", "max_tokens": 4096, "stream": true}"#).unwrap();
    let mut lines = BufReader::new(response.into_body().into_reader()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == r#"data: {"text":"quota "}"#));
    server.told_to_stop();
    let last = lines.filter(|line| !line.is_empty()).last().unwrap();
    let last: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["error"]["message"], "the server is stopping");
    assert!(server.process.wait().unwrap().success());

    let status = Server::start(folder.path()).status();
    let quota = &status["quotas"][0];
    assert_eq!((&quota["used"], quota["held"].as_str()), (&last["usage"]["credits"], Some("0")), "{status}");
}

#[test]
fn it_prints_what_to_try() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("plans.json"), r#"{"clients":{}}"#).unwrap();
    let mut server = Server::start(folder.path());
    let mut words = String::new();
    while !words.ends_with("stop with ctrl-c\n") {
        assert!(server.words.read_line(&mut words).unwrap() > 0, "{words}");
    }
    assert!(words.contains(&format!("'{}/v1/completions'", server.base)), "{words}");
}
