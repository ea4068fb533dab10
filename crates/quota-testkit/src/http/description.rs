//! What the usage API says of itself, and whether it keeps to it.

use serde_json::{Value, json};

use crate::http::answer::Answer;

/// An OpenAPI document.
pub(super) struct Description(Value);

impl Description {
    pub(super) const fn new(document: Value) -> Self {
        Self(document)
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
            return;
        }
        let kind = answer.header("content-type").unwrap();
        let Some(schema) = self.schema(&method, path, status, kind) else {
            let is_problem = matches!(status, 404 | 405) && kind == "application/problem+json";
            assert!(is_problem, "{method} {path} is not described: {answer:?}");
            return;
        };
        if !kind.starts_with("text/csv") {
            let schema = json!({ "allOf": [schema], "components": self.0["components"] });
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{answer:?}");
        }
    }

    fn schema(&self, method: &str, path: &str, status: u16, kind: &str) -> Option<Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let paths = self.0["paths"].as_object().unwrap();
        let (_, resource) = paths.iter().find(|(template, _)| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == segments.len()
                && template.iter().zip(&segments).all(|(template, segment)| template == segment || *template == "{id}")
        })?;
        let answer = &resource[method]["responses"][status.to_string()];
        let kind = kind.split(';').next().unwrap_or(kind);
        answer["content"].get(kind).map(|content| content["schema"].clone())
    }
}
