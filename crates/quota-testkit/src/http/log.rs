//! What this process logs.

use std::io::{Result, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use crate::http::ground::wait_until;

/// Every line of ours since somebody asked first. A server logs from threads of its own, so it is the process's.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What is logged of a client whom no other test names.
pub(super) struct Log {
    client: String,
}

impl Log {
    /// Of a client of this test's own.
    pub(super) fn begin() -> Self {
        static BEGUN: Once = Once::new();
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        BEGUN.call_once(|| {
            let ours = Targets::new().with_target("quota", Level::DEBUG);
            let lines = fmt::layer().with_ansi(false).with_writer(|| Line);
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ours).with(lines)).unwrap();
        });
        Self { client: format!("logged-{:06}", CLIENTS.fetch_add(1, Ordering::SeqCst)) }
    }

    /// Who it is.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// The lines that name the client and say this.
    pub(super) fn saying(&self, said: &str) -> Vec<String> {
        let client = format!("client={}", self.client);
        all().into_iter().filter(|line| line.contains(&client) && line.contains(said)).collect()
    }

    /// Waits until a line says this, and gives it.
    pub(super) fn wait_for(&self, said: &str) -> String {
        wait_until(|| !self.saying(said).is_empty(), || format!("nothing says {said:?}: {:?}", self.saying("")));
        self.saying(said).remove(0)
    }
}

/// Everything that was logged.
pub(super) fn all() -> Vec<String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps what is written to it, which is a line each time.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
