//! A process that works, and what it has said.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ground::Ground;

/// A process that works and says a line for each thing that it has done. It ends with its owner.
pub(crate) struct Worker {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    /// None once all that it said was taken.
    reading: Option<JoinHandle<()>>,
}

/// Longer than anything takes, and than servers take to take away what a dead process has locked.
const PATIENCE: Duration = Duration::from_secs(60);

impl Worker {
    pub(crate) fn start(ground: &Ground, arguments: &[&str]) -> Self {
        let mut child = ground.worker(arguments);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let reading = std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                output.read_line(&mut line).unwrap();
                // A line that a kill cut off was written after its answer, but cannot be told.
                let Some(line) = line.strip_suffix('\n') else { break };
                heard.lock().unwrap().push(line.to_owned());
            }
        });
        Self { child, said, reading: Some(reading) }
    }

    /// Waits until it has said so many more lines, and no longer than it may take for one.
    pub(crate) fn goes_on(&self, lines: usize) {
        let until = self.count() + lines;
        let mut last = (self.count(), Instant::now());
        while last.0 < until {
            assert!(!self.is_done(), "the worker ended by itself after {} lines", last.0);
            assert!(last.1.elapsed() < PATIENCE, "the worker does not go on");
            std::thread::sleep(Duration::from_millis(1));
            if self.count() > last.0 {
                last = (self.count(), Instant::now());
            }
        }
    }

    /// Waits until it has said so many more lines, but no longer than this; whether it has.
    pub(crate) fn has_said(&self, lines: usize, patience: Duration) -> bool {
        let (until, began) = (self.count() + lines, Instant::now());
        while self.count() < until {
            if began.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the worker lives");
    }

    /// Kills it; all that it has said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success(), "it ended by itself");
        self.take()
    }

    /// Waits until it has ended well; all that it has said.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let said = self.take();
        assert!(self.child.wait().unwrap().success());
        said
    }

    fn take(&mut self) -> Vec<String> {
        self.reading.take().unwrap().join().unwrap();
        std::mem::take(&mut self.said.lock().unwrap())
    }

    fn count(&self) -> usize {
        self.said.lock().unwrap().len()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.reading.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
