//! A peer gives an ephemeral document a time of the far future: edits that are made here still reach others.
//!
//! Tests without sockets.

use std::sync::Arc;

use kyneta_uds_core::{ChannelMsg, DocId, Identity, Interest, Offer, Version, WireVersion};
use kyneta_uds_exchange::{DocLimits, Edit, EphemeralKind, Json};
use kyneta_uds_schema::{Schema, Substrate};
use kyneta_uds_sync::ChannelKey;

use super::{
    cell::{DocCell, WIRES},
    engine::Engine,
    exchange::Exchange,
    table::{Table, moment},
};

/// The channels of each node: to one that lies, and to the other node.
const LIAR: ChannelKey = ChannelKey(1);
const OTHER: ChannelKey = ChannelKey(2);

fn doc() -> DocId {
    DocId::new("presence").unwrap()
}

struct Node {
    engine: Engine,
    cell: Arc<DocCell>,
}

impl Node {
    /// With channels, on which both peers have asked for the document.
    fn new(name: &str, other: &str) -> Self {
        let builder = Exchange::builder(Identity::service(name).unwrap());
        let machines = WIRES.map(|wire| builder.machine(wire));
        let table = Table::new(
            vec![Arc::new(EphemeralKind)],
            Vec::new(),
            DocLimits::default(),
            usize::MAX,
        );
        let table = Arc::new(table);
        let mut engine = Engine::new(machines, table.clone());
        let schema = Schema::structure([("name", Schema::string())]).unwrap();
        let (cell, _) = table.open(&doc(), Substrate::Ephemeral, &schema).unwrap();
        engine.opened(&cell);
        for (key, peer) in [(LIAR, "liar"), (OTHER, other)] {
            engine.up(key, Identity::service(peer).unwrap(), WireVersion::V3);
        }
        let mut node = Self { engine, cell };
        node.receive(LIAR, Interest::new(doc()).into());
        node.receive(OTHER, Interest::new(doc()).into());
        node.offers();
        node
    }

    fn receive(&mut self, key: ChannelKey, msg: ChannelMsg) {
        let peer = Identity::service("peer").unwrap().peer_id;
        self.engine.received(key, &peer, WireVersion::V3, msg);
    }

    fn name(&self) -> String {
        self.cell.value().get("name").map(Json::to_string).unwrap()
    }

    /// The offers that are sent to the other node.
    fn offers(&mut self) -> Vec<Offer> {
        self.engine.quiet();
        let sent = std::iter::from_fn(|| self.engine.out.next());
        let offers = sent.filter(|(to, _)| *to == OTHER);
        offers
            .filter_map(|(_, msg)| match msg {
                ChannelMsg::Offer(offer) => Some(offer),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn an_edit_reaches_others_whatever_time_a_peer_has_given_the_document() {
    let now = moment().now_ms as f64;
    let year = 365.0 * 24.0 * 3_600_000.0;
    for time in [
        now + year,
        now + 99.0 * year,
        now * 1_000.0,
        2f64.powi(53),
        u64::MAX as f64,
        f64::MAX,
    ] {
        let (mut a, mut b) = (Node::new("a", "b"), Node::new("b", "a"));
        let version = Version::new(format!("{time}")).unwrap();
        for node in [&mut a, &mut b] {
            let lie = Offer::json(doc(), version.clone(), r#"{"name":"liar"}"#);
            node.receive(LIAR, lie.into());
            node.offers();
        }
        for text in ["one", "two"] {
            a.cell.edit(&[Edit::set("name", text)], moment()).unwrap();
            a.engine.edited(&a.cell);
            for offer in a.offers() {
                b.receive(OTHER, offer.into());
            }
            assert_eq!(b.name(), format!("{text:?}"), "after the time {time:e}");
        }
    }
}
