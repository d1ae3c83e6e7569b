//! The options of `exchange`.
//!
//! In: the words of the command line. Out: the settings of an exchange, and its documents. May touch: the files of
//! schemas, once the command begins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueHint};
use kyneta_uds::{
    DocId,
    documents::{Schema, Substrate},
};

use super::{
    super::args::{MemberArgs, SocketArgs},
    kinds::KINDS,
};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct ExchangeArgs {
    #[command(flatten)]
    pub(super) member: MemberArgs,

    #[command(flatten)]
    pub(super) socket: SocketArgs,

    #[cfg(feature = "machines")]
    #[command(flatten)]
    pub(super) machines: super::super::machines::MachineArgs,

    /// Listen, instead of taking the role that is free
    #[arg(long, conflicts_with = "connect")]
    #[cfg_attr(feature = "machines", arg(conflicts_with = "machine_key"))]
    pub(super) listen: bool,

    /// Connect, and connect again, instead of taking the role that is free
    #[arg(long)]
    #[cfg_attr(feature = "machines", arg(conflicts_with = "machine_key"))]
    pub(super) connect: bool,

    /// Open a document of a kind (json, ephemeral, and loro and yjs in a build with them) and a schema (may be repeated)
    #[arg(long, value_name = "DOC=KIND:SCHEMA.json", value_parser = opening)]
    pub(super) open: Vec<Opening>,

    /// Keep and pass on all documents that the others have
    #[arg(long)]
    pub(super) replicate: bool,

    #[cfg(target_os = "linux")]
    #[command(flatten)]
    pub(super) handoff: super::super::handoff::HandoffArgs,

    /// Keep documents in this directory, and go on with those that are in it; an edit is reported when it is stored
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) store: Option<PathBuf>,
}

/// A value of `--open`.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) doc: DocId,
    pub(super) substrate: Substrate,
    file: PathBuf,
}

impl Opening {
    pub(super) fn schema(&self) -> Result<Schema, Failure> {
        read_schema(&self.file)
    }
}

/// The schema in a file.
pub(super) fn read_schema(path: &Path) -> Result<Schema, Failure> {
    let file = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{file} cannot be read: {error}")))?;
    Schema::parse(&text).map_err(|error| Failure::Usage(format!("{file}: {error}")))
}

fn opening(text: &str) -> Result<Opening, String> {
    let expected = || {
        let kinds: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
        let kinds = kinds.join(" or ");
        format!("expected DOC=KIND:SCHEMA.json, where KIND is {kinds}")
    };
    // An id may have a `=`, a file a `:`, a kind has neither.
    let split = KINDS.iter().find_map(|substrate| {
        let (doc, file) = text.split_once(&format!("={}:", substrate.name()))?;
        Some((doc, *substrate, file))
    });
    let (doc, substrate, file) = split.ok_or_else(expected)?;
    if doc.is_empty() || file.is_empty() {
        return Err(expected());
    }
    Ok(Opening {
        doc: DocId::new(doc).map_err(|error| error.to_string())?,
        substrate,
        file: file.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_a_kind_and_a_file() {
        let read = |text| {
            let Opening {
                doc,
                substrate,
                file,
            } = opening(text)?;
            Ok::<_, String>((doc.as_str().to_owned(), substrate, file))
        };
        let expected =
            |doc: &str, substrate, file: &str| Ok((doc.to_owned(), substrate, PathBuf::from(file)));
        assert_eq!(
            read("config=json:a/b:c.json"),
            expected("config", Substrate::Plain, "a/b:c.json")
        );
        assert_eq!(
            read("a=b=ephemeral:c"),
            expected("a=b", Substrate::Ephemeral, "c")
        );
        for wrong in [
            "config",
            "config=json",
            "config=xml:a",
            "=json:a",
            "config=json:",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
