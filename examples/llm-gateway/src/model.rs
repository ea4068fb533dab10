//! The fake model.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::event::Failure;

/// What it says: 24 tokens, each a word.
const SAYING: &str = "a quota is a promise in two directions: no more than this is taken, no less than \
    this can be had, until it resets ";

/// How many tokens it makes before it fails.
const MADE_BEFORE_FAILURE: usize = 5;

/// A model that says the same whatever the prompt is, a token at a time. A prompt with `forever` in it makes it go on
/// until it has said as much as it may, one with `fail` in it makes it fail after 5 tokens.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pace: Duration,
}

impl Model {
    /// A model that takes this long for each token.
    #[must_use]
    pub const fn new(pace: Duration) -> Self {
        Self { pace }
    }

    /// The tokens of a text: its words.
    pub(crate) fn count(text: &str) -> u32 {
        u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
    }

    /// At most so many tokens. It works only while somebody reads: dropped, the stream makes no more.
    pub(crate) fn tokens(self, prompt: &str, most: u32) -> BoxStream<'static, Result<&'static str, Failure>> {
        let fails = prompt.contains("fail");
        let saying = SAYING.split_inclusive(' ');
        let words = if prompt.contains("forever") {
            stream::iter(saying.cycle()).boxed()
        } else {
            stream::iter(saying).boxed()
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let make = move |(made, word)| async move {
            tokio::time::sleep(self.pace).await;
            if fails && made == MADE_BEFORE_FAILURE { Err(Failure::Model) } else { Ok(word) }
        };
        words.take(most).enumerate().then(make).boxed()
    }
}
