//! The labels of one client that sums are kept for.

use crate::document::DocumentError;
use crate::id::Label;

/// The labels that a client's sums tell apart: the first 64 that it used. A label stays once it is in, so what an
/// entry was counted under can always be told again. The rest is counted under none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The greatest number of labels in the sums of a client.
    pub const MAX: usize = 64;

    /// Reads what [`Labels::to_document`] wrote.
    ///
    /// # Errors
    /// [`DocumentError::Malformed`] for anything but the empty text or a JSON array of labels.
    pub fn from_document(text: &str) -> Result<Self, DocumentError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let malformed = |error: &dyn std::fmt::Display| DocumentError::Malformed(format!("its labels: {error}"));
        let texts: Vec<String> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        let labels: Result<Vec<Label>, _> = texts.iter().map(Label::new).collect();
        labels.map(Self).map_err(|error| malformed(&error))
    }

    /// The labels as a store keeps them: a JSON array, or the empty text where there are none.
    #[must_use]
    pub fn to_document(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let texts: Vec<&str> = self.0.iter().map(Label::as_str).collect();
        // Strings have a JSON form.
        serde_json::to_string(&texts).unwrap_or_default()
    }

    /// The label that an entry with this one is counted under; none is the empty text.
    #[must_use]
    pub fn counted<'a>(&self, label: Option<&'a Label>) -> &'a str {
        label.filter(|label| self.0.contains(label)).map_or("", Label::as_str)
    }

    /// Takes a label in if there is room, and says what its entry is counted under.
    pub fn place<'a>(&mut self, label: Option<&'a Label>) -> &'a str {
        if let Some(label) = label
            && !self.0.contains(label)
            && self.0.len() < Self::MAX
        {
            self.0.push(label.clone());
        }
        self.counted(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixty_fifth_label_is_counted_under_none() {
        let mut labels = Labels::default();
        let label = |n: usize| Label::new(format!("label {n}")).unwrap();
        for n in 0..Labels::MAX {
            assert_eq!(labels.place(Some(&label(n))), format!("label {n}"));
        }
        assert_eq!(labels.place(Some(&label(64))), "");
        assert_eq!(labels.place(None), "");
        let read = Labels::from_document(&labels.to_document()).unwrap();
        assert_eq!(read.counted(Some(&label(63))), "label 63");
        assert_eq!(read.counted(Some(&label(64))), "");
    }
}
