//! What the usage API says of itself, and whether it keeps to it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::http::answer::Answer;

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

    /// The answer is what is described for its path below the prefix, its method, status and type. What leads nowhere, and
    /// what no method is for, is described nowhere: a problem document.
    pub(super) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let method = method.to_lowercase();
        let status = answer.status;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        answer.assert_no_quota();
        if answer.body.is_empty() {
            assert!(method == "head" || status == 204, "{method} {path}: {answer:?}");
            self.give(&method, path, status, "");
            return;
        }
        let kind = answer.header("content-type").unwrap();
        self.give(&method, path, status, kind);
        let Some(schema) = self.schema(&method, path, status, kind) else {
            let is_problem = matches!(status, 404 | 405) && kind == "application/problem+json";
            assert!(is_problem, "{method} {path} is not described: {answer:?}");
            return;
        };
        if !kind.starts_with("text/csv") {
            let mut validators = self.validators.borrow_mut();
            let validator = validators.entry(schema.to_string()).or_insert_with(|| {
                let schema = json!({ "allOf": [schema], "components": self.document["components"] });
                jsonschema::validator_for(&schema).unwrap()
            });
            let errors: Vec<String> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{answer:?}");
        }
    }

    fn give(&self, method: &str, path: &str, status: u16, kind: &str) {
        let Some((template, _)) = self.resource(path) else { return };
        let kind = kind.split(';').next().unwrap_or(kind);
        let given = (method.to_owned(), template.to_owned(), status.to_string(), kind.to_owned());
        self.given.borrow_mut().insert(given);
    }

    fn schema(&self, method: &str, path: &str, status: u16, kind: &str) -> Option<Value> {
        let (_, resource) = self.resource(path)?;
        let answer = &resource[method]["responses"][status.to_string()];
        let kind = kind.split(';').next().unwrap_or(kind);
        answer["content"].get(kind).map(|content| content["schema"].clone())
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
