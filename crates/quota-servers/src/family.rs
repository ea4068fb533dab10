//! A process and those that it started.

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes are waited for.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Kills a process that has not been waited for, and all that it started, and waits until they are gone.
pub(crate) fn kill(child: &mut Child) {
    let parent = Pid::from_child(child);
    // A process that is stopped starts no further one, and waits for none: the numbers stay theirs.
    signal(parent, Signal::STOP);
    let family = descendants(parent);
    for pid in family.iter().copied().chain([parent]) {
        signal(pid, Signal::KILL);
    }
    // It was killed: there is nothing to learn from how it ended.
    let _ = child.wait();
    let began = Instant::now();
    while family.iter().any(|pid| is_alive(*pid)) && began.elapsed() < GONE_WITHIN {
        sleep(Duration::from_millis(2));
    }
}

/// Stops a process and all that it started: they keep memory and connections, and do nothing.
pub(crate) fn pause(child: &Child) {
    let parent = Pid::from_child(child);
    signal(parent, Signal::STOP);
    for pid in descendants(parent) {
        signal(pid, Signal::STOP);
    }
}

/// Lets them go on.
pub(crate) fn resume(child: &Child) {
    let parent = Pid::from_child(child);
    for pid in descendants(parent).into_iter().chain([parent]) {
        signal(pid, Signal::CONT);
    }
}

/// To one that may have ended by itself: then there is nothing to tell it.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// What `pid` started, and what these started. Known on Linux alone: elsewhere none.
fn descendants(pid: Pid) -> Vec<Pid> {
    let processes: Vec<(Pid, Pid)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|number| Some((Pid::from_raw(number)?, status(number)?.1?)))
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        family.extend(processes.iter().filter(|(_, other)| *other == parent).map(|(child, _)| *child));
    }
    family.split_off(1)
}

/// One that ended but was not waited for is none.
fn is_alive(pid: Pid) -> bool {
    status(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state != 'Z')
}

/// The state of a process, and its parent.
fn status(number: i32) -> Option<(char, Option<Pid>)> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name stands in brackets, and may hold anything.
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, Pid::from_raw(words.next()?.parse().ok()?)))
}
