//! What serde asks a writer for.
//!
//! In: a value by reference, a block. Out: its bytes at the end of the block, as ciborium writes them; or `Unusual`, where
//! ciborium is to write all of the message again. Pure.

use std::io;

use bytes::BytesMut;
use serde::ser::{self, Serialize};

use super::NotWritten;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NOTHING: u8 = 0xf6;
/// The end of an array or a map that has no length.
const BREAK: u8 = 0xff;

/// Appends what is written.
pub(super) struct Writer<'a>(pub(super) &'a mut BytesMut);

impl io::Write for Writer<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data)?;
        Ok(data.len())
    }

    #[inline]
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    #[inline]
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let [.., e, f, g, h] = value.to_be_bytes();
        match value {
            0..24 => self.put(&[major | h]),
            24..0x100 => self.put(&[major | 24, h]),
            0x100..0x1_0000 => self.put(&[major | 25, g, h]),
            0x1_0000..0x1_0000_0000 => self.put(&[major | 26, e, f, g, h]),
            _ => {
                self.put(&[major | 27]);
                self.put(&value.to_be_bytes());
            }
        }
    }

    #[inline]
    fn said(&mut self, major: u8, said: &[u8]) {
        self.head(major, said.len() as u64);
        self.put(said);
    }

    /// What comes next is of a variant.
    fn variant(&mut self, name: &str, variant: &str) -> Result<(), NotWritten> {
        // Ciborium's own name for a tag.
        if name.starts_with("@@") {
            return Err(NotWritten::Unusual);
        }
        self.head(MAP, 1);
        self.said(TEXT, variant.as_bytes());
        Ok(())
    }

    /// By ciborium: what is rare.
    pub(super) fn rare(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), NotWritten> {
        ciborium::into_writer(value, Writer(self.0))
            .map_err(|error| NotWritten::Failed(error.to_string()))
    }
}

/// Items of an array or a map.
pub(super) struct Items<'a, 'b> {
    writer: &'a mut Writer<'b>,
    has_end: bool,
}

type Written = Result<(), NotWritten>;

macro_rules! integers {
    ($($method:ident $integer:ty)*) => {
        $(#[inline]
        fn $method(self, value: $integer) -> Written {
            self.serialize_i64(value.into())
        })*
    };
}

impl<'a, 'b> ser::Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = NotWritten;
    type SerializeSeq = Items<'a, 'b>;
    type SerializeTuple = Items<'a, 'b>;
    type SerializeTupleStruct = Items<'a, 'b>;
    type SerializeTupleVariant = Items<'a, 'b>;
    type SerializeMap = Items<'a, 'b>;
    type SerializeStruct = Items<'a, 'b>;
    type SerializeStructVariant = Items<'a, 'b>;

    integers! { serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 }

    fn serialize_i64(self, value: i64) -> Written {
        match u64::try_from(value) {
            Ok(value) => self.head(UNSIGNED, value),
            Err(_) => self.head(NEGATIVE, !value as u64),
        }
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Written {
        self.head(UNSIGNED, value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Written {
        self.rare(&value)
    }

    fn serialize_u128(self, value: u128) -> Written {
        self.rare(&value)
    }

    fn serialize_f32(self, value: f32) -> Written {
        self.rare(&value)
    }

    fn serialize_f64(self, value: f64) -> Written {
        self.rare(&value)
    }

    fn serialize_bool(self, value: bool) -> Written {
        self.put(&[0xf4 | u8::from(value)]);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Written {
        self.said(TEXT, value.as_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Written {
        self.said(BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Written {
        self.put(&[NOTHING]);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.variant(name, variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a, 'b>, NotWritten> {
        Ok(Items::begin(self, ARRAY, len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a, 'b>, NotWritten> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Items<'a, 'b>, NotWritten> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a, 'b>, NotWritten> {
        self.variant(name, variant)?;
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Items<'a, 'b>, NotWritten> {
        Ok(Items::begin(self, MAP, len))
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Items<'a, 'b>, NotWritten> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a, 'b>, NotWritten> {
        self.variant(name, variant)?;
        self.serialize_map(Some(len))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! items {
    ($($kind:ident $method:ident)*) => {
        $(impl ser::$kind for Items<'_, '_> {
            type Ok = ();
            type Error = NotWritten;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Written {
                self.end_items()
            }
        })*
    };
}

macro_rules! fields {
    ($($kind:ident)*) => {
        $(impl ser::$kind for Items<'_, '_> {
            type Ok = ();
            type Error = NotWritten;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Written {
                self.writer.said(TEXT, key.as_bytes());
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Written {
                self.end_items()
            }
        })*
    };
}

items! { SerializeSeq serialize_element SerializeTuple serialize_element }
items! { SerializeTupleStruct serialize_field SerializeTupleVariant serialize_field }
fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = NotWritten;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Written {
        self.end_items()
    }
}

impl<'a, 'b> Items<'a, 'b> {
    /// Of an array or a map. One without a length has an end.
    fn begin(writer: &'a mut Writer<'b>, major: u8, len: Option<usize>) -> Self {
        match len {
            Some(len) => writer.head(major, len as u64),
            None => writer.put(&[major << 5 | 31]),
        }
        let has_end = len.is_none();
        Self { writer, has_end }
    }

    fn end_items(self) -> Written {
        if self.has_end {
            self.writer.put(&[BREAK]);
        }
        Ok(())
    }
}
