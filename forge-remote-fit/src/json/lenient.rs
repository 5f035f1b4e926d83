//! Payload types that accept any JSON: an undocumented shape of a value leaves its field empty, and the
//! value is kept in the rest.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A type that is read from JSON of any shape; the macro `payload!` implements it.
pub trait Lenient: Sized {
    /// Reads a value; a value of another shape is returned unchanged.
    fn read(value: Value) -> Result<Self, Value>;
}

/// Accepts text, and a number as its digits.
impl Lenient for String {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(other),
        }
    }
}

/// Accepts a number, also as text.
impl Lenient for u64 {
    fn read(value: Value) -> Result<Self, Value> {
        let number = match &value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        number.ok_or(value)
    }
}

impl Lenient for bool {
    fn read(value: Value) -> Result<Self, Value> {
        value.as_bool().ok_or(value)
    }
}

impl Lenient for Value {
    fn read(value: Value) -> Result<Self, Value> {
        Ok(value)
    }
}

impl Lenient for Map<String, Value> {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(members) => Ok(members),
            other => Err(other),
        }
    }
}

/// Accepts a list, and skips its entries of another shape.
impl<T: Lenient> Lenient for Vec<T> {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::Array(items) => Ok(items
                .into_iter()
                .filter_map(|item| T::read(item).ok())
                .collect()),
            other => Err(other),
        }
    }
}

impl<T: Lenient> Lenient for Option<T> {
    fn read(value: Value) -> Result<Self, Value> {
        T::read(value).map(Some)
    }
}

/// The unread members of an object.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "user data")]
pub struct Members(Map<String, Value>);

impl Members {
    /// Returns the members of an object; any other value is returned unchanged.
    pub fn read(value: Value) -> Result<Self, Value> {
        Map::read(value).map(Self)
    }

    /// Reads an object's members; a value of another type has none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(Value::deserialize(deserializer)?).unwrap_or_default())
    }

    /// Takes a field by its names; the first name with a fitting value wins. A value that is missing,
    /// `null` or of another shape yields the default; a value of another shape stays in the rest.
    pub fn take<T: Lenient + Default>(&mut self, names: &[&'static str]) -> T {
        let mut taken = None;
        for name in names {
            let value = self.0.remove(*name).filter(|value| !value.is_null());
            match value.map(T::read) {
                None => {}
                Some(Ok(field)) => taken = taken.or(Some(field)),
                Some(Err(odd)) => {
                    // The value is user data, which must not be logged.
                    tracing::debug!(
                        field = name,
                        "a field doesn't have the documented shape and is ignored"
                    );
                    self.0.insert((*name).to_owned(), odd);
                }
            }
        }
        taken.unwrap_or_default()
    }

    /// Takes a member unchanged.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Returns the remaining members, without the token that Forge sends to functions for its own use.
    pub fn rest(mut self) -> Map<String, Value> {
        self.0.remove("contextToken");
        self.0
    }

    /// Returns the remaining members.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// Reads a payload from JSON of any shape: `payload!(Type { field: "name in JSON", … })`, with
/// `"name" or "another"` for a field that has several. The type has a default, and a field `rest`
/// for every other member.
#[doc(hidden)]
#[macro_export]
macro_rules! __payload {
    ($name:ident { $($field:ident: $first:literal $(or $other:literal)*),+ $(,)? }) => {
        impl $crate::__private::json::Lenient for $name {
            fn read(value: ::serde_json::Value) -> Result<Self, ::serde_json::Value> {
                let mut members = $crate::__private::json::Members::read(value)?;
                Ok(Self {
                    $($field: members.take(&[$first $(, $other)*]),)+
                    rest: members.rest(),
                })
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: ::serde::Deserializer<'de>,
            {
                let value = ::serde_json::Value::deserialize(deserializer)?;
                Ok(<Self as $crate::__private::json::Lenient>::read(value).unwrap_or_default())
            }
        }
    };
}
