//! Many ids that are looked for in many keys.

use quota_core::OperationId;
use quota_service::StoreError;

use crate::client_run::ClientRun;
use crate::facts::KnownIds;
use crate::keys::Key;
use crate::script::{Call, Changed, Outcome};

/// So many ids times keys are looked through in one step: the server does nothing else meanwhile.
const LOOK_UPS_AT_ONCE: usize = 150_000;

/// Ids that must not be there, and the keys that they might be in, newest first.
///
/// Where they are too many for the step of the commit they are looked for before it, in steps that each confirm the account's version:
/// what is true of that version is true in the step that writes on it.
pub(crate) struct LookUps<'a> {
    pub(crate) run: &'a ClientRun<'a>,
    pub(crate) version: &'a str,
    /// How often its turn came and nothing came of it.
    pub(crate) passed: u8,
    pub(crate) ids: Vec<OperationId>,
    pub(crate) keys: Vec<Key>,
}

impl LookUps<'_> {
    /// Whether so many are too many for the step of a commit.
    pub(crate) const fn are_many(ids: usize, keys: usize) -> bool {
        ids.saturating_mul(keys) > LOOK_UPS_AT_ONCE
    }

    /// None where no id is anywhere. Else how the account is, as a commit would have been answered; where that is as it was, `known` is
    /// told of the ids that are nowhere.
    pub(crate) async fn find(self, known: &mut KnownIds) -> Result<Option<Outcome>, StoreError> {
        let Self { run, version, passed, ids: mut absent, keys } = self;
        let mut found: Option<Box<Changed>> = None;
        for keys in keys.chunks(keys_at_once(absent.len())) {
            let mut call = Call::new(version, keys.iter().copied());
            call.absent = absent;
            // Without a token: whoever is first in the queue stays it.
            let answer = run.call(&call).await?;
            absent = std::mem::take(&mut call.absent);
            let Outcome::Changed(mut changed) = answer else { continue };
            if changed.is_other() {
                // Who was slower stands in the queue.
                (call.absent, call.token) = (absent, Some((run.listener.token, passed)));
                let again = run.call(&call).await?;
                return Ok(Some(if let Outcome::Done { .. } = again { Outcome::Changed(changed) } else { again }));
            }
            let (mut here, rest): (Vec<_>, Vec<_>) = changed.found.drain(..).partition(|(_, found)| found.is_some());
            absent = rest.into_iter().map(|(id, _)| id).collect();
            found.get_or_insert(changed).found.append(&mut here);
        }
        if found.is_some() {
            known.are_nowhere(absent);
        }
        Ok(found.map(Outcome::Changed))
    }
}

/// In how many keys so many ids are looked for in one step.
fn keys_at_once(ids: usize) -> usize {
    LOOK_UPS_AT_ONCE.checked_div(ids).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_is_larger_than_one_key_or_so_many_ids_in_keys() {
        for (ids, keys) in
            [(1, 150_000), (1_000, 150), (1_001, 149), (10_000, 15), (10_001, 14), (1_000_000, 1), (0, 1)]
        {
            assert_eq!(keys_at_once(ids), keys, "{ids}");
            assert!(!LookUps::are_many(ids.min(LOOK_UPS_AT_ONCE), keys), "{ids}");
        }
        assert!(LookUps::are_many(1_000, 151) && LookUps::are_many(usize::MAX, 2));
    }
}
