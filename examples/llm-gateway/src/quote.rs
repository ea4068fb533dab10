//! What a completion will cost.

use quota_service::Credits;

/// The price of a completion before it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    pub(crate) prompt_tokens: u32,
    /// For all of the prompt.
    pub(crate) prompt: Credits,
    /// For each token that the model makes.
    pub(crate) token: Credits,
    /// For the prompt and as many tokens as the model may make.
    pub(crate) bound: Credits,
}
