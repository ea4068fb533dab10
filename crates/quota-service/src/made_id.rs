//! Ids for operations whose callers gave none.

use std::cell::Cell;
use std::num::NonZeroU64;

use quota_core::{Asker, OperationId, PlanVersion};
use uuid::{Uuid, Variant};

use crate::clock::{Clock, SystemClock};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// As many digits as a word holds: words are divided much more quickly than what is wider.
const WORD_DIGITS: usize = 10;
const WORD: u128 = 62_u128.pow(10);

/// What the ids of a block have in common.
const DIGITS_OF_BLOCK: usize = 21;
const DIGITS_OF_ID: usize = DIGITS_OF_BLOCK + 1;

/// Ids of a block, told apart by their last digit.
const IDS_OF_BLOCK: usize = 16;

/// For how many milliseconds ids are made of a block. Two copies of a machine, or of a process, which go on from one moment, do not
/// make the same ones for longer.
const BLOCK_LASTS: i64 = 1_000;

/// The ids that a thread makes next.
#[derive(Clone, Copy)]
struct Block {
    digits: [u8; DIGITS_OF_BLOCK],
    made: usize,
    begun: i64,
}

thread_local! {
    static BLOCK: Cell<Option<Block>> = const { Cell::new(None) };
}

/// A new id: a block's digits and one more. A block is a UUID version 7 in digits of base 62, which sort by time, and lasts for a
/// second; an id needs no allocation. Those of a thread come in blocks, so that a store may keep what a batch has of a block together.
pub(crate) fn operation_id() -> Option<OperationId> {
    let now = SystemClock.now().millis();
    // Where the thread ends, none is kept any more.
    let kept = BLOCK.try_with(Cell::take).ok().flatten().filter(|block| block.is_good(now));
    let mut block = kept.or_else(|| Block::new(now))?;
    let id = block.id();
    block.made = block.made.saturating_add(1);
    let _ = BLOCK.try_with(|kept| kept.set(Some(block)));
    id
}

impl Block {
    fn is_good(&self, now: i64) -> bool {
        self.made < IDS_OF_BLOCK && (0..BLOCK_LASTS).contains(&now.saturating_sub(self.begun))
    }

    fn new(now: i64) -> Option<Self> {
        let mut rest = Uuid::now_v7().as_u128();
        let mut digits = [b'0'; DIGITS_OF_BLOCK];
        for digits in digits.rchunks_mut(WORD_DIGITS) {
            let mut word = u64::try_from(rest % WORD).ok()?;
            rest /= WORD;
            for place in digits.iter_mut().rev() {
                *place = *DIGITS.get(usize::try_from(word % 62).ok()?)?;
                word /= 62;
            }
        }
        // Its 21 digits hold a UUID of before the year 3115.
        (rest == 0).then_some(Self { digits, made: 0, begun: now })
    }

    fn id(&self) -> Option<OperationId> {
        let mut text = [*DIGITS.get(self.made)?; DIGITS_OF_ID];
        text.get_mut(..DIGITS_OF_BLOCK)?.copy_from_slice(&self.digits);
        OperationId::from_utf8(&text).ok()
    }
}

/// Whether a service may have made an id for a caller who gave none: by its form, which a caller's own id seldom has. A store that keeps
/// made ids apart looks for no others there.
#[must_use]
pub fn may_be_made(id: &OperationId) -> bool {
    block_of_made(id).is_some()
}

/// What a service's id, made for a caller who gave none, has in common with the others of its block: all but the last of its bytes, which
/// is one of `0` to `9` and `A` to `F`. None where it is none by its form. A store may keep ids of one block that it writes at once together:
/// a service sends each id that it made ([`quota_core::EntryId::Made`]) for one operation, and never again as a made one.
#[must_use]
pub fn block_of_made(id: &OperationId) -> Option<&str> {
    let text = id.as_str();
    let (block, last) = text.split_at_checked(DIGITS_OF_BLOCK)?;
    let is_last = matches!(last.as_bytes(), [last] if DIGITS.iter().take(IDS_OF_BLOCK).any(|digit| digit == last));
    if !is_last {
        return None;
    }
    let uuid = Uuid::from_u128(number_of(block.as_bytes())?);
    (uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122).then_some(block)
}

/// The number that these digits of base 62 are.
fn number_of(digits: &[u8]) -> Option<u128> {
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    };
    digits.rchunks(WORD_DIGITS).rev().try_fold(0_u128, |number, digits| {
        let word = digits.iter().try_fold(0_u64, |word, digit| word.checked_mul(62)?.checked_add(value(digit)?.into()));
        number.checked_mul(WORD)?.checked_add(word?.into())
    })
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_sort_by_time() {
        let ids: Vec<_> = (0..1000).filter_map(|_| operation_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().zip(&ids[1..]).all(|(one, next)| one < next));
    }

    #[test]
    fn a_block_lasts_for_a_second() {
        let block = Block::new(5_000).unwrap();
        for (now, made, is_good) in
            [(5_000, 0, true), (5_999, 15, true), (5_999, 16, false), (6_000, 0, false), (4_999, 0, false)]
        {
            assert_eq!(Block { made, digits: block.digits, begun: block.begun }.is_good(now), is_good, "{now} {made}");
        }
    }

    #[test]
    fn threads_make_ids_of_their_own() {
        let made = || std::thread::spawn(|| (0..100).filter_map(|_| operation_id()).collect::<Vec<_>>());
        let ids: Vec<_> =
            (0..4).map(|_| made()).collect::<Vec<_>>().into_iter().flat_map(|ids| ids.join().unwrap()).collect();
        assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (400, 400));
    }

    #[test]
    fn sixteen_ids_are_of_one_block() {
        let ids: Vec<_> = (0..160).filter_map(|_| operation_id()).collect();
        let blocks: HashSet<_> = ids.iter().map(|id| block_of_made(id).unwrap()).collect();
        // More where seconds pass meanwhile.
        assert!((10..=20).contains(&blocks.len()), "{}", blocks.len());
        assert!(ids.iter().all(|id| id.as_str().starts_with(block_of_made(id).unwrap())));
    }

    #[test]
    fn a_made_id_is_known_by_its_form() {
        assert!((0..100).filter_map(|_| operation_id()).all(|id| may_be_made(&id)));
        for other in [
            "1",
            "0190b4a1-6b2c-7d3e-8f40-123456789abc",
            "01J1A5X8ZQ7K3M9T2V4W6Y8B0C",
            "035621Sj5FOVRoWTcQnK9-",
            "0000000000000000000000",
            "zzzzzzzzzzzzzzzzzzzzzz",
            "mhvXdrZT4jP5T8vBxuvm75",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(!may_be_made(&OperationId::new(other).unwrap()), "{other}");
        }
        let made = operation_id().unwrap();
        let of_no_block = |last: &str| OperationId::new(format!("{}{last}", block_of_made(&made).unwrap())).unwrap();
        assert!(["G", "g", "-", "00"].iter().all(|last| !may_be_made(&of_no_block(last))));
    }
}
