//! The document on the socket.
//!
//! In: a path, a name, edits. Out: the text as all processes have it. May touch: what an [`Exchange`] does.

use std::error::Error;

use kyneta_uds::{
    DocId, Identity,
    documents::{
        Changes, Exchange, TypedDocument,
        typed::{Loro, Schema, Text},
    },
};
use kyneta_uds_loro::LoroKind;
use serde::{Deserialize, Serialize};

use crate::edit::Edit;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Schema, Serialize, Deserialize)]
#[schema(crate = "kyneta_uds::documents::typed")]
struct Notes {
    text: Text,
}

pub(crate) struct Shared {
    exchange: Exchange,
    notes: TypedDocument<Loro<Notes>>,
}

impl Shared {
    /// The first process at the path listens, the others connect.
    pub(crate) async fn join(path: &str, name: &str) -> Result<Self> {
        let exchange = Exchange::builder(Identity::service(name)?)
            .kind(LoroKind)
            .join(path)
            .await?;
        let notes = exchange.open_typed(DocId::new("notes")?)?;
        Ok(Self { exchange, notes })
    }

    pub(crate) fn text(&self) -> Result<String> {
        Ok(self.notes.read()?.text.to_string())
    }

    /// What changes from now on, here or elsewhere.
    pub(crate) fn changes(&self) -> Changes {
        self.notes.changes()
    }

    /// Edits the text here at once. The other processes get it when they are there.
    pub(crate) fn edit(&self, edit: &Edit) -> Result<()> {
        let (at, delete, insert) = edit.of(&self.text()?);
        Ok(self.notes.edit(|notes| {
            notes.text.delete(at, delete);
            notes.text.insert(at, insert);
        })?)
    }

    /// The next process takes over at once.
    pub(crate) async fn leave(self) {
        self.exchange.dispose().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn until_all_show(all: &[&Shared], text: &str) {
        let shows = async |shared: &Shared| {
            let mut changes = shared.changes();
            while shared.text().unwrap() != text {
                changes.next().await.unwrap();
            }
        };
        for shared in all {
            tokio::time::timeout(Duration::from_secs(20), shows(shared))
                .await
                .unwrap_or_else(|_| panic!("not all show {text:?}"));
        }
    }

    #[tokio::test]
    async fn one_that_comes_catches_up_and_a_change_of_listener_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document.sock");
        let path = path.to_str().unwrap();
        let a = Shared::join(path, "a").await.unwrap();
        a.edit(&Edit::parse("milk")).unwrap();
        let b = Shared::join(path, "b").await.unwrap();
        let c = Shared::join(path, "c").await.unwrap();
        until_all_show(&[&a, &b, &c], "milk\n").await;

        // By way of the listener, which both are connected to.
        c.edit(&Edit::parse("+1 eggs")).unwrap();
        until_all_show(&[&a, &b, &c], "eggs\nmilk\n").await;

        // The listener leaves; these edits wait until there is another one.
        a.leave().await;
        b.edit(&Edit::parse("-2")).unwrap();
        c.edit(&Edit::parse("+1 bread")).unwrap();
        until_all_show(&[&b, &c], "bread\neggs\n").await;

        // It joins again, without a document.
        let a = Shared::join(path, "a").await.unwrap();
        until_all_show(&[&a, &b, &c], "bread\neggs\n").await;
        a.edit(&Edit::parse("salt")).unwrap();
        until_all_show(&[&a, &b, &c], "bread\neggs\nsalt\n").await;
    }
}
