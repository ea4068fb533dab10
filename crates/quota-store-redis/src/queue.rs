//! Turns at an account that several processes want.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// By what name a store, or a pruning, stands in the queues of accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token([u8; 7]);

/// A queue, as the script tells of it to who is not first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// The token, and a digit: how often it was passed over, or that its turn goes on.
    first: [u8; 8],
    /// The account's.
    version: String,
    ahead: u32,
}

/// The wait for a turn.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// The queue, and since when this process has seen the same one first at the same version: no clock has to be right.
    seen: Option<(Queue, Instant)>,
    /// How long the first is waited for.
    respected: Duration,
}

/// How long the first of a queue is waited for, at least, while nothing changes: longer than a commit takes. Its process may have
/// ended or have nothing more to do.
const RESPECTED: Duration = Duration::from_millis(10);

/// The digit of whose turn goes on.
const GOES_ON: u8 = b'9';

/// For so long who is next waits for whose turn goes on: that one comes at once, or had no more to do than was thought. It has
/// committed, and loses no more than the rest of its turn.
const AT_ONCE: Duration = Duration::from_millis(2);

/// And for how many answers of the server, should it be slow, but no longer than this: it may have been slow but once.
const RESPECTED_ANSWERS: u32 = 5;
const LONGEST: Duration = Duration::from_millis(250);

/// Whoever was passed over is waited for twice as long the next time, up to so often: it may need longer than others.
const DOUBLED: u8 = 8;

/// But for no longer than this: it may have ended.
const LONGEST_TURN: Duration = Duration::from_secs(3);

impl Waiting {
    /// Looks at the queue, where the server took so long for its answer.
    pub(crate) fn look(&mut self, queue: Queue, pace: Duration) {
        let goes_on = queue.first[7] == GOES_ON;
        let least = if goes_on && queue.ahead == 1 { AT_ONCE } else { RESPECTED };
        let times = if goes_on { 1 } else { 1 << queue.first[7].saturating_sub(b'0').min(DOUBLED) };
        self.respected =
            pace.saturating_mul(RESPECTED_ANSWERS).clamp(least, LONGEST).saturating_mul(times).min(LONGEST_TURN);
        let is_same = |seen: &Queue| (seen.first, &seen.version) == (queue.first, &queue.version);
        let since = self.seen.take().filter(|(seen, _)| is_same(seen)).map_or_else(Instant::now, |(_, since)| since);
        self.seen = Some((queue, since));
    }

    /// The queue whose first has done nothing for as long as it is waited for.
    pub(crate) fn in_vain(&self) -> Option<&Queue> {
        self.seen.as_ref().filter(|(_, since)| since.elapsed() >= self.respected).map(|(queue, _)| queue)
    }

    /// Until when who listens need not ask.
    pub(crate) fn until(&self) -> Instant {
        self.seen
            .as_ref()
            .map_or_else(Instant::now, |(_, since)| *since)
            .checked_add(self.respected)
            .unwrap_or_else(Instant::now)
    }
}

impl Token {
    /// A random one.
    pub(crate) fn new() -> Self {
        let text = uuid::Uuid::new_v4().simple().to_string();
        Self(text.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// As it stands in a queue, where it was passed over so often.
    pub(crate) fn standing(self, passed: u8) -> impl Iterator<Item = u8> {
        self.0.into_iter().chain([b'0'.saturating_add(passed.min(DOUBLED))])
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Queue {
    /// Who is first, how many are ahead, and the account's version.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let (first, rest) = text.split_first_chunk::<8>()?;
        let (ahead, version) = str::from_utf8(rest).ok()?.trim_start().split_once(' ')?;
        Some(Self { first: *first, version: version.to_owned(), ahead: ahead.parse().ok()? })
    }

    /// Whom to pass over, and at which version alone.
    pub(crate) fn passed(&self) -> impl Iterator<Item = u8> {
        self.first.into_iter().chain(self.version.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(text: &str) -> Queue {
        Queue::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_queue_is_read_as_the_script_tells_of_it() {
        let read = queue("01234567 3 abc");
        assert_eq!((read.first, read.ahead, read.version.as_str()), (*b"01234567", 3, "abc"));
        assert_eq!(read.passed().collect::<Vec<_>>(), b"01234567abc");
        for garbled in ["", "0123456", "01234567", "01234567 3", "01234567 x abc", "01234567 -1 abc"] {
            assert!(Queue::read(garbled.as_bytes()).is_none(), "{garbled}");
        }
        let token = Token::new();
        assert_ne!(token, Token::new());
        let standing = |passed| String::from_utf8(token.standing(passed).collect()).unwrap();
        assert_eq!([standing(0), standing(2), standing(200)], [0, 2, 8].map(|digit| format!("{token}{digit}")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_nothing_is_waited_for_in_vain() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.in_vain(), None);
        for (text, pace, respected) in [
            ("aaaaaaa0 2 v1", 0, RESPECTED),
            ("bbbbbbb0 1 v1", 1, RESPECTED),
            ("bbbbbbb0 1 v2", 4, 2 * RESPECTED),
            ("bbbbbbb0 1 v3", 5_000, LONGEST),
            ("bbbbbbb3 1 v3", 0, 8 * RESPECTED),
            ("bbbbbbb8 1 v3", 0, 256 * RESPECTED),
            ("bbbbbbb8 1 v4", 50, LONGEST_TURN),
            ("ccccccc9 3 v3", 0, RESPECTED),
            ("ddddddd9 1 v3", 0, AT_ONCE),
        ] {
            waiting.look(queue(text), Duration::from_millis(pace));
            assert_eq!(waiting.until(), Instant::now() + respected);
            tokio::time::advance(respected / 2).await;
            // It is further ahead, and as idle as before.
            waiting.look(queue(&text.replace(" 2 ", " 1 ")), Duration::from_millis(pace));
            tokio::time::advance(respected / 2 - Duration::from_micros(1)).await;
            assert_eq!(waiting.in_vain(), None, "{text}");
            tokio::time::advance(Duration::from_micros(1)).await;
            assert_eq!(waiting.in_vain(), Some(&queue(&text.replace(" 2 ", " 1 "))));
        }
    }
}
