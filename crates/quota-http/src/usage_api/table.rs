//! Tables for spreadsheets (RFC 4180).

use bytes::Bytes;
use csv::{Terminator, WriterBuilder};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use crate::usage_api::request::{ApiResponse, with_body};

/// Whether a table is wanted rather than JSON: `text/csv` is named, and JSON is not with a greater weight.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        let ranges =
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        let weights = ranges.filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            if !parts.next()?.eq_ignore_ascii_case(wanted) {
                return None;
            }
            let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some(given.map_or(1_000, thousandths))
        });
        weights.max()
    };
    let csv = weight("text/csv").filter(|weight| *weight > 0);
    csv.is_some_and(|csv| weight("application/json").is_none_or(|json| json <= csv))
}

/// A weight from 0 to 1 with at most three decimals (RFC 9110, section 12.4.2); another counts as 0.
fn thousandths(text: &str) -> u32 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{decimals:0<3}");
    match (whole, digits.len(), digits.parse::<u32>()) {
        ("0", 3, Ok(thousandths)) => thousandths,
        ("1", 3, Ok(0)) => 1_000,
        _ => 0,
    }
}

/// A table with a line of names.
pub(crate) fn answer<const N: usize>(names: [&str; N], rows: impl Iterator<Item = [String; N]>) -> ApiResponse {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    // It writes into memory, and each row has as many cells.
    let _ = writer.write_record(names);
    for row in rows {
        let _ = writer.write_record(row.map(harmless));
    }
    let body = writer.into_inner().unwrap_or_default();
    with_body(StatusCode::OK, "text/csv; charset=utf-8; header=present", Bytes::from(body))
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let rows = [["=1+1", "a,b"], ["say \"hi\"", "two\r\nlines"], ["-3", "é"], ["", "x"]];
        let table = answer(["id", "label"], rows.map(|row| row.map(str::to_owned)).into_iter());
        let text = "id,label\r\n'=1+1,\"a,b\"\r\n\"say \"\"hi\"\"\",\"two\r\nlines\"\r\n'-3,é\r\n,x\r\n";
        assert_eq!(std::str::from_utf8(table.body()).unwrap(), text);
        assert_eq!(table.headers()["cache-control"], "no-store");
    }

    #[test]
    fn a_table_is_made_for_whoever_wants_one() {
        for (accept, wanted) in [
            ("text/csv", true),
            ("TEXT/CSV;header=present", true),
            ("text/csv, application/json", true),
            ("application/json;q=0.9, text/csv", true),
            ("application/json, text/csv;q=0.5", false),
            ("text/csv;q=0", false),
            ("text/csv;q=2", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(is_wanted(&headers), wanted, "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
