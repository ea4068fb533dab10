//! What tokens cost.

use quota_service::{Credits, CreditsError};

use crate::quote::Quote;

/// Credits for each token of the prompt, and for each that the model makes.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    prompt: Credits,
    completion: Credits,
}

impl Rates {
    /// Both for one token.
    #[must_use]
    pub const fn new(prompt: Credits, completion: Credits) -> Self {
        Self { prompt, completion }
    }

    /// What a completion of at most so many tokens will cost.
    ///
    /// # Errors
    /// [`CreditsError::TooLarge`] where it is beyond all credits.
    pub(crate) fn quote(&self, prompt_tokens: u32, most: u32) -> Result<Quote, CreditsError> {
        let times = |rate: Credits, tokens: u32| rate.checked_mul(tokens.into()).ok_or(CreditsError::TooLarge);
        let prompt = times(self.prompt, prompt_tokens)?;
        let bound = prompt.checked_add(times(self.completion, most)?).ok_or(CreditsError::TooLarge)?;
        Ok(Quote { prompt_tokens, prompt, token: self.completion, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_exact_or_none() {
        let rates = Rates::new("0.0005".parse().unwrap(), "0.0015".parse().unwrap());
        let bound = |prompt, most| rates.quote(prompt, most).unwrap().bound.to_string();
        assert_eq!(bound(3, 50), "0.0765");
        assert_eq!(bound(0, 0), "0");
        assert_eq!(bound(u32::MAX, u32::MAX), "8589934.59");
        for greatest in [Rates::new(Credits::MAX, Credits::ONE), Rates::new(Credits::ONE, Credits::MAX)] {
            assert_eq!(greatest.quote(2, 2).unwrap_err(), CreditsError::TooLarge);
            assert_eq!(greatest.quote(1, 1).unwrap_err(), CreditsError::TooLarge, "the sum");
        }
    }
}
