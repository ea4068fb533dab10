//! Plans from a JSON file.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use quota_core::{ClientId, Plan};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use crate::error::cause;
use crate::plan_source::{PlanRegistry, PlanSource};
use crate::store_error::Source;

/// How often the file is looked at for a change.
const POLL: Duration = Duration::from_secs(1);
/// A file of plans larger than this is refused unread.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Plans from a JSON file, reloaded within a second of a change. Where a changed file is not valid, the last good
/// plans stay and the error is logged.
///
/// ```json
/// {"clients": {"client1": {"quotas": [
///   {"period": "DAY", "every": 1, "limit": "500", "anchor": "2022-01-01T00:00:00Z", "tz": "UTC"}
/// ]}}}
/// ```
#[derive(Debug)]
pub struct PlanFile {
    shared: Arc<Shared>,
    /// Dropped with the file: ends the thread that watches it.
    _stop: Sender<()>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    plans: PlanRegistry,
    /// What the file looked like when it was last read, good or not.
    seen: Mutex<Option<Stamp>>,
    /// Whether it was logged that it cannot be read.
    is_told: AtomicBool,
}

/// A change of any of these is taken for a change of the file: when it was changed and how long it is, and, where the system
/// tells, which file it is and when anything of it was changed.
type Stamp = (SystemTime, u64, Option<(u64, i64, i64)>);

/// Why a file of plans was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("the plans file {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than 256 MiB.
    #[error("the plans file {path} is larger than 256 MiB")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// It is not JSON of the right form, or a plan in it is none.
    #[error("the plans file {path}, line {line}, column {column}: {message}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// The line at fault, from 1.
        line: usize,
        /// The column at fault, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

impl PlanFile {
    /// Reads the file and watches it from then on, in a thread of its own that ends with the last handle.
    ///
    /// # Errors
    /// [`PlanFileError`] where it cannot be read or is not valid, named by path and line.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, PlanFileError> {
        let path = path.into();
        let shared = Arc::new(Shared {
            path,
            plans: PlanRegistry::new(),
            seen: Mutex::new(None),
            is_told: AtomicBool::new(false),
        });
        shared.reload()?;
        let (stop, stopped) = channel();
        let watched = Arc::clone(&shared);
        let watch = move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                watched.reload_if_changed();
            }
        };
        thread::Builder::new()
            .name("quota-plan-file".to_owned())
            .spawn(watch)
            .map_err(|source| PlanFileError::Unreadable { path: shared.path.clone(), source })?;
        Ok(Self { shared, _stop: stop })
    }

    /// Reads the file now.
    ///
    /// # Errors
    /// [`PlanFileError`]; the plans that were there stay.
    pub fn reload(&self) -> Result<(), PlanFileError> {
        self.shared.reload()
    }

    /// The client's plan.
    #[must_use]
    pub fn plan_of(&self, client: &ClientId) -> Option<Arc<Plan>> {
        self.shared.plans.plan_of(client)
    }
}

impl Shared {
    fn reload(&self) -> Result<(), PlanFileError> {
        // Held until the plans are replaced, so that of two reloads the later reading wins.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the read: a change in between is then seen as a change.
        *seen = stamp(&self.path);
        let clients = read(&self.path);
        if matches!(clients, Err(PlanFileError::Unreadable { .. })) {
            // It may be readable later, as it stands: then it is to be tried again.
            *seen = None;
        }
        self.plans.replace(clients?);
        Ok(())
    }

    fn reload_if_changed(&self) {
        let now = stamp(&self.path);
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return;
        }
        let error = match self.reload() {
            Ok(()) => {
                self.is_told.store(false, Ordering::Relaxed);
                return tracing::info!(path = %self.path.display(), "plans reloaded");
            }
            Err(error) => error,
        };
        // What cannot be read is tried again at every look, and told once.
        let is_unreadable = matches!(error, PlanFileError::Unreadable { .. });
        if !self.is_told.swap(is_unreadable, Ordering::Relaxed) || !is_unreadable {
            tracing::error!(error = cause(&error), "plans not reloaded: the last good ones stay");
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let file = {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    };
    #[cfg(not(unix))]
    let file = None;
    Some((metadata.modified().ok()?, metadata.len(), file))
}

fn read(path: &Path) -> Result<HashMap<ClientId, Arc<Plan>>, PlanFileError> {
    let unreadable = |source| PlanFileError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(PlanFileError::TooLarge { path: path.to_owned() });
    }
    let invalid = |error: serde_json::Error| {
        let (line, column, message) = (error.line(), error.column(), error.to_string());
        let place = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
        PlanFileError::Invalid { path: path.to_owned(), line, column, message }
    };
    let file: File = serde_json::from_str(&text).map_err(invalid)?;
    Ok(file.clients.0)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clients: Clients,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    quotas: Plan,
}

/// A client that occurs twice is a mistake, not a choice.
struct Clients(HashMap<ClientId, Arc<Plan>>);

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Clients;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("clients with their quotas")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Clients, A::Error> {
                let mut clients = HashMap::new();
                // Equal plans are one in memory: clients are many and plans few, and each charge reads its plan.
                let mut plans: HashSet<Arc<Plan>> = HashSet::new();
                while let Some(client) = map.next_key::<ClientId>()? {
                    if clients.contains_key(&client) {
                        return Err(de::Error::custom(format_args!("the client {:?} occurs twice", client.as_str())));
                    }
                    let plan = map.next_value::<Client>()?.quotas;
                    let plan = plans.get(&plan).map_or_else(|| Arc::new(plan.clone()), Arc::clone);
                    plans.insert(Arc::clone(&plan));
                    clients.insert(client, plan);
                }
                Ok(Clients(clients))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[async_trait]
impl PlanSource for PlanFile {
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Source> {
        Ok(self.plan_of(client))
    }

    fn generation(&self) -> Option<u64> {
        self.shared.plans.generation()
    }
}
