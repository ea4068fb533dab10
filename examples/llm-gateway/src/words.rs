//! What the example says.

use std::io::Write;
use std::net::SocketAddr;

/// Prints where it listens, and what to try.
///
/// # Errors
/// Those of standard output.
pub(crate) fn print_what_to_try(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}\n\ntry:")?;
    for (key, body) in [
        ("sk-acme-7f3c", r#"{"prompt": "What is a quota?", "max_tokens": 50, "stream": true}"#),
        ("sk-acme-7f3c", r#"{"prompt": "What is a quota?", "max_tokens": 50}"#),
        ("sk-acme-7f3c", r#"{"prompt": "Please fail", "max_tokens": 50, "stream": true}"#),
        ("sk-acme-7f3c", r#"{"prompt": "Go on forever", "max_tokens": 4096, "stream": true}"#),
        ("sk-hobby-19ab", r#"{"prompt": "What is a quota?", "max_tokens": 100, "stream": true}"#),
    ] {
        writeln!(out, "  curl -iN -H 'Authorization: Bearer {key}' 'http://{address}/v1/completions' -d '{body}'")?;
    }
    for path in ["/quota/status", "/quota/usage"] {
        writeln!(out, "  curl -i -H 'Authorization: Bearer sk-acme-7f3c' 'http://{address}{path}'")?;
    }
    writeln!(out, "\nstop with ctrl-c")?;
    out.flush()
}
