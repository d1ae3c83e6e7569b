//! By the number of documents with an alias.

use super::{DEPTH, SMALL, at, streams};
use crate::{
    Error,
    ours::Stream,
    place::Places,
    section::{Axis, Section, Series, Ticks},
    sweep::Effort,
    verdict::{Cost, changed},
};

const DOCUMENTS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

pub(super) async fn measure(effort: Effort, places: &Places) -> Result<Section, Error> {
    let title = "Number of documents";
    let work = |docs, count| Stream {
        depth: DEPTH,
        docs,
        size: SMALL,
        count,
    };
    let series = streams(title, effort, places, &DOCUMENTS, |_| 1_000_000, work).await?;
    Ok(Section {
        name: "documents",
        title,
        about: "Offers of 64 B, one way over one connection, each of the next document in turn. All \
            documents have been announced, and so have an alias. A document's name is in memory once \
            at either end; with very many of them, each message finds its own in no cache.",
        x: Axis {
            label: "documents",
            ticks: Ticks::Counts(DOCUMENTS.to_vec()),
        },
        per: "message",
        verdicts: series.iter().flat_map(verdicts).collect(),
        series,
    })
}

fn verdicts(Series { name, times }: &Series) -> Vec<String> {
    let of = |docs, what| Cost(at(&DOCUMENTS, times, docs), what);
    let ten = || of(10, "with 10 documents");
    let many = [of(10_000, "with 10,000"), of(100_000, "with 100,000")];
    let verdicts = many.map(|many| changed(name, ten(), many, "flat per message"));
    verdicts.into()
}
