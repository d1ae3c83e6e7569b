//! Fields of a saved state that are absent when there is nothing to say, and the values that many of them have.
//!
//! In: values of the switch. Out: fields, and errors that name the field of which the value is none. Pure.

use kyneta_uds_core::{Saved, SavedError, SavedValue, Version};

use crate::member::MemberKey;

/// Fields that are absent when they are zero, false or empty.
pub(in crate::switch) trait Fields: Sized {
    fn with_number(self, name: &str, number: u64) -> Self;
    fn with_flag(self, name: &str, flag: bool) -> Self;
    fn with_list(self, name: &str, list: impl IntoIterator<Item = SavedValue>) -> Self;
    fn number32_or_zero(&self, name: &'static str) -> Result<u32, SavedError>;
    fn list_or_empty(&self, name: &'static str) -> Result<&[SavedValue], SavedError>;
}

impl Fields for Saved {
    fn with_number(self, name: &str, number: u64) -> Self {
        match number {
            0 => self,
            number => self.with(name, number),
        }
    }

    fn with_flag(self, name: &str, flag: bool) -> Self {
        match flag {
            false => self,
            true => self.with(name, true),
        }
    }

    fn with_list(self, name: &str, list: impl IntoIterator<Item = SavedValue>) -> Self {
        let list: Vec<_> = list.into_iter().collect();
        match list.is_empty() {
            true => self,
            false => self.with(name, list),
        }
    }

    fn number32_or_zero(&self, name: &'static str) -> Result<u32, SavedError> {
        self.get(name).map_or(Ok(0), |_| self.number32(name))
    }

    fn list_or_empty(&self, name: &'static str) -> Result<&[SavedValue], SavedError> {
        self.get(name).map_or(Ok(&[]), |_| self.list(name))
    }
}

pub(in crate::switch) fn text_of<'a>(
    value: &'a SavedValue,
    name: &'static str,
) -> Result<&'a str, SavedError> {
    match value {
        SavedValue::Text(text) => Ok(text),
        _ => Err(SavedError::invalid(name, "one of the list is no text")),
    }
}

pub(in crate::switch) fn number_of(
    value: &SavedValue,
    name: &'static str,
) -> Result<u64, SavedError> {
    match value {
        SavedValue::Number(number) => Ok(*number),
        _ => Err(SavedError::invalid(name, "one of the list is no number")),
    }
}

pub(in crate::switch) fn keys(
    saved: &Saved,
    name: &'static str,
) -> Result<Vec<MemberKey>, SavedError> {
    let keys = saved.list_or_empty(name)?.iter();
    keys.map(|value| number_of(value, name).map(MemberKey))
        .collect()
}

/// A version, or false for none.
pub(in crate::switch) fn version_value(version: &Option<Version>) -> SavedValue {
    match version {
        Some(version) => version.as_str().into(),
        None => false.into(),
    }
}

pub(in crate::switch) fn option_of_version(
    value: Option<&SavedValue>,
    name: &'static str,
) -> Result<Option<Version>, SavedError> {
    match value {
        None | Some(SavedValue::Flag(false)) => Ok(None),
        Some(SavedValue::Text(text)) => {
            let version = Version::new(text.as_str());
            let version =
                version.map_err(|_| SavedError::invalid(name, "a version is over its limit"))?;
            Ok(Some(version))
        }
        Some(_) => Err(SavedError::invalid(name, "it is no version")),
    }
}

pub(in crate::switch) fn versions_value(
    versions: &[Option<Version>],
) -> impl Iterator<Item = SavedValue> {
    versions.iter().map(version_value)
}

pub(in crate::switch) fn versions(
    saved: &Saved,
    name: &'static str,
) -> Result<Vec<Option<Version>>, SavedError> {
    let versions = saved.list_or_empty(name)?.iter();
    versions
        .map(|value| option_of_version(Some(value), name))
        .collect()
}
