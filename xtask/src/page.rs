//! The React package, and the page in a browser.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use quota_servers::{PrivateServer, Server};
use rustix::process::{Pid, Signal, kill_process};

use crate::servers::{self, Interruptible};
use crate::step::{Step, run_all};
use crate::workspace::Workspace;

/// The operator's token of the quickstarts that are looked at.
const TOKEN: &str = "look-at-the-page";

/// The package's own checks and tests.
pub(crate) fn steps(workspace: &Workspace) -> Vec<Step<'static>> {
    let step = |name: &str, words: &[&str]| {
        let mut npm = npm(workspace);
        npm.args(words);
        Step::command(format!("react: {name}"), npm)
    };
    vec![
        step("install", &["ci", "--no-audit", "--no-fund"]),
        step("types, and whether what is made and committed is what its sources make", &["run", "check"]),
        step("tests", &["test"]),
        step("tests on React 18", &["run", "test:react-18"]),
        step("size", &["run", "size"]),
    ]
}

/// The page that each quickstart serves, in a browser; on SQLite, and on a PostgreSQL that is stopped meanwhile.
pub(crate) fn looks(workspace: &Workspace) -> Vec<Step<'_>> {
    let look = |framework: &'static str, store: Option<Server>| {
        let on = store.map_or("SQLite".to_owned(), |store| store.to_string());
        Step::check(format!("the page of quickstart-{framework} on {on}"), move || look(workspace, framework, store))
    };
    vec![
        Step::check("the browser, and PostgreSQL", || {
            browser(workspace)?;
            servers::install(workspace, &[Server::Postgres])
        }),
        look("axum", None),
        look("actix", Some(Server::Postgres)),
        look("rocket", None),
    ]
}

/// `cargo xtask page`: what `cargo xtask test` does with the page, without all else; or pictures for the READMEs.
pub(crate) fn page(workspace: &Workspace, is_pictures: bool) -> anyhow::Result<()> {
    servers::listen()?;
    let mut build = workspace.cargo(["build", "--all-features"]);
    build.args(["axum", "actix", "rocket"].map(|framework| format!("--package=quickstart-{framework}")));
    let mut install = npm(workspace);
    install.args(["ci", "--no-audit", "--no-fund"]);
    let mut steps = vec![Step::command("build the quickstarts", build), Step::command("react: install", install)];
    if is_pictures {
        steps.push(Step::check("pictures of the demonstration", || take_pictures(workspace)));
    } else {
        steps.extend(looks(workspace));
    }
    run_all("page", steps)
}

/// Where the browser is: `CHROMIUM`, or Debian's, which is installed where it may be.
fn browser(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    match std::env::var_os("CHROMIUM") {
        Some(given) if !given.is_empty() => Ok(given.into()),
        _ => servers::install_program(workspace, "chromium", "chromium", "say by CHROMIUM where one is"),
    }
}

/// What the READMEs show: both views of the demonstration, in the light and in the dark.
fn take_pictures(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = workspace.program("debug", "quickstart-axum");
    let kept = workspace.target().join("page/demonstration");
    let site = Site::start(&program, &["--demo"], folder.path(), "sqlite:demo.db", &kept)?;
    let mut tests = browser_tests(workspace, &site, folder.path())?;
    tests.args(["e2e/looks.test.ts", "-t", "view"]).env("QUOTA_SHOWN_CLIENT", "acme");
    run(tests)?;
    let kept = workspace.root().join("react/pictures");
    for name in ["client-light", "client-dark", "operator-light", "operator-dark"] {
        let name = format!("{name}.png");
        std::fs::copy(folder.path().join(&name), kept.join(&name)).with_context(|| name.clone())?;
    }
    Ok(())
}

/// npm in the package's folder.
fn npm(workspace: &Workspace) -> Command {
    let mut npm = workspace.command("npm");
    npm.current_dir(workspace.root().join("react"));
    npm
}

/// The browser's tests against a quickstart. Not by npm, which would leave the browser behind when it is interrupted.
fn browser_tests(workspace: &Workspace, site: &Site, pictures: &Path) -> anyhow::Result<Command> {
    let mut tests = workspace.command("node");
    tests.current_dir(workspace.root().join("react"));
    tests.args(["node_modules/vitest/vitest.mjs", "run", "--config", "vitest.e2e.config.ts"]);
    tests.env("QUOTA_URL", &site.url).env("QUOTA_OPERATOR_TOKEN", TOKEN).env("QUOTA_SHOTS", pictures);
    tests.env("CHROMIUM", browser(workspace)?);
    Ok(tests)
}

/// Runs the browser's tests against a quickstart.
fn look(workspace: &Workspace, framework: &str, store: Option<Server>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = store.map(PrivateServer::start).transpose().context("the store's server")?;
    let url = server.as_ref().map_or("sqlite:quota.db".to_owned(), |server| server.url().to_owned());
    let program = workspace.program("debug", &format!("quickstart-{framework}"));
    let kept = workspace.target().join("page").join(framework);
    let site = Site::start(&program, &[], folder.path(), &url, &kept)?;
    let mut tests = browser_tests(workspace, &site, &kept)?;
    let Some(server) = &mut server else { return run(tests) };
    let switch = Switch { folder: folder.path().to_owned() };
    tests.env("QUOTA_STORE_STOP", switch.command("stop")).env("QUOTA_STORE_START", switch.command("start"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let switching = scope.spawn(|| switch.obey(server, &is_over));
        let looked = run(tests);
        is_over.store(true, Ordering::SeqCst);
        looked.and(switching.join().unwrap_or_else(|_| bail!("the thread that stops the server panicked")))
    })
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let status = Interruptible::run(&mut command)?;
    if status.success() {
        Ok(())
    } else {
        bail!("the browser's tests ended with {status}; pictures and the log are in target/page")
    }
}

/// Lets the browser's tests stop and start the store's server: they leave a file and wait until it is gone.
struct Switch {
    folder: PathBuf,
}

impl Switch {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, name: &str) -> String {
        let file = self.file(name);
        // Nobody may be there to take it away.
        format!("touch '{0}'; for i in $(seq 900); do [ -e '{0}' ] || exit 0; sleep 0.1; done; exit 1", file.display())
    }

    fn obey(&self, server: &mut PrivateServer, is_over: &AtomicBool) -> anyhow::Result<()> {
        while !is_over.load(Ordering::SeqCst) {
            if self.file("stop").exists() {
                server.kill();
                std::fs::remove_file(self.file("stop"))?;
            }
            if self.file("start").exists() {
                let restarted = server.restart();
                // Whoever waits goes on, whatever became of it.
                std::fs::remove_file(self.file("start"))?;
                restarted?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A quickstart that serves the page, ended with this.
struct Site {
    process: Child,
    url: String,
}

impl Site {
    /// In a folder, with a store there; what it logs goes to `quickstart.log` in `kept`.
    fn start(program: &Path, arguments: &[&str], folder: &Path, store: &str, kept: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(kept).with_context(|| kept.display().to_string())?;
        let log = kept.join("quickstart.log");
        let mut command = Command::new(program);
        command.stderr(File::create(&log).with_context(|| log.display().to_string())?);
        command.args(arguments);
        command.env_clear().env("PORT", "0").env("QUOTA_STORE", store).env("QUOTA_OPERATOR_TOKEN", TOKEN);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{} does not start", program.display()))?;
        let mut output = BufReader::new(process.stdout.take().context("it has no output")?);
        let mut site = Self { process, url: String::new() };
        let mut first = String::new();
        output.read_line(&mut first)?;
        first
            .trim()
            .strip_prefix("listening on ")
            .with_context(|| format!("it does not say where it listens; {} may say why", log.display()))?
            .clone_into(&mut site.url);
        // What follows is read, so that it never waits for a reader.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Ok(site)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It has its own patience; whoever is still there then is cut. Nobody is left to tell of an error.
        if kill_process(Pid::from_child(&self.process), Signal::TERM).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
