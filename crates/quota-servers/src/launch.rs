//! How processes are started, so that none outlives its owner.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::{io, thread};

use rustix::process::geteuid;

use crate::error::ServerError;
use crate::log;
use crate::programs;

/// A program and what it is given.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: std::path::PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Whether it runs as an unprivileged user where the owner is root, whom it would refuse.
    pub(crate) refuses_root: bool,
    /// The signal that ends it when its owner is gone.
    pub(crate) orphaned: &'static str,
}

impl Program {
    pub(crate) fn new(path: impl Into<std::path::PathBuf>) -> Self {
        Self { path: path.into(), arguments: Vec::new(), refuses_root: false, orphaned: "KILL" }
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn refusing_root(mut self) -> Self {
        self.refuses_root = true;
        self
    }

    pub(crate) fn orphaned(mut self, signal: &'static str) -> Self {
        self.orphaned = signal;
        self
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Starts it in the background, in a process group of its own: a Ctrl-C is for its owner, who ends it.
    pub(crate) fn start(&self, folder: &Path, log: &Path) -> Result<Child, ServerError> {
        let mut command = self.command(folder, log)?;
        command.stdin(Stdio::null());
        spawn(command).map_err(ServerError::io(format!("could not start {}", self.path.display())))
    }

    /// Runs it to its end, and gives it `input`.
    pub(crate) fn run(&self, folder: &Path, log: &Path, input: &str) -> Result<(), ServerError> {
        let failure = || ServerError::io(format!("could not run {}", self.path.display()));
        let file = folder.join("input");
        std::fs::write(&file, input).map_err(ServerError::file(&file))?;
        let mut command = self.command(folder, log)?;
        command.stdin(std::fs::File::open(&file).map_err(ServerError::file(&file))?);
        let status = spawn(command).map_err(failure())?.wait().map_err(failure())?;
        if status.success() {
            return Ok(());
        }
        Err(ServerError::Ended { program: self.name(), status, log: log::tail(log) })
    }

    fn command(&self, folder: &Path, log: &Path) -> Result<Command, ServerError> {
        let output = log::open(log)?;
        let errors = output.try_clone().map_err(ServerError::file(log))?;
        let mut command = match programs::on_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.arg("--pdeathsig").arg(self.orphaned);
                if let Some((user, group)) = self.account()? {
                    command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups"]);
                }
                command.arg("--").arg(&self.path);
                command
            }
            None if self.account()?.is_some() => {
                return Err(ServerError::Missing { program: "setpriv", package: "util-linux" });
            }
            None => Command::new(&self.path),
        };
        command.args(&self.arguments).current_dir(folder).stdout(output).stderr(errors).process_group(0);
        // Messages are read, and settings of the developer's clients are not for servers.
        command.env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGHOST").env_remove("PGPORT").env_remove("PGUSER");
        Ok(command)
    }

    fn account(&self) -> Result<Option<(u32, u32)>, ServerError> {
        if self.refuses_root { unprivileged() } else { Ok(None) }
    }
}

/// Gives a folder to the user as whom programs run that refuse root.
pub(crate) fn hand_over(path: &Path) -> Result<(), ServerError> {
    match unprivileged()? {
        Some((user, group)) => chown(path, Some(user), Some(group)).map_err(ServerError::file(path)),
        None => Ok(()),
    }
}

/// The user `nobody` and its group where this process is root's.
fn unprivileged() -> Result<Option<(u32, u32)>, ServerError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let users = std::fs::read_to_string(path).map_err(ServerError::file(path))?;
    let nobody = users.lines().find(|line| line.starts_with("nobody:")).and_then(|line| {
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    nobody.map(Some).ok_or_else(|| ServerError::Answer("/etc/passwd knows no user nobody".to_owned()))
}

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Starts a process from a thread that lives as long as this process does: the system tells a child of its parent's death
/// when the thread ends that started it.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        let work = move || {
            for Order { mut command, answer } in received {
                // Who ordered it waits for it.
                let _ = answer.send(command.spawn());
            }
        };
        // Without the thread the channel is closed, and every order says so.
        let _ = thread::Builder::new().name("quota-servers".to_owned()).spawn(work);
        orders
    });
    let ended = || io::Error::other("the thread that starts processes has ended");
    let (answer, answered) = channel();
    orders.send(Order { command, answer }).map_err(|_| ended())?;
    answered.recv().map_err(|_| ended())?
}
