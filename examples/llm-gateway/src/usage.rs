//! What a completion did use.

use quota_service::Credits;
use serde::Serialize;

use crate::quote::Quote;

/// Tokens, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    credits: Credits,
}

impl Usage {
    /// That of the prompt, before the model has said anything.
    pub(crate) const fn of_prompt(quote: &Quote) -> Self {
        Self { prompt_tokens: quote.prompt_tokens, completion_tokens: 0, credits: quote.prompt }
    }

    /// One token more. Nothing saturates: both are bounded by the quote.
    pub(crate) const fn add_token(&mut self, price: Credits) {
        self.completion_tokens = self.completion_tokens.saturating_add(1);
        self.credits = self.credits.saturating_add(price);
    }
}
