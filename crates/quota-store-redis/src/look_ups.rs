//! Many ids that are looked for in many keys.

use quota_core::OperationId;
use quota_service::{StoreError, may_be_made};

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
    /// Whether these are too many for the step of a commit.
    pub(crate) fn are_many<'b>(ids: impl IntoIterator<Item = &'b OperationId>, keys: &[Key]) -> bool {
        is_much(fields_of(ids, keys), keys.len())
    }

    /// None where no id is anywhere. Else how the account is, as a commit would have been answered; where that is as it was, `known` is
    /// told of the ids that are nowhere.
    pub(crate) async fn find(self, known: &mut KnownIds) -> Result<Option<Outcome>, StoreError> {
        let Self { run, version, passed, ids: mut absent, keys } = self;
        let mut found: Option<Box<Changed>> = None;
        for keys in keys.chunks(keys_at_once(fields_of(&absent, &keys))) {
            let mut call = Call::new(version, keys.iter().copied());
            call.look_for(absent);
            // Without a token: whoever is first in the queue stays it.
            let answer = run.call(&call).await?;
            let Outcome::Changed(mut changed) = answer else {
                absent = call.looked_for();
                continue;
            };
            if changed.is_other() {
                // Who was slower stands in the queue.
                call.token = Some((run.listener.token, passed));
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

/// In how many fields of a key a made id may stand: one for each of its block.
const FIELDS_OF_MADE: usize = 16;

/// In how many fields of one of these keys the ids may stand.
fn fields_of<'a>(ids: impl IntoIterator<Item = &'a OperationId>, keys: &[Key]) -> usize {
    let has_blocks = keys.iter().any(|key| matches!(key, Key::Retries(_)));
    let fields = |id| if has_blocks && may_be_made(id) { FIELDS_OF_MADE } else { 1 };
    ids.into_iter().fold(0, |sum, id| sum.saturating_add(fields(id)))
}

const fn is_much(fields: usize, keys: usize) -> bool {
    fields.saturating_mul(keys) > LOOK_UPS_AT_ONCE
}

/// In how many keys so many fields are looked for in one step.
fn keys_at_once(fields: usize) -> usize {
    LOOK_UPS_AT_ONCE.checked_div(fields).unwrap_or_default().max(1)
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
            assert!(!is_much(ids.min(LOOK_UPS_AT_ONCE), keys), "{ids}");
        }
        assert!(is_much(1_000, 151) && is_much(usize::MAX, 2));
    }

    #[test]
    fn a_made_id_may_stand_in_the_fields_of_its_block_where_keys_have_blocks() {
        let ids = ["a", "2w0EtBRXJNlgP5SXU7QNt3"].map(|id| OperationId::new(id).unwrap());
        assert_eq!(fields_of(&ids, &[Key::Ids(1)]), 2);
        assert_eq!(fields_of(&ids, &[Key::Ids(1), Key::Retries(1)]), 1 + FIELDS_OF_MADE);
    }
}
