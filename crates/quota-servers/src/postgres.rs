//! PostgreSQL.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::error::ServerError;
use crate::launch::Program;
use crate::programs;
use crate::recipe::{Ports, Recipe, Started};

/// The superuser and the database are both called `quota`.
#[derive(Debug)]
pub(crate) struct Postgres {
    password: String,
}

impl Postgres {
    pub(crate) const fn new(password: String) -> Self {
        Self { password }
    }
}

impl Recipe for Postgres {
    fn prepare(&self, folder: &Path, log: &Path) -> Result<(), ServerError> {
        // Nothing of what is made here has to outlive the machine; what the server writes later is durable.
        Program::new(programs::postgres("initdb")?)
            .refusing_root()
            .arguments(["--no-sync", "--pgdata", "data", "--username", "quota", "--auth", "scram-sha-256"])
            .arguments(["--encoding", "UTF8", "--locale", "C", "--pwfile", "/dev/stdin"])
            .run(folder, log, &format!("{}\n", self.password))?;
        Program::new(programs::postgres("postgres")?)
            .refusing_root()
            .arguments(["--single", "-F", "-D", "data", "postgres"])
            .run(folder, log, "CREATE DATABASE quota;\n")
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("port={}", ports.client),
            "max_connections=300".to_owned(),
            "password_encryption=scram-sha-256".to_owned(),
            // Shared memory that a killed server leaves behind goes with its folder.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        Ok(Program::new(programs::postgres("postgres")?)
            .refusing_root()
            // Ends at once, and tells its own processes.
            .orphaned("QUIT")
            .argument("-D")
            .argument(folder.join("data"))
            .arguments(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting])))
    }

    /// As `pg_ctl` finds it out: the file of its number says it in the last line.
    fn is_ready(&self, started: Started<'_>) -> bool {
        let text = own_file(started.folder);
        let mut lines = text.lines().map(str::trim);
        let is_of_this_one = lines.next() == Some(started.pid.as_raw_nonzero().to_string().as_str());
        is_of_this_one && lines.any(|line| line == "ready")
    }

    fn ends_by(&self) -> Signal {
        Signal::QUIT
    }

    /// A few bytes of shared memory, by which the next server on the folder would know that it is alone.
    fn clean(&self, folder: &Path) {
        let text = own_file(folder);
        // The line of its key and its number.
        let Some(number) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) else { return };
        // Where it cannot be removed it stays, and takes nothing.
        let _ = Command::new("ipcrm").args(["-m", number]).stderr(Stdio::null()).status();
    }
}

/// What a server tells of itself until it ends by itself.
fn own_file(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default()
}
