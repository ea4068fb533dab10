//! What the usage API says of itself, and whether it keeps to it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::faults::Sent;
use crate::http::transcript::OF_THE_SERVER;

/// An OpenAPI document.
pub(super) struct Description {
    document: Value,
    /// What was given of what is described.
    given: RefCell<BTreeSet<Described>>,
    /// By their schemas: to make one takes longer than to ask.
    validators: RefCell<HashMap<String, Validator>>,
}

/// A method, a path below the prefix, a status and a type of content, which is empty where there is none.
pub(super) type Described = (String, String, String, String);

impl Description {
    pub(super) fn new(document: Value) -> Self {
        Self { document, given: RefCell::default(), validators: RefCell::default() }
    }

    /// What is described and was not given.
    pub(super) fn lacking(&self) -> Vec<Described> {
        let given = self.given.borrow();
        self.described().into_iter().filter(|described| !given.contains(described)).collect()
    }

    fn described(&self) -> Vec<Described> {
        let mut described = Vec::new();
        for (path, resource) in self.document["paths"].as_object().unwrap() {
            let operations =
                resource.as_object().unwrap().iter().filter(|(_, operation)| operation["responses"].is_object());
            for (method, operation) in operations {
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    let kinds = answer["content"].as_object().into_iter().flatten().map(|(kind, _)| kind.clone());
                    let kinds: Vec<String> = kinds.collect();
                    let kinds = if kinds.is_empty() { vec![String::new()] } else { kinds };
                    let all = kinds.into_iter().map(|kind| (method.clone(), path.clone(), status.clone(), kind));
                    described.extend(all);
                }
            }
        }
        described
    }

    /// What was sent and the answer are as they are described: what is done was well formed, and what is malformed is so by
    /// its schema or by words. What leads nowhere, and what no method is for, is described nowhere: a problem document.
    #[track_caller]
    pub(super) fn check(&self, sent: &Sent<'_>, answer: &Answer) {
        let (method, path, status) = (sent.method, sent.path, answer.status);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        answer.assert_no_quota();
        let faults = sent.faults(self);
        if status < 300 {
            assert!(faults.is_empty(), "{method} {path}?{} is done and not described: {faults:?}", sent.query);
        }
        // Why it is refused, the answer to a HEAD does not say.
        if status == 400 && faults.is_empty() && method != "HEAD" {
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            let is_said = sent.is_wrong_in_words(self, &detail);
            assert!(is_said, "{method} {path}?{} is as it is described: {detail}", sent.query);
        }
        self.check_headers(sent, answer);
        self.check_body(sent, answer);
    }

    /// Its headers are those that are described, and those that are required are there.
    fn check_headers(&self, sent: &Sent<'_>, answer: &Answer) {
        let described = self.answer(sent, answer.status)["headers"].clone();
        let described = described.as_object().into_iter().flatten();
        let described: Vec<_> = described.map(|(name, header)| (name.to_lowercase(), self.resolved(header))).collect();
        for name in answer.headers.keys().map(http::HeaderName::as_str) {
            let is_said = described.iter().any(|(described, _)| described == name);
            let is_usual = OF_THE_SERVER.contains(&name) || matches!(name, "content-type" | "cache-control");
            // What takes no such method is described nowhere.
            let is_refused = answer.status == 405 && name == "allow";
            assert!(
                is_said || is_usual || is_refused,
                "{name} of {} {} is not described: {answer:?}",
                sent.method,
                sent.path
            );
        }
        for (name, header) in described {
            let Some(value) = answer.header(&name) else {
                assert_ne!(header["required"], true, "{name} of {} {}: {answer:?}", sent.method, sent.path);
                continue;
            };
            let is_number = header["schema"]["type"] == "integer";
            let value = if is_number { Value::from(value.parse::<u64>().unwrap()) } else { Value::from(value) };
            let errors = self.errors(&header["schema"], &value);
            assert!(errors.is_empty(), "{name} of {} {}: {errors:?}", sent.method, sent.path);
        }
    }

    fn check_body(&self, sent: &Sent<'_>, answer: &Answer) {
        let (method, path, status) = (sent.method, sent.path, answer.status);
        if answer.body.is_empty() {
            assert!(method == "HEAD" || status == 204, "{method} {path}: {answer:?}");
            if method != "HEAD" {
                self.give(sent, status, "");
            }
            return;
        }
        let kind = answer.header("content-type").unwrap();
        let kind = kind.split(';').next().unwrap_or(kind);
        self.give(sent, status, kind);
        let schema = &self.answer(sent, status)["content"][kind]["schema"];
        if schema.is_null() {
            let is_problem = matches!(status, 404 | 405) && kind == "application/problem+json";
            assert!(is_problem, "{method} {path} is not described: {answer:?}");
            return;
        }
        if kind != "text/csv" {
            let errors = self.errors(schema, &answer.json());
            assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{answer:?}");
        }
    }

    /// Why a value is none of a schema.
    pub(super) fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut validators = self.validators.borrow_mut();
        let validator = validators.entry(schema.to_string()).or_insert_with(|| {
            let schema = json!({ "allOf": [schema], "components": self.document["components"] });
            jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
        });
        validator.iter_errors(value).map(|error| error.to_string()).collect()
    }

    /// What stands in the place of a reference.
    pub(super) fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let place = value["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
        place.map_or(value, |place| self.document.pointer(place).unwrap())
    }

    /// The path as it is described, and what is said of a request's method there.
    pub(super) fn operation(&self, sent: &Sent<'_>) -> Option<(&str, &Value)> {
        let (template, resource) = self.resource(sent.path)?;
        Some((template, &resource[sent.operation()])).filter(|(_, operation)| operation.is_object())
    }

    /// The schema of a parameter of all methods of a path.
    pub(super) fn parameter(&self, template: &str, name: &str) -> Value {
        let parameters = self.document["paths"][template]["parameters"].as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"].clone()
    }

    /// All that is said in words of an operation and of what it takes in a body.
    pub(super) fn words<'a>(&'a self, operation: &'a Value) -> Vec<&'a str> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let body = operation["requestBody"].is_object().then_some(&self.document["components"]["schemas"]);
        let body = body.into_iter().flat_map(|schemas| {
            let tz = &schemas["Quota"]["properties"]["tz"];
            [&schemas["Plan"], &schemas["Quota"], tz]
        });
        parameters.chain(body).filter_map(|said| said["description"].as_str()).collect()
    }

    /// What is described of an answer, or null.
    fn answer(&self, sent: &Sent<'_>, status: u16) -> &Value {
        self.operation(sent).map_or(&Value::Null, |(_, operation)| &operation["responses"][status.to_string()])
    }

    fn give(&self, sent: &Sent<'_>, status: u16, kind: &str) {
        let Some((template, _)) = self.resource(sent.path) else { return };
        let given = (sent.operation(), template.to_owned(), status.to_string(), kind.to_owned());
        self.given.borrow_mut().insert(given);
    }

    /// The path as it is described, and what is there.
    fn resource(&self, path: &str) -> Option<(&str, &Value)> {
        let segments: Vec<&str> = path.split('/').collect();
        let paths = self.document["paths"].as_object().unwrap();
        let found = paths.iter().find(|(template, _)| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == segments.len()
                && template.iter().zip(&segments).all(|(template, segment)| template == segment || *template == "{id}")
        });
        found.map(|(template, resource)| (template.as_str(), resource))
    }
}
