//! A process that is told lines and says lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::ground::Ground;

/// Longer than anything takes that is said at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that is told lines and says lines. It ends with its owner.
pub(crate) struct Dialogue {
    child: Child,
    input: ChildStdin,
    said: Receiver<String>,
}

impl Dialogue {
    /// With a worker on the store at this URL, which is ready.
    pub(crate) fn begin(ground: &Ground, url: &str, arguments: &[&str]) -> Self {
        let mut child = ground.listener(url, arguments);
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (says, said) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| says.send(line)));
        let dialogue = Self { child, input, said };
        assert_eq!(dialogue.hear(), "ready");
        dialogue
    }

    pub(crate) fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("the worker listens");
    }

    /// Waits for the next line.
    pub(crate) fn hear(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("the worker says something")
    }

    /// The next line, if there is one.
    pub(crate) fn overhear(&self) -> Option<String> {
        match self.said.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the worker has ended"),
        }
    }

    /// Waits until it says something, which is given, or until this is so.
    pub(crate) fn overhear_until(&self, is_so: impl Fn() -> bool) -> Option<String> {
        while !is_so() {
            let line = self.overhear();
            if line.is_some() {
                return line;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the worker lives");
    }

    /// Kills it; all that it has said and nobody has heard.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.iter().collect()
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
