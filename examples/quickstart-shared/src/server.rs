//! The example as its users start it: its own process, real HTTP.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A running example on a free port. Ended with the test.
pub(crate) struct Server {
    process: Child,
    base: String,
    agent: ureq::Agent,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn remaining(&self) -> &str {
        self.header("x-ratelimit-remaining").unwrap()
    }
}

/// The example's program with nothing of this process's environment.
pub(crate) fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PORT", "0").current_dir(folder).stdin(Stdio::null());
    command
}

impl Server {
    /// Starts it in a folder with these variables, and waits until it listens.
    pub(crate) fn start(program: &str, folder: &TempDir, variables: &[(&str, &str)]) -> Self {
        Self::start_with(program, folder, &[], variables)
    }

    /// The same with these arguments.
    pub(crate) fn start_with(program: &str, folder: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(program, folder.path());
        command.args(arguments).envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let base = first.trim().strip_prefix("listening on ").unwrap().to_owned();
        // What follows is read, so that the example never waits for a reader.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { process, base, agent }
    }

    /// GET as `client1`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_as(Some("client1"), path)
    }

    pub(crate) fn get_as(&self, client: Option<&str>, path: &str) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(client) = client {
            request = request.header("X-Client-Id", client);
        }
        Self::answer(request.call().unwrap())
    }

    /// Calls from eight threads as `client1` until the example stops, which this signal tells it to after `enough` answers.
    /// Returns how many were answered with 200.
    pub(crate) fn stop_under_load(mut self, path: &str, enough: usize, signal: Signal) -> (ExitStatus, usize) {
        let answered = AtomicUsize::new(0);
        let url = format!("{}{path}", self.base);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Ok(answer) = self.agent.get(&url).header("X-Client-Id", "client1").call() {
                        answered.fetch_add(usize::from(answer.status() == 200), Ordering::SeqCst);
                    }
                });
            }
            let began = std::time::Instant::now();
            while answered.load(Ordering::SeqCst) < enough {
                assert!(began.elapsed() < std::time::Duration::from_secs(60), "the server does not answer");
                std::thread::yield_now();
            }
            kill_process(Pid::from_child(&self.process), signal).unwrap();
        });
        (self.process.wait().unwrap(), answered.into_inner())
    }

    /// GET as an operator with this token.
    pub(crate) fn get_as_operator(&self, token: &str, path: &str) -> Answer {
        let request = self.agent.get(format!("{}{path}", self.base));
        Self::answer(request.header("Authorization", format!("Bearer {token}")).call().unwrap())
    }

    /// PUT of JSON as an operator with this token.
    pub(crate) fn put_as_operator(&self, token: &str, path: &str, body: &str) -> Answer {
        let request = self.agent.put(format!("{}{path}", self.base)).content_type("application/json");
        Self::answer(request.header("Authorization", format!("Bearer {token}")).send(body).unwrap())
    }

    /// POST of JSON as an operator with this token.
    pub(crate) fn post_as_operator(&self, token: &str, path: &str, body: &str) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        Self::answer(request.header("Authorization", format!("Bearer {token}")).send(body).unwrap())
    }

    /// DELETE as an operator with this token.
    pub(crate) fn delete_as_operator(&self, token: &str, path: &str) -> Answer {
        let request = self.agent.delete(format!("{}{path}", self.base));
        Self::answer(request.header("Authorization", format!("Bearer {token}")).call().unwrap())
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        Self::answer(self.agent.post(format!("{}{path}", self.base)).send_empty().unwrap())
    }

    fn answer(mut response: http::Response<ureq::Body>) -> Answer {
        let body = response.body_mut().read_to_string().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended after `stop`; nobody is left to tell of an error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
