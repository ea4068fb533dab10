//! Memory that the header values of many answers are written to.

use std::cell::RefCell;

use bytes::BytesMut;

/// Bytes of a block: some thirty answers with all five headers. A block lives until the last answer that was written to it
/// has gone, and is written to again if that is soon enough.
const BLOCK: usize = 4_096;

thread_local! {
    static KEPT: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Calls `write` with an empty buffer of at least so many bytes, for it to split off what it writes.
///
/// What is split off shares the block, so that a value costs no allocation of its own.
pub(crate) fn write_to_block<R>(room: usize, write: impl FnOnce(&mut BytesMut) -> R) -> R {
    let kept = KEPT.try_with(RefCell::take).ok().filter(|kept| kept.capacity() > 0);
    let mut block = kept.unwrap_or_else(|| BytesMut::with_capacity(BLOCK));
    block.clear();
    block.reserve(room);
    let written = write(&mut block);
    // Where the thread ends, nothing is kept any more.
    let _ = KEPT.try_with(|kept| kept.replace(block));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> bytes::Bytes {
        write_to_block(text.len(), |buffer| {
            buffer.extend_from_slice(text.as_bytes());
            buffer.split().freeze()
        })
    }

    #[test]
    fn what_was_written_stays_while_others_write() {
        let texts: Vec<String> = (0..2_000).map(|number| format!("value {number}")).collect();
        let written: Vec<bytes::Bytes> = texts.iter().map(|text| split(text)).collect();
        assert!(texts.iter().zip(&written).all(|(text, value)| text.as_bytes() == value));
    }

    #[test]
    fn a_value_may_be_longer_than_a_block() {
        let long = "x".repeat(3 * BLOCK);
        assert_eq!(split(&long), long);
        assert_eq!(split("short"), "short");
    }

    #[test]
    fn a_block_is_written_to_again_when_its_values_have_gone() {
        drop((split("first"), split("second")));
        let counted = allocation_counter::measure(|| (0..10_000).for_each(|_| drop(split("a value"))));
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn a_writer_that_panics_leaves_nothing_behind() {
        let panicked = std::panic::catch_unwind(|| {
            write_to_block(8, |buffer| {
                buffer.extend_from_slice(b"half");
                panic!("a value cannot be written");
            })
        });
        assert!(panicked.is_err());
        assert_eq!(split("whole"), "whole");
    }
}
