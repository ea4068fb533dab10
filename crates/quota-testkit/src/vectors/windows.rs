//! Worked windows.

use quota_core::{Instant, Lattice};
use serde_json::{Map, Value, json};

use super::input::{Code, Input};
use super::lines::{Lines, LinesError};
use super::report::{Failure, Report};

/// What a window's line says beside what is asked.
const EXPECTED: [&str; 3] = ["start", "end", "error"];

/// Finds every window of the file.
///
/// # Errors
/// [`LinesError::Malformed`] for a line that expects nothing.
pub fn run_windows(lines: &Lines, mut progress: impl FnMut()) -> Result<Report, LinesError> {
    let mut report = Report::default();
    for (line, object) in lines.iter() {
        let (expected, asked): (Map<_, _>, Map<_, _>) =
            object.clone().into_iter().partition(|(member, _)| EXPECTED.contains(&member.as_str()));
        let has = |member: &str| expected.contains_key(member);
        if !(has("error") || has("start") && has("end")) {
            return Err(lines.malformed(line, "a window has `start` and `end`, or `error`"));
        }
        let actual = window(Input(object)).unwrap_or_else(|code| json!({ "error": code }));
        let expected = Value::Object(expected);
        if actual == expected {
            report.pass();
        } else {
            let asked = Value::Object(asked);
            report.fail(line, Failure { name: format!("line {line}"), step: None, asked, expected, actual });
        }
        progress();
    }
    Ok(report)
}

fn window(input: Input<'_>) -> Result<Value, Code> {
    let lattice = Lattice::new(input.period()?, input.anchor()?);
    let now: Instant = input.read("now")?;
    let window = lattice.window_at(now).map_err(|_| "instant_out_of_range")?;
    Ok(json!({ "start": window.start(), "end": window.end() }))
}
