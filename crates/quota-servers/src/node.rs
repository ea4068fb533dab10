//! One server process, its folder and its ports.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::error::ServerError;
use crate::recipe::{Ports, Recipe, Started};
use crate::{family, launch, log, ports, resp};

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long one may take to end by its own signal.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How often a server is given another folder, or other ports where somebody took them first.
const ATTEMPTS: usize = 3;

const POLL: Duration = Duration::from_millis(5);

/// One server process. It ends with its owner, and its folder with it.
#[derive(Debug)]
pub struct Node {
    recipe: Box<dyn Recipe>,
    ports: Ports,
    process: Option<Child>,
    log: PathBuf,
    folder: TempDir,
}

impl Node {
    pub(crate) fn start(recipe: impl Recipe + 'static) -> Result<Self, ServerError> {
        let (folder, log) = prepared(&recipe)?;
        let none = Ports { client: 0, bus: 0, encrypted: 0 };
        let mut node = Self { recipe: Box::new(recipe), ports: none, process: None, log, folder };
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            node.ports = Ports { client: ports::free()?, bus: ports::free()?, encrypted: ports::free()? };
            outcome = node.launch();
            if !matches!(outcome, Err(ServerError::Ended { .. })) {
                break;
            }
        }
        outcome.map(|()| node)
    }

    /// The port of `127.0.0.1` on which it serves, also after a restart.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.ports.client
    }

    pub(crate) const fn bus(&self) -> u16 {
        self.ports.bus
    }

    pub(crate) const fn encrypted(&self) -> u16 {
        self.ports.encrypted
    }

    /// The number of its process; none while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What it wrote of itself, all restarts included.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its folder, which is removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks a Redis: a command whose words hold no blank, and what it answers, a text or a number.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn ask_redis(&self, command: &str) -> io::Result<String> {
        resp::ask(self.port(), command)
    }

    /// Ends it by SIGKILL, with every process that it started. What it wrote stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            family::kill(&mut child);
        }
    }

    /// Starts it again, on the same data and the same port. One that runs is killed first.
    ///
    /// # Errors
    /// It ends by itself, or does not answer within a minute.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.launch()
    }

    /// Stops it by SIGSTOP: connections stay open, and nothing answers.
    pub fn pause(&self) {
        if let Some(child) = &self.process {
            family::pause(child);
        }
    }

    /// Lets it go on after [`Node::pause`].
    pub fn resume(&self) {
        if let Some(child) = &self.process {
            family::resume(child);
        }
    }

    fn launch(&mut self) -> Result<(), ServerError> {
        let written = log::length(&self.log);
        let program = self.recipe.program(self.folder.path(), self.ports)?;
        let mut child = program.start(self.folder.path(), &self.log)?;
        let pid = Pid::from_child(&child);
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            // First: another server may have taken the port, and would answer.
            let ended = child.try_wait().map_err(ServerError::io(program.name()))?;
            if let Some(status) = ended {
                return Err(ServerError::Ended { program: program.name(), status, log: log::tail(&self.log) });
            }
            let log = log::since(&self.log, written);
            let (folder, ports) = (self.folder.path(), self.ports);
            if self.recipe.is_ready(Started { folder, ports, pid, log: &log }) {
                self.process = Some(child);
                return Ok(());
            }
            sleep(POLL);
        }
        family::kill(&mut child);
        let (program, seconds) = (program.name(), READY_WITHIN.as_secs());
        Err(ServerError::Silent { program, seconds, log: log::tail(&self.log) })
    }

    fn end(&mut self) {
        let signal = self.recipe.ends_by();
        if let Some(child) = self.process.as_mut().filter(|_| signal != Signal::KILL) {
            family::resume(child);
            family::signal(Pid::from_child(child), signal);
            let began = Instant::now();
            while began.elapsed() < ENDS_WITHIN {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    self.process = None;
                    return;
                }
                sleep(POLL);
            }
        }
        self.kill();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
        self.recipe.clean(self.folder.path());
        if std::thread::panicking() {
            say(&format!("the end of the log of the server on port {}:\n{}", self.port(), log::tail(&self.log)));
        }
    }
}

/// A folder of its own that the recipe has filled, and where the server's log is.
fn prepared(recipe: &impl Recipe) -> Result<(TempDir, PathBuf), ServerError> {
    let mut attempt = 1;
    loop {
        let folder = tempfile::Builder::new().prefix("quota-").tempdir();
        let folder = folder.map_err(ServerError::io("could not make a temporary folder"))?;
        launch::hand_over(folder.path())?;
        let log = folder.path().join("log");
        match recipe.prepare(folder.path(), &log) {
            // It ran beside many other servers, and may have lacked what they hold.
            Err(error @ ServerError::Ended { .. }) if attempt < ATTEMPTS => {
                say(&format!("a server's folder is prepared again: {error}"));
                attempt += 1;
            }
            outcome => return outcome.map(|()| (folder, log)),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a developer is shown what a server said")]
fn say(text: &str) {
    eprintln!("{text}");
}
