//! What a store knows of the list that an account is kept in.

use crate::account_list::{AND, AccountText};
use crate::version::version_of;

/// So many bytes at most stand in an account's list before its last text before a script puts one snapshot in their place, or so many texts.
const MAX_BYTES: usize = 4_096;
const MAX_TEXTS: usize = 64;

/// What a store knows of the list that an account is kept in, beside what it tells: its head, by which a commit finds out whether
/// it is still as it was read ([`crate::putting`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Empty where there is no account.
    head: String,
    /// How many texts there are, and how many bytes of them before the last.
    texts: usize,
    bytes: usize,
    /// Others may stand in its queue that the head as it is known here does not tell of.
    is_crowded: bool,
    /// This store has written the head, and was told that it has.
    is_own: bool,
}

impl State {
    pub(crate) fn of(list: &[String]) -> Self {
        let head = list.first().cloned().unwrap_or_default();
        let before_last = list.iter().rev().skip(1);
        let bytes = before_last.fold(0, |sum: usize, text| sum.saturating_add(text.len()));
        let is_crowded = !rest_of(&head).starts_with(AND);
        Self { head, texts: list.len(), bytes, is_crowded, is_own: false }
    }

    /// When this was written by the script: what is added is put before the head, and a snapshot in the place of all.
    pub(crate) fn with(&self, text: AccountText) -> Self {
        if text.is_added() {
            return self.behind(text);
        }
        let head = text.into_string();
        Self { texts: 1, bytes: 0, head, is_crowded: false, is_own: true }
    }

    /// With another text before the head.
    pub(crate) fn behind(&self, text: AccountText) -> Self {
        let head = text.into_string();
        let (texts, bytes) = (self.texts.saturating_add(1), self.bytes.saturating_add(head.len()));
        Self { head, texts, bytes, is_crowded: false, is_own: true }
    }

    pub(crate) const fn is_absent(&self) -> bool {
        self.head.is_empty()
    }

    /// Empty where there is no account.
    pub(crate) fn version(&self) -> &str {
        version_of(&self.head)
    }

    /// The same version, of which the server has said whether others wait.
    pub(crate) fn among(self, others_wait: bool) -> Self {
        let told_of_others = !self.is_absent() && !rest_of(&self.head).starts_with(AND);
        if told_of_others && !others_wait {
            let contents = self.head.find(AND).and_then(|from| self.head.get(from..)).unwrap_or_default();
            let head = [self.version(), contents].concat();
            return Self { head, is_crowded: false, ..self };
        }
        Self { is_crowded: others_wait, ..self }
    }

    /// Whether there is room for one more text, of so many bytes.
    pub(crate) const fn has_room_for(&self, bytes: usize) -> bool {
        !self.is_absent() && self.texts < MAX_TEXTS && self.bytes.saturating_add(bytes) <= MAX_BYTES
    }

    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// The head, and how many texts there are, where this store has written it and nobody was seen to wait since: then a commit needs no
    /// script.
    pub(crate) fn may_be_stood_before(&self) -> Option<(&str, usize)> {
        (self.is_own && !self.is_crowded).then_some((self.head.as_str(), self.texts))
    }
}

/// What stands behind the version.
fn rest_of(text: &str) -> &str {
    text.get(version_of(text).len()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use quota_core::{Account, Instant};

    use super::*;
    use crate::open_entries::OpenEntries;
    use crate::stored::Memory;

    const OWN: &str = "0123456789abaaaaaaaaaaaaaaaaaaaa";

    fn list(queue: &str) -> Vec<String> {
        vec![[OWN, queue, "\u{4}+x"].concat(), "behind".to_owned()]
    }

    fn added() -> AccountText {
        AccountText::added(OWN, Instant::MIN, &OpenEntries::default())
    }

    #[test]
    fn a_head_can_be_stood_before_by_who_has_written_it_unless_somebody_waits() {
        let state = State::of(&list(""));
        assert_eq!((state.version(), state.is_absent(), state.is_own()), (OWN, false, false));
        assert_eq!(state.may_be_stood_before(), None, "it was read");
        let more = state.with(added());
        assert_eq!(more.may_be_stood_before(), Some((added().as_str(), 3)));
        assert_eq!(more.clone().among(true).may_be_stood_before(), None);
        assert_eq!(more.clone().among(true).among(false), more);
        let alone = AccountText::snapshot(OWN, &Account::new(), &Memory::default());
        let [only, behind] = [more.with(alone.clone()), more.behind(alone.clone())];
        assert_eq!(only.may_be_stood_before(), Some((alone.as_str(), 1)));
        assert_eq!(behind.may_be_stood_before(), Some((alone.as_str(), 4)));
        let nothing = State::of(&[]);
        assert!(nothing.is_absent() && nothing.version().is_empty() && nothing.may_be_stood_before().is_none());
        assert!(nothing.among(false).is_absent());
    }

    #[test]
    fn a_list_has_room_for_so_many_bytes_and_texts() {
        let state = State::of(&list(""));
        assert!(state.has_room_for(4_000) && !state.has_room_for(4_096) && !State::default().has_room_for(0));
        let mut more = State::of(&["x".to_owned()]);
        for _ in 1..MAX_TEXTS {
            assert!(more.has_room_for(0));
            more = State { bytes: 0, ..more.behind(added()) };
        }
        assert!(!more.has_room_for(0));
    }

    #[test]
    fn who_waits_is_told_by_the_head_and_left_out_where_nobody_does() {
        let crowded = State::of(&list("01234560"));
        assert_eq!((crowded.version(), crowded.may_be_stood_before()), (OWN, None));
        let alone = crowded.clone().among(false);
        assert_eq!((alone.head.as_str(), alone.is_crowded), (list("")[0].as_str(), false));
        assert_eq!(crowded.among(true).may_be_stood_before(), None);
    }
}
