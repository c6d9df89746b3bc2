//! Checks the fields of a body the way Discord does: all that is wrong is told at once, in a tree.
//!
//! <https://discord.com/developers/docs/reference#error-messages>

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::world::id::Id;

/// An object under examination, at some place in the body.
#[derive(Debug)]
pub(crate) struct Form<'a> {
    fields: &'a Map<String, Value>,
    path: Vec<String>,
    errors: Vec<(Vec<String>, &'static str, String)>,
}

/// A field that may be missing, null or there: PATCH routes tell the three apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<T> {
    Missing,
    Null,
    Value(T),
}

impl<'a> Form<'a> {
    pub(crate) fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, path: Vec::new(), errors: Vec::new() }
    }

    /// The value of a field as it was sent.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// A text whose length in characters is within `length`.
    pub(crate) fn text(&mut self, key: &str, length: RangeInclusive<usize>) -> Field<&'a str> {
        let text = self.field(
            key,
            |value| value.as_str(),
            "STRING_TYPE_CONVERT",
            "Could not interpret \"{}\" as string.",
        );
        if let Field::Value(text) = text {
            let (count, (least, most)) = (text.chars().count(), (*length.start(), *length.end()));
            if count > most {
                self.fail(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
            } else if count < least && least == 1 {
                self.fail(key, "BASE_TYPE_REQUIRED", "This field is required".to_owned());
            } else if count < least {
                self.fail(
                    key,
                    "BASE_TYPE_BAD_LENGTH",
                    format!("Must be between {least} and {most} in length."),
                );
            }
        }
        text
    }

    /// A whole number within `range`, also when sent as text.
    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<u64>) -> Field<u64> {
        let read = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let number = self.field(key, read, "NUMBER_TYPE_COERCE", "Value \"{}\" is not int.");
        if let Field::Value(number) = number {
            if number > *range.end() {
                let most = range.end();
                self.fail(
                    key,
                    "NUMBER_TYPE_MAX",
                    format!("int value should be less than or equal to {most}."),
                );
            } else if number < *range.start() {
                let least = range.start();
                self.fail(
                    key,
                    "NUMBER_TYPE_MIN",
                    format!("int value should be greater than or equal to {least}."),
                );
            }
        }
        number
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Field<bool> {
        self.field(key, Value::as_bool, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    }

    pub(crate) fn snowflake(&mut self, key: &str) -> Field<Id> {
        self.field(key, snowflake, "NUMBER_TYPE_COERCE", "Value \"{}\" is not snowflake.")
    }

    /// Permission bits, sent as text or number.
    pub(crate) fn permissions(&mut self, key: &str) -> Field<u64> {
        self.number(key, 0..=u64::MAX)
    }

    /// A list of at most `most` values.
    pub(crate) fn list(&mut self, key: &str, most: usize) -> Field<&'a [Value]> {
        let read = |value: &'a Value| value.as_array().map(Vec::as_slice);
        let list = self.field(key, read, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        if let Field::Value(list) = list
            && list.len() > most
        {
            self.fail(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
        }
        list
    }

    /// A list of snowflakes.
    pub(crate) fn snowflakes(&mut self, key: &str, most: usize) -> Field<Vec<Id>> {
        let Field::Value(list) = self.list(key, most) else {
            return if self.fields.get(key).is_some_and(Value::is_null) {
                Field::Null
            } else {
                Field::Missing
            };
        };
        let mut ids = Vec::new();
        for (at, value) in list.iter().enumerate() {
            match snowflake(value) {
                Some(id) => ids.push(id),
                None => {
                    let message = format!("Value {value} is not snowflake.");
                    self.fail_at(&[key, &at.to_string()], "NUMBER_TYPE_COERCE", message);
                }
            }
        }
        Field::Value(ids)
    }

    /// Examines an object inside this one with `look`; what is wrong there is told at its place.
    pub(crate) fn inside<R>(&mut self, key: &str, look: impl FnOnce(&mut Form<'a>) -> R) -> Option<R> {
        let value = self.raw(key)?;
        self.nested(&[key], value, look)
    }

    /// Examines each object of a list.
    pub(crate) fn each<R>(
        &mut self,
        key: &str,
        most: usize,
        mut look: impl FnMut(&mut Form<'a>) -> R,
    ) -> Field<Vec<R>> {
        match self.list(key, most) {
            Field::Value(list) => Field::Value(
                list.iter()
                    .enumerate()
                    .filter_map(|(at, value)| self.nested(&[key, &at.to_string()], value, &mut look))
                    .collect(),
            ),
            Field::Null => Field::Null,
            Field::Missing => Field::Missing,
        }
    }

    /// The value of a field that must be there.
    pub(crate) fn required<T>(&mut self, key: &str, field: Field<T>) -> Option<T> {
        match field {
            Field::Value(value) => Some(value),
            // A wrong value has been told already.
            Field::Missing | Field::Null if self.raw(key).is_some() => None,
            Field::Missing | Field::Null => {
                self.fail(key, "BASE_TYPE_REQUIRED", "This field is required".to_owned());
                None
            }
        }
    }

    /// Notes that a field is wrong.
    pub(crate) fn fail(&mut self, key: &str, code: &'static str, message: String) {
        self.fail_at(&[key], code, message);
    }

    /// All that was wrong, as one error.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let mut tree = json!({});
        for (path, code, message) in self.errors {
            let mut place = &mut tree;
            for key in path {
                place = &mut place[key];
            }
            let error = json!({ "code": code, "message": message });
            match place.get_mut("_errors").and_then(Value::as_array_mut) {
                Some(errors) => errors.push(error),
                None => place["_errors"] = json!([error]),
            }
        }
        Err(ApiError::invalid_form(tree))
    }

    fn fail_at(&mut self, keys: &[&str], code: &'static str, message: String) {
        let path = self.path.iter().cloned().chain(keys.iter().map(|key| (*key).to_owned())).collect();
        self.errors.push((path, code, message));
    }

    fn nested<R>(
        &mut self,
        keys: &[&str],
        value: &'a Value,
        look: impl FnOnce(&mut Form<'a>) -> R,
    ) -> Option<R> {
        let Value::Object(fields) = value else {
            self.fail_at(keys, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType".to_owned());
            return None;
        };
        let path = self.path.iter().cloned().chain(keys.iter().map(|key| (*key).to_owned())).collect();
        let mut form = Form { fields, path, errors: Vec::new() };
        let result = look(&mut form);
        self.errors.append(&mut form.errors);
        Some(result)
    }

    fn field<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        code: &'static str,
        message: &str,
    ) -> Field<T> {
        match self.fields.get(key) {
            None => Field::Missing,
            Some(Value::Null) => Field::Null,
            Some(value) => match read(value) {
                Some(read) => Field::Value(read),
                None => {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    self.fail(key, code, message.replace("{}", &shown));
                    Field::Missing
                }
            },
        }
    }
}

impl<T> Field<T> {
    /// The value, if it is there.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Null => None,
        }
    }

    /// `Some(None)` for null: what a PATCH shall make of it.
    pub(crate) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Missing => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

fn snowflake(value: &Value) -> Option<Id> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().map(Id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_its_place() {
        let body = json!({
            "content": "x".repeat(2001),
            "tts": "yes",
            "embeds": [{}, { "title": "y".repeat(257), "fields": [{ "name": 1 }] }, 7],
        });
        let Value::Object(fields) = &body else { panic!("object") };
        let mut form = Form::new(fields);
        form.text("content", 0..=2000);
        form.boolean("tts");
        form.each("embeds", 10, |embed| {
            embed.text("title", 0..=256);
            embed.each("fields", 25, |field| {
                let name = field.text("name", 1..=256);
                field.required("name", name);
                let value = field.text("value", 1..=1024);
                field.required("value", value);
            });
        });
        let error = form.finish().expect_err("invalid");
        let code = |pointer: &str| {
            let errors = error.clone();
            let body = actix_web::ResponseError::error_response(&errors).into_body();
            let bytes = actix_web::body::MessageBody::try_into_bytes(body).expect("complete");
            let body: Value = serde_json::from_slice(&bytes).expect("JSON");
            body.pointer(&format!("/errors/{pointer}/_errors/0/code"))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        for (pointer, expected) in [
            ("content", "BASE_TYPE_MAX_LENGTH"),
            ("tts", "BOOLEAN_TYPE_CONVERT"),
            ("embeds/1/title", "BASE_TYPE_MAX_LENGTH"),
            ("embeds/1/fields/0/name", "STRING_TYPE_CONVERT"),
            ("embeds/1/fields/0/value", "BASE_TYPE_REQUIRED"),
            ("embeds/2", "DICT_TYPE_CONVERT"),
        ] {
            assert_eq!(code(pointer).as_deref(), Some(expected), "{pointer}");
        }
        assert_eq!(code("embeds/0"), None);
    }
}
