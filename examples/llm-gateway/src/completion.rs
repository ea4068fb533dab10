//! A completion as a stream of events.

use futures_util::stream::{BoxStream, unfold};
use futures_util::{Stream, StreamExt};
use quota_service::OperationId;

use crate::event::{Event, Failure};
use crate::quote::Quote;
use crate::stop::Stop;
use crate::usage::Usage;

/// A completion at work. It begins with its id, goes on with tokens, and ends with what it used and the word that it is
/// done, or with a failure and what it used until then.
pub(crate) struct Completion {
    tokens: BoxStream<'static, Result<&'static str, Failure>>,
    quote: Quote,
    usage: Usage,
    stop: Stop,
    next: Next,
}

/// What follows.
enum Next {
    Began(OperationId),
    Token,
    Done,
    Nothing,
}

impl Completion {
    /// Of these tokens, at these prices.
    pub(crate) const fn new(
        id: OperationId,
        tokens: BoxStream<'static, Result<&'static str, Failure>>,
        quote: Quote,
        stop: Stop,
    ) -> Self {
        Self { tokens, quote, usage: Usage::of_prompt(&quote), stop, next: Next::Began(id) }
    }

    /// Its events, each made when it is asked for. When the server is asked to stop, the next one is the last.
    pub(crate) fn events(self) -> impl Stream<Item = Event> + Send {
        unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(Event, Self)> {
        let (event, next) = match self.next {
            Next::Began(id) => (Event::Began { id, price: self.quote.prompt }, Next::Token),
            Next::Token => match self.token().await {
                Some(Ok(event)) => (event, Next::Token),
                Some(Err(error)) => (Event::Failed { error, usage: self.usage }, Next::Nothing),
                None => (Event::Ended { usage: self.usage }, Next::Done),
            },
            Next::Done => (Event::Done, Next::Nothing),
            Next::Nothing => return None,
        };
        self.next = next;
        Some((event, self))
    }

    async fn token(&mut self) -> Option<Result<Event, Failure>> {
        let token = tokio::select! {
            // A model that is always ready must not keep the server from stopping.
            biased;
            () = self.stop.asked() => Some(Err(Failure::Stopping)),
            token = self.tokens.next() => token,
        };
        let price = self.quote.token;
        token.map(|token| {
            token.map(|text| {
                self.usage.add_token(price);
                Event::Token { text, price }
            })
        })
    }
}
