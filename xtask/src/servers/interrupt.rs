//! Ctrl-C and SIGTERM: what runs is ended, and then the servers, before this process ends.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The exit code of a program that Ctrl-C ended, as shells have it.
const INTERRUPTED: i32 = 130;

struct State {
    is_interrupted: bool,
    /// The step that runs.
    step: Option<Pid>,
}

static STATE: Mutex<State> = Mutex::new(State { is_interrupted: false, step: None });
static CHANGED: Condvar = Condvar::new();

/// From now on a first signal ends the step that runs, and a second one ends this process at once.
pub(crate) fn listen() -> anyhow::Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| outcome = ctrlc::set_handler(interrupt));
    outcome.context("could not listen to Ctrl-C")
}

/// # Errors
/// Somebody wants this process to end.
pub(super) fn check() -> anyhow::Result<()> {
    if state().is_interrupted { bail!("interrupted") } else { Ok(()) }
}

/// Waits until somebody wants this process to end.
pub(super) fn wait() {
    let mut state = state();
    while !state.is_interrupted {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// A command that is ended when this process is told to end.
pub(crate) trait Interruptible {
    /// Runs it to its end.
    fn run(&mut self) -> anyhow::Result<ExitStatus>;
}

impl Interruptible for Command {
    fn run(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = begin(self)?;
        // Its number stays its own until it is reaped, and by then no signal is sent to it any more.
        let ended = waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        state().step = None;
        let status = child.wait()?;
        ended?;
        check()?;
        Ok(status)
    }
}

fn begin(command: &mut Command) -> anyhow::Result<Child> {
    // Held while it starts, so that no signal comes between.
    let mut state = state();
    if state.is_interrupted {
        bail!("interrupted");
    }
    let child = command.spawn().with_context(|| format!("could not start {}", command.get_program().display()))?;
    state.step = Some(Pid::from_child(&child));
    Ok(child)
}

fn interrupt() {
    let mut state = state();
    if state.is_interrupted {
        std::process::exit(INTERRUPTED);
    }
    state.is_interrupted = true;
    if let Some(step) = state.step {
        // A terminal's Ctrl-C reached it already: then it has ended, or hears it twice.
        let _ = kill_process(step, Signal::TERM);
    }
    CHANGED.notify_all();
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
