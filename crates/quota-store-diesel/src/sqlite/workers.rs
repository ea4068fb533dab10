//! Threads that own connections.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::open_error::OpenError;
use crate::sqlite::session::Session;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// Threads that own one connection each and run what is sent to them, in order of arrival.
///
/// Threads and not the runtime's blocking pool: a job that was sent runs to its end even if its future is
/// dropped or its runtime shut down; charges cannot be starved by an application that fills the pool; the store
/// works on every runtime; and a connection stays on one thread with its prepared statements. The queue is bounded by
/// its senders, since each waits for its answer.
#[derive(Debug)]
pub(crate) struct Workers {
    /// None once dropped.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// A job was not answered: it panicked.
#[derive(Debug, Error)]
#[error("the store's thread panicked")]
pub(crate) struct Gone;

impl Workers {
    /// Starts a thread for each session.
    pub(crate) fn start(name: &str, sessions: Vec<Session>) -> Result<Self, OpenError> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self { jobs: Some(jobs), threads: Vec::new() };
        for session in sessions {
            let queue = Arc::clone(&queue);
            let thread = Builder::new().name(name.to_owned()).spawn(move || serve(session, &queue));
            workers.threads.push(thread.map_err(OpenError::Thread)?);
        }
        Ok(workers)
    }

    /// Runs a job and gives its answer. It runs even if the future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(Box::new(move |session| {
            // Nobody waits any more: what was done stands.
            let _ = answer.send(job(session));
        }))?;
        answered.await.map_err(|_| Gone)
    }

    /// Runs a job that changes nothing and gives its answer. It does not run if the future is dropped before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(Box::new(move |session| {
            if !answer.is_closed() {
                let _ = answer.send(job(session));
            }
        }))?;
        answered.await.map_err(|_| Gone)
    }

    fn send(&self, job: Job) -> Result<(), Gone> {
        self.jobs.as_ref().ok_or(Gone)?.send(job).map_err(|_| Gone)
    }
}

impl Drop for Workers {
    /// Waits for the jobs that were sent, and for the connections to be closed.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn serve(mut session: Session, queue: &Mutex<Receiver<Job>>) {
    loop {
        // Waiting with the lock held is the point: one thread waits for a job, the others for the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut session))).is_err() {
            // The waiting caller learns of it by the answer that never comes.
            tracing::error!("a job of the store panicked; its transaction is rolled back");
            session.reset();
        }
    }
}
