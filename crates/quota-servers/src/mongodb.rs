//! MongoDB, or what stands in for it.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use crate::error::ServerError;
use crate::launch::Program;
use crate::programs;
use crate::recipe::{Ports, Recipe, Started};

/// Names of settings that [`programs::MongoReplacement`] would else look for in the user's folders.
const NO_SETTINGS: &str = "none.toml";

#[derive(Debug)]
pub(crate) struct Mongodb {
    /// Whether it asks for a user and a password, and takes commands that are for tests alone.
    is_guarded: bool,
}

impl Mongodb {
    pub(crate) const fn open() -> Self {
        Self { is_guarded: false }
    }

    pub(crate) const fn guarded() -> Self {
        Self { is_guarded: true }
    }
}

impl Recipe for Mongodb {
    fn prepare(&self, folder: &Path, _log: &Path) -> Result<(), ServerError> {
        for made in [std::fs::create_dir(folder.join("data")), std::fs::write(folder.join(NO_SETTINGS), "")] {
            made.map_err(ServerError::file(folder))?;
        }
        Ok(())
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        let (path, is_mongod) = programs::mongodb()?;
        let program = Program::new(path).arguments(["--port", &ports.client.to_string()]);
        let program = match (self.is_guarded, is_mongod) {
            (false, _) => program,
            (true, true) => program.arguments(["--auth", "--setParameter", "enableTestCommands=1"]),
            (true, false) => program.arguments(["--auth", "--enable-test-commands"]),
        };
        Ok(if is_mongod {
            program.arguments(["--bind_ip", "127.0.0.1", "--nounixsocket", "--dbpath"]).argument(folder.join("data"))
        } else {
            program
                .argument("--config")
                .argument(folder.join(NO_SETTINGS))
                .argument("--storage-path")
                .argument(folder.join("data"))
                // A log is allocated in full.
                .arguments(["--sync-on-commit", "--cache-size", "256MB", "--log-file-max", "16MB"])
        })
    }

    fn is_ready(&self, started: Started<'_>) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, started.ports.client)).is_ok()
    }
}
