//! What `/api/openapi.json` promises, held against what is answered.

use serde_json::Value;

pub(crate) struct Description(pub(crate) Value);

impl Description {
    /// Asserts that the description knows this answer, its status and its body.
    pub(crate) fn check(&self, method: &str, path: &str, status: u16, body: &str) {
        let path = path.split('?').next().unwrap_or_default();
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        // Any route may refuse a method or fail.
        if operation.is_null() || [405, 500].contains(&status) {
            return;
        }
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {path} is not described as answering {status}");
        let Some(schema) = response.pointer("/content/application~1json/schema") else { return };
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let answer = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        if let Err(error) = jsonschema::validate(&schema, &answer) {
            panic!("{method} {path} {status}: {error} at {}: {body}", error.instance_path());
        }
    }
}
