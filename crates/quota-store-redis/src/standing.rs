//! Where somebody waits for its turn at an account.

use std::time::{Duration, Instant};

use quota_service::{Patience, StoreError};

use crate::entry_text::corrupt;
use crate::gathering::Gathering;
use crate::keys::{ClientKeys, Key};
use crate::listener::Listener;
use crate::queue::{Token, Waiting};
use crate::script::{Call, CommitScript, Outcome, UNREAD};
use crate::settings::Settings;
use crate::stored::Stored;

/// Where somebody waits for its turn at an account.
pub(crate) struct Standing<'a> {
    pub(crate) gathering: &'a Gathering<'a>,
    pub(crate) script: &'a CommitScript,
    pub(crate) keys: &'a ClientKeys,
    pub(crate) settings: &'a Settings,
    pub(crate) token: Token,
    /// None for who is not told, and asks.
    pub(crate) listener: Option<&'a Listener>,
    /// How often it had its turn and nothing came of it, as where it was passed over.
    pub(crate) passed: u8,
}

/// After so long the server is asked again by who is not told.
const UNTOLD: Duration = Duration::from_millis(1);

impl Standing<'_> {
    /// The account as it is when it is its turn. It stands in the queue until it commits, or confirms.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] where patience ends before.
    pub(crate) async fn turn(&mut self, patience: &Patience) -> Result<Stored, StoreError> {
        let (mut waiting, passed) = (Waiting::default(), self.passed);
        self.passed = passed.saturating_add(1);
        loop {
            // Before the server is asked: it may be told at once.
            let hearing = self.listener.and_then(|listener| listener.hear(self.keys.name(Key::Account)));
            let asked = Instant::now();
            let call = Call::in_turn((self.token, passed), waiting.in_vain());
            match self.script.call(self.gathering, self.keys, &call, None).await? {
                Outcome::Changed(changed) => return changed.stored(self.settings),
                Outcome::Queued(queue) => waiting.look(queue, asked.elapsed()),
                Outcome::Done { .. } => return Err(corrupt("a version", UNREAD)),
            }
            patience.check()?;
            match (hearing, self.listener) {
                (Some(mut hearing), Some(listener)) => match hearing.told(waiting.until()).await {
                    Some(Some(texts)) => return self.script.told(&texts, self.settings),
                    Some(None) => {}
                    None => listener.look_after(),
                },
                _ => tokio::time::sleep(UNTOLD).await,
            }
        }
    }
}
