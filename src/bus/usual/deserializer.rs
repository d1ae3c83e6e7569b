//! What serde asks a reader for.
//!
//! In: a reader at an item, a visitor. Out: the value; or `Unusual`, where CBOR or type need ciborium, which then
//! reads all of it again. It borrows what the type borrows. Pure.

use serde::de::{self, Visitor};

use super::{Head, Reader, Unusual, utf8};

/// Integers: which method of the visitor is called is the same for all sizes, as ciborium has it.
macro_rules! integers {
    ($($unsigned:ident)*; $($signed:ident)*) => {
        $(fn $unsigned<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
            match self.head()? {
                Head::Unsigned(value) => visitor.visit_u64(value),
                _ => Err(Unusual),
            }
        })*
        $(fn $signed<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
            visitor.visit_i64(self.signed()?)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Unusual;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Negative(value) => visitor.visit_i64(
                i64::try_from(value)
                    .map(|value| !value)
                    .map_err(|_| Unusual)?,
            ),
            Head::Bytes(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            Head::Text(len) => visitor.visit_borrowed_str(self.text(len)?),
            Head::Array(len) => self.inside(len, |items| visitor.visit_seq(items)),
            Head::Map(len) => self.inside(len, |items| visitor.visit_map(items)),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Nothing => visitor.visit_none(),
            Head::Float(value) => visitor.visit_f64(value),
        }
    }

    integers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64;
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Bool(value) => visitor.visit_bool(value),
            _ => Err(Unusual),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Float(value) => visitor.visit_f64(value),
            _ => Err(Unusual),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if let Some(text) = self.short(3) {
            return visitor.visit_borrowed_str(utf8(text)?);
        }
        match self.head()? {
            Head::Text(len) => visitor.visit_borrowed_str(self.text(len)?),
            _ => Err(Unusual),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if let Some(bytes) = self.short(2) {
            return visitor.visit_borrowed_bytes(bytes);
        }
        match self.head()? {
            Head::Bytes(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            Head::Array(len) => self.inside(len, |items| visitor.visit_seq(items)),
            _ => Err(Unusual),
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        let before = self.rest;
        match self.head()? {
            Head::Nothing => visitor.visit_none(),
            _ => {
                self.rest = before;
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Nothing => visitor.visit_unit(),
            _ => Err(Unusual),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Array(len) => self.inside(len, |items| visitor.visit_seq(items)),
            _ => Err(Unusual),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.head()? {
            Head::Map(len) => self.inside(len, |items| visitor.visit_map(items)),
            _ => Err(Unusual),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        // Ciborium's own name for a tag.
        if name.starts_with("@@") {
            return Err(Unusual);
        }
        let before = self.rest;
        match self.head()? {
            Head::Map(1) => {}
            Head::Text(_) => self.rest = before,
            _ => return Err(Unusual),
        }
        self.inside(0, |items| visitor.visit_enum(items))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if let Some(text) = self.short(3) {
            return visitor.visit_borrowed_str(utf8(text)?);
        }
        match self.head()? {
            Head::Text(len) => visitor.visit_borrowed_str(self.text(len)?),
            Head::Bytes(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            _ => Err(Unusual),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
