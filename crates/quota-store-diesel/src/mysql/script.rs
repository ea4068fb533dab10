//! What a batch writes, as text: any number of rows in one round trip, with nothing prepared for each number of them.

/// Statements with their values in place. Every text is written as the hexadecimal digits of its bytes, so that none
/// can be taken for a part of a statement, whatever the server's modes are.
#[derive(Debug, Default)]
pub(super) struct Script {
    texts: Vec<String>,
}

/// A value of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// For a column of bytes.
    Bytes(&'a str),
    /// For a column of characters.
    Text(&'a str),
    Int(i64),
}

/// One text is at most about this long, unless a single row is longer: well below the 16 MiB that MariaDB takes by default.
const MAX_TEXT: usize = 2 << 20;

impl Script {
    /// The texts, to be sent one after the other.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Adds `head VALUES rows tail`; nothing where there are no rows.
    pub(super) fn insert<'a, const N: usize>(
        &mut self,
        head: &str,
        rows: impl Iterator<Item = [Value<'a>; N]>,
        tail: &str,
    ) {
        let (mut begun, mut next) = (false, String::new());
        for row in rows {
            next.clear();
            write_row(row, &mut next);
            if begun && !self.has_room(next.len()) {
                self.last().push_str(tail);
                self.texts.push(String::new());
                begun = false;
            }
            if begun {
                self.last().push(',');
            } else {
                self.begin(head, next.len());
                self.last().push_str(" VALUES ");
                begun = true;
            }
            self.last().push_str(&next);
        }
        if begun {
            self.last().push_str(tail);
        }
    }

    /// Adds another statement.
    pub(super) fn statement(&mut self, text: &str) {
        self.begin(text, 0);
    }

    /// Begins another statement, of which so much is to follow; in another text where it would make this one too long.
    fn begin(&mut self, text: &str, more: usize) {
        if !self.has_room(text.len().saturating_add(more)) {
            self.texts.push(String::new());
        }
        let last = self.last();
        if !last.is_empty() {
            last.push(';');
        }
        last.push_str(text);
    }

    /// Whether so much more can be added to the last text; anything, where it is empty.
    fn has_room(&self, more: usize) -> bool {
        self.texts.last().is_none_or(|last| last.is_empty() || last.len().saturating_add(more) <= MAX_TEXT)
    }

    fn last(&mut self) -> &mut String {
        if self.texts.is_empty() {
            self.texts.push(String::new());
        }
        let last = self.texts.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is one, if not before then since the line above")]
        &mut self.texts[last]
    }
}

fn write_row<const N: usize>(row: [Value<'_>; N], out: &mut String) {
    out.push('(');
    for (place, value) in row.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        value.write(out);
    }
    out.push(')');
}

impl Value<'_> {
    pub(super) fn write(self, out: &mut String) {
        let (introducer, text) = match self {
            Self::Int(number) => return out.push_str(&number.to_string()),
            Self::Bytes(text) => ("x'", text),
            Self::Text(text) => ("_utf8mb4 x'", text),
        };
        out.push_str(introducer);
        for byte in text.bytes() {
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
            }
        }
        out.push('\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_their_bytes() {
        let mut script = Script::default();
        script.insert(
            "INSERT INTO t (a, b, c)",
            [[Value::Bytes("é'"), Value::Text(""), Value::Int(-1)]].into_iter(),
            "",
        );
        script.insert("INSERT INTO u (a)", std::iter::empty::<[Value<'_>; 1]>(), " never");
        script.statement("COMMIT");
        assert_eq!(script.texts(), ["INSERT INTO t (a, b, c) VALUES (x'c3a927',_utf8mb4 x'',-1);COMMIT"]);
    }

    #[test]
    fn a_row_that_is_too_long_has_a_text_of_its_own() {
        let mut script = Script::default();
        let (short, long) = ("a".repeat(MAX_TEXT / 4), "a".repeat(MAX_TEXT));
        for row in [&short, &long, &short] {
            script.insert("INSERT INTO t (a)", [[Value::Bytes(row)]].into_iter(), "");
        }
        script.insert("INSERT INTO u (a)", [&long, &short].into_iter().map(|row| [Value::Bytes(row)]), "");
        script.statement("COMMIT");
        let lengths: Vec<usize> = script.texts().iter().map(|text| 4 * text.len() / MAX_TEXT).collect();
        assert_eq!(lengths, [2, 8, 2, 8, 2]);
        assert!(script.texts()[4].ends_with(";COMMIT"));
    }

    #[test]
    fn a_long_script_is_cut_between_rows() {
        let mut script = Script::default();
        let long = "a".repeat(MAX_TEXT / 2);
        script.insert("INSERT INTO t (a)", (0..5).map(|_| [Value::Bytes(&long)]), " ON DUPLICATE KEY UPDATE a = a");
        assert!(script.texts().len() > 1);
        for text in script.texts() {
            assert!(text.starts_with("INSERT INTO t (a) VALUES (x'61"), "{}", &text[..40]);
            assert!(text.ends_with("') ON DUPLICATE KEY UPDATE a = a"));
        }
    }
}
