//! MariaDB.

use std::path::Path;

use crate::error::ServerError;
use crate::launch::Program;
use crate::programs;
use crate::recipe::{Ports, Recipe, Started};

/// The user and the database are both called `quota`; the user may do everything.
#[derive(Debug)]
pub(crate) struct Mariadb {
    password: String,
}

impl Mariadb {
    pub(crate) const fn new(password: String) -> Self {
        Self { password }
    }
}

/// The system has a bounded number of asynchronous requests, and a server that starts beside many others may get none.
const NO_NATIVE_AIO: &str = "--innodb-use-native-aio=0";

/// How large the log is of which a new server writes the whole: small, since it holds little.
const LOG_SIZE: &str = "--innodb-log-file-size=16M";

impl Recipe for Mariadb {
    fn prepare(&self, folder: &Path, log: &Path) -> Result<(), ServerError> {
        let sql = folder.join("user.sql");
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS quota;\n\
             CREATE USER IF NOT EXISTS quota@'127.0.0.1' IDENTIFIED BY '{}';\n\
             GRANT ALL ON *.* TO quota@'127.0.0.1' WITH GRANT OPTION;\n",
            self.password
        );
        std::fs::write(&sql, statements).map_err(ServerError::file(&sql))?;
        // Nothing of what is made here has to outlive the machine; what the server writes later is durable.
        let careless = [
            "--innodb-flush-method=nosync",
            "--innodb-flush-log-at-trx-commit=0",
            "--sync-frm=0",
            LOG_SIZE,
            NO_NATIVE_AIO,
        ];
        Program::new(programs::mariadb_install_db()?)
            .refusing_root()
            .arguments(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arguments(["--skip-name-resolve", &format!("--datadir={}", folder.join("data").display())])
            .argument(temporary_in(folder))
            .arguments(careless)
            .run(folder, log, "")
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        let in_folder = |option, name| format!("--{option}={}", folder.join(name).display());
        Ok(Program::new(programs::mariadbd()?)
            .refusing_root()
            .argument("--no-defaults")
            .argument(in_folder("datadir", "data"))
            .argument(in_folder("socket", "socket"))
            .argument(in_folder("pid-file", "pid"))
            .argument(in_folder("init-file", "user.sql"))
            .argument(temporary_in(folder))
            .arguments(["--bind-address=127.0.0.1", &format!("--port={}", ports.client), "--skip-name-resolve"])
            .arguments(["--max-connections=300", "--innodb-buffer-pool-size=64M", LOG_SIZE, NO_NATIVE_AIO]))
    }

    fn is_ready(&self, started: Started<'_>) -> bool {
        started.log.contains("ready for connections")
    }
}

/// Where it keeps tables for the moment. Not where others do: a server that starts deletes there what one that ended might
/// have left (`#sql*`), and one that still runs crashes when it ends a table that is gone.
fn temporary_in(folder: &Path) -> String {
    format!("--tmpdir={}", folder.display())
}
