//! What the usage API says of itself.

use bytes::Bytes;
use http::HeaderName;

/// The description of the API (OpenAPI 3.1). Its paths are below the prefix that the API is mounted under.
const OPEN_API: &str = include_str!("../../openapi.json");

/// How callers are named, as it stands there for an application that does not say.
const UNSAID: &str = r#""name": "Authorization",
        "description": "The application decides how its callers are named, and does not say here by which header. This is the usual one; what the application takes is its whole value, such as `Bearer TOKEN`.""#;

/// The description for an application that does not say how callers are named.
pub(super) const fn open_api() -> Bytes {
    Bytes::from_static(OPEN_API.as_bytes())
}

/// The description for an application whose callers are named by this header.
pub(super) fn open_api_with(header: &HeaderName) -> Bytes {
    // A header's name holds no quote and no backslash, so it stands in JSON as it is.
    let said = format!(
        r#""name": "{header}",
        "description": "The value of this header names the caller, as the application takes it.""#
    );
    OPEN_API.replacen(UNSAID, &said, 1).into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CLIENT: &str = "/components/securitySchemes/client";

    fn read(description: &Bytes) -> Value {
        serde_json::from_slice(description).unwrap()
    }

    #[test]
    fn an_application_says_which_header_names_callers_and_changes_nothing_else() {
        assert_eq!(OPEN_API.matches(UNSAID).count(), 1);
        let unsaid = read(&open_api());
        assert_eq!(unsaid.pointer(CLIENT).unwrap()["name"], "Authorization");
        // Of all that a header's name may hold.
        for name in ["x-client-id", "x!#$%&'*+-.^_`|~1"] {
            let mut said = read(&open_api_with(&name.parse().unwrap()));
            let client = said.pointer_mut(CLIENT).unwrap().take();
            assert_eq!(
                (&client["type"], &client["in"], &client["name"]),
                (&json!("apiKey"), &json!("header"), &json!(name))
            );
            *said.pointer_mut(CLIENT).unwrap() = unsaid.pointer(CLIENT).unwrap().clone();
            assert_eq!(said, unsaid);
        }
    }
}
