//! What of a request to the usage API its description does not allow.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::http::description::Description;

/// A request to the usage API, below its prefix.
pub(super) struct Sent<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// None where it was cut off.
    pub(super) body: Option<&'a [u8]>,
}

/// What no schema says and the description's words do: the member at fault of a request that its schemas allow, and a part
/// of those words.
const IN_WORDS: [(&str, &str); 10] = [
    ("tz", "IANA name"),
    ("to", "ot before `from`"),
    ("from", "`to` are required"),
    ("to", "`to` are required"),
    ("all", "without `from` and `to`"),
    ("after", "and nothing else"),
    ("quotas", "no two of the same period"),
    ("quotas[0]", "no member given twice"),
    ("body", "no member given twice"),
    ("quotas[0].tz", "An IANA time zone"),
];

impl Sent<'_> {
    /// As it is described: `HEAD` is as `GET`.
    pub(super) fn operation(&self) -> String {
        let method = self.method.to_lowercase();
        if method == "head" { "get".to_owned() } else { method }
    }

    /// What is wrong with it, by its description.
    pub(super) fn faults(&self, description: &Description) -> Vec<String> {
        let Some((template, operation)) = description.operation(self) else { return Vec::new() };
        let mut faults = self.faults_of_path(description, template);
        faults.extend(self.faults_of_query(description, operation));
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        match self.body {
            None => faults.push("the body is cut off".to_owned()),
            Some(sent) if body.is_object() => match serde_json::from_slice::<Value>(sent) {
                Ok(sent) => faults.extend(description.errors(body, &sent)),
                Err(error) => faults.push(error.to_string()),
            },
            Some(_) => {}
        }
        faults
    }

    /// Whether a problem's detail names a member about which the description says in words what no schema does.
    pub(super) fn is_wrong_in_words(&self, description: &Description, detail: &str) -> bool {
        let Some((_, operation)) = description.operation(self) else { return false };
        let member = detail.split(": ").next().unwrap_or_default();
        let says = |words: &str| description.words(operation).iter().any(|said| said.contains(words));
        IN_WORDS.iter().any(|(named, words)| *named == member && says(words))
    }

    fn faults_of_path(&self, description: &Description, template: &str) -> Vec<String> {
        let Some(place) = template.split('/').position(|segment| segment == "{id}") else { return Vec::new() };
        let id = self.path.split('/').nth(place).unwrap_or_default();
        let schema = description.parameter(template, "id");
        match percent_decode_str(id).decode_utf8() {
            Ok(id) => description.errors(&schema, &Value::from(id)),
            Err(error) => vec![error.to_string()],
        }
    }

    fn faults_of_query(&self, description: &Description, operation: &Value) -> Vec<String> {
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let (mut faults, mut given) = (Vec::new(), BTreeSet::new());
        faults.extend(percent_decode_str(self.query).decode_utf8().err().map(|error| error.to_string()));
        for (name, text) in form_urlencoded::parse(self.query.as_bytes()) {
            match parameters.iter().find(|parameter| parameter["name"] == *name) {
                Some(parameter) => {
                    let is_number = description.resolved(&parameter["schema"])["type"] == "integer";
                    let number = text.parse::<i64>().ok().filter(|_| is_number && !text.starts_with('+'));
                    let value = number.map_or_else(|| Value::from(&*text), Value::from);
                    faults.extend(description.errors(&parameter["schema"], &value));
                }
                None => faults.push(format!("there is no {name}")),
            }
            if !given.insert(name.clone()) {
                faults.push(format!("{name} is given twice"));
            }
        }
        faults
    }
}
