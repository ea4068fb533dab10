//! Entries that are gone and still stand.

use quota_core::Span;
use quota_service::{Patience, StoreError};

use crate::account_list::AccountText;
use crate::call_error::CallError;
use crate::entry_text::read_member;
use crate::gathering::Gathering;
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::queue::Token;
use crate::reading::members_in;
use crate::script::{Call, CommitScript, Outcome};
use crate::settings::Settings;
use crate::standing::Standing;
use crate::stored::{Memory, Stored};
use crate::values::texts;

/// So many entries are taken out in one step: the server does nothing else meanwhile.
pub(crate) const ENTRIES_AT_ONCE: u64 = 2_000;

/// Where one client's dead entries are taken out.
///
/// While there is a note of them ([`Memory::dead`]), nothing is added where it points to: what stands there is dead, all of it.
pub(crate) struct DeadEntries<'a> {
    pub(crate) gathering: &'a Gathering<'a>,
    pub(crate) script: &'a CommitScript,
    pub(crate) keys: &'a ClientKeys,
    /// Who takes turns with others at the account.
    pub(crate) token: Token,
    pub(crate) settings: &'a Settings,
}

impl DeadEntries<'_> {
    /// Takes all of them out, each step a commit, and then the note. The account as it is then, and how many ids went.
    ///
    /// No step waits for replicas: one that is lost brings its entries back with the note of them.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] also where it is not known whether a step was written: no request was.
    pub(crate) async fn take_out(&self, mut stored: Stored) -> Result<(Stored, u64), StoreError> {
        let (mut patience, mut standing, mut ids) = (Patience::new(self.settings.patience), self.standing(), 0_u64);
        while stored.memory.dead.is_some() {
            let (mut call, memory, gone) = self.step(&stored).await?;
            call.token = Some((self.token, standing.passed));
            match self.script.call(self.gathering, self.keys, &call, None).await.map_err(no_request)? {
                Outcome::Done { others_wait } => {
                    (stored.state, stored.memory) = (call.written(&stored.state, others_wait), memory);
                    ids = ids.saturating_add(gone);
                    (patience, standing.passed) = (Patience::new(self.settings.patience), 0);
                }
                Outcome::Changed(changed) => {
                    standing.passed = standing.passed.saturating_add(u8::from(changed.comes_again));
                    patience.check()?;
                    stored = changed.stored(self.settings)?;
                }
                Outcome::Queued(_) => stored = standing.turn(&patience).await?,
            }
        }
        Ok((stored, ids))
    }

    /// Not told when it is its turn, but asks: most of its time it does not wait.
    pub(crate) const fn standing(&self) -> Standing<'_> {
        let Self { gathering, script, keys, token, settings } = *self;
        Standing { gathering, script, keys, settings, token, listener: None, passed: 0 }
    }

    /// Some of them; where none is left, the note. How many ids go with them.
    async fn step(&self, stored: &Stored) -> Result<(Call, Memory, u64), StoreError> {
        let (mut call, mut memory) = (Call::new(stored.state.version(), []), stored.memory.clone());
        let mut gone = 0;
        match self.some(&memory).await? {
            Some((day, members)) => {
                // What cannot be read is as dead as the rest.
                let entries = members.iter().filter_map(|member| read_member(day, member).ok());
                let ids: Vec<String> = entries.filter_map(|(_, entry)| Some(entry.id?.as_str().to_owned())).collect();
                gone = u64::try_from(ids.len()).unwrap_or(u64::MAX);
                let ends = [members.first(), members.last()];
                let bounds = ends.into_iter().flatten().map(|member| format!("[{member}")).collect();
                call.command("ZREMRANGEBYLEX", Key::Entries(day), bounds);
                if !ids.is_empty() {
                    call.command("HDEL", Key::Ids(day), ids);
                }
            }
            None => memory.dead = None,
        }
        call.write_account(AccountText::snapshot(&self.script.new_version(), &stored.account, &memory));
        Ok((call, memory, gone))
    }

    /// The first of them, of one day.
    async fn some(&self, memory: &Memory) -> Result<Option<(i64, Vec<String>)>, StoreError> {
        for part in memory.dead.map(|span| parts_of(span, memory)).unwrap_or_default() {
            let mut some = members_in(self.keys, part);
            some.arg("LIMIT").arg(0).arg(ENTRIES_AT_ONCE);
            let members = texts(self.gathering.wire().call(&some).await.map_err(CallError::of_read)?)?;
            if !members.is_empty() {
                return Ok(Some((day_of(part.0), members)));
            }
        }
        Ok(None)
    }
}

/// What becomes of a step beside the requests is not what becomes of them.
pub(crate) fn no_request(error: StoreError) -> StoreError {
    match error {
        StoreError::Unknown { message, source } => StoreError::NotDone { message, source },
        error => error,
    }
}

/// A span day by day, where there are entries.
pub(crate) fn parts_of((from, to): Span, memory: &Memory) -> Vec<Span> {
    let part = |day: i64| {
        let start = day.saturating_mul(DAY_MILLIS);
        (from.max(start), to.min(start.saturating_add(DAY_MILLIS)))
    };
    let days = memory.entries.between(day_of(from), day_of(to));
    days.map(part).filter(|(from, to)| from < to).collect()
}
