//! Ids for operations whose callers gave none.

use std::num::NonZeroU64;

use quota_core::{Asker, OperationId, PlanVersion};
use uuid::Uuid;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// As many digits as a word holds: words are divided much more quickly than what is wider.
const WORD_DIGITS: usize = 10;
const WORD: u128 = 62_u128.pow(10);

const DIGITS_OF_ID: usize = 22;

/// A new id: a UUID version 7 in 22 digits of base 62, which sort by time and need no allocation.
pub(crate) fn operation_id() -> Option<OperationId> {
    let mut rest = Uuid::now_v7().as_u128();
    let mut text = [b'0'; DIGITS_OF_ID];
    for digits in text.rchunks_mut(WORD_DIGITS) {
        let mut word = u64::try_from(rest % WORD).ok()?;
        rest /= WORD;
        for place in digits.iter_mut().rev() {
            *place = *DIGITS.get(usize::try_from(word % 62).ok()?)?;
            word /= 62;
        }
    }
    OperationId::from_utf8(&text).ok()
}

/// Whether a service may have made an id for a caller who gave none: by its form, which a caller's own id seldom has. A store that keeps
/// made ids apart looks for no others there.
#[must_use]
pub fn may_be_made(id: &OperationId) -> bool {
    let id = id.as_str().as_bytes();
    id.len() == DIGITS_OF_ID && id.iter().all(u8::is_ascii_alphanumeric)
}

/// A new random version of a plan.
pub(crate) fn plan_version() -> PlanVersion {
    PlanVersion::new(number())
}

/// A service's own name among all that ask for holds.
pub(crate) fn asker() -> Asker {
    Asker::new(number())
}

fn number() -> NonZeroU64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // The variant bits make `low` non-zero; the rest of both is random.
    NonZeroU64::new(high.rotate_left(32) ^ low).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sort_by_time() {
        let ids: Vec<_> = (0..1000).filter_map(|_| operation_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().zip(&ids[1..]).all(|(one, next)| one < next));
        assert!(ids.iter().all(may_be_made));
        for other in
            ["1", "0190b4a1-6b2c-7d3e-8f40-123456789abc", "01J1A5X8ZQ7K3M9T2V4W6Y8B0C", "035621Sj5FOVRoWTcQnK9-"]
        {
            assert!(!may_be_made(&OperationId::new(other).unwrap()), "{other}");
        }
    }
}
