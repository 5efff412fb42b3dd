//! A JSON value as a serde deserializer that is strict about mappings and tells misfits as data.
//!
//! Decision: serde's derived structs also read a list, member by position, and `serde_json::Error` is a sentence that
//! would have to be taken apart again; this wrapper allows neither. Rejected: parsing serde's messages.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// What a mapping is called; [`super::document`] asks for it.
pub(super) const MAPPING: &str = "a mapping";

/// Why a node does not fit.
#[derive(Debug)]
pub(super) enum Misfit {
    /// A member that is none of these.
    Member { name: String, known: &'static [&'static str] },
    /// A word that is none of these.
    Word { word: String, known: &'static [&'static str] },
    /// Another kind of value, or a number out of range.
    Kind { found: String, expected: String },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // Serde asks for it; nothing in the schema calls it.
        Self::Kind { found: message.to_string(), expected: "a value that can be read".to_owned() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string() {
            name if name.starts_with("struct ") => MAPPING.to_owned(),
            name => match name.as_str() {
                "a string" => "a text".to_owned(),
                "a sequence" => "a list".to_owned(),
                "a boolean" => "true or false".to_owned(),
                "f64" => "a number".to_owned(),
                "u32" | "u64" => "a whole number".to_owned(),
                _ => name,
            },
        };
        // A text in the wrong place, or a number in place of a text, may be a secret: named, not quoted.
        let quoted = expected != "a text";
        let found = match found {
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Unsigned(n) if quoted => n.to_string(),
            Unexpected::Signed(n) if quoted => n.to_string(),
            Unexpected::Float(n) if quoted => n.to_string(),
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number".to_owned(),
            Unexpected::Str(_) => "a text".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => MAPPING.to_owned(),
            Unexpected::Unit => "nothing".to_owned(),
            // No JSON value is any of these.
            Unexpected::Char(_)
            | Unexpected::Bytes(_)
            | Unexpected::Option
            | Unexpected::NewtypeStruct
            | Unexpected::Enum
            | Unexpected::UnitVariant
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant
            | Unexpected::Other(_) => "something else".to_owned(),
        };
        Self::Kind { found, expected }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::Word { word: word.to_owned(), known }
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::Member { name: name.to_owned(), known }
    }
}

/// One value of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

impl Node<'_> {
    fn kind(&self) -> Unexpected<'_> {
        match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => visitor.visit_u64(n),
                (None, Some(n)) => visitor.visit_i64(n),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(elements) => visitor.visit_seq(SeqDeserializer::new(elements.iter().map(Node))),
            Value::Object(members) => visitor
                .visit_map(MapDeserializer::new(members.iter().map(|(name, value)| (name.as_str(), Node(value))))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if self.0.is_object() {
            self.deserialize_any(visitor)
        } else {
            Err(de::Error::invalid_type(self.kind(), &visitor))
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0.as_str() {
            Some(text) => visitor.visit_enum(StrDeserializer::new(text)),
            None => Err(de::Error::invalid_type(self.kind(), &one_of(variants).as_str())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Names, as a list to read.
pub(super) fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}
