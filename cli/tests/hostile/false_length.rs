//! Headers that claim what never comes.

use std::time::Duration;

use crate::{
    MIB,
    raw_peer::{Neighbour, header},
    support::common::offer,
    target::Target,
};

/// At once.
const CONNECTIONS: usize = 1_000;

/// How much the process may grow, bytes.
const MAY_GROW: usize = 16 * MIB;

const ALLOWED: u32 = 64 << 20;

#[test]
fn a_header_s_word_costs_no_memory() {
    for introduced in [false, true] {
        for claims in [u32::MAX, ALLOWED + 1, ALLOWED] {
            let ended = claims > ALLOWED;
            let grown = grown_by(introduced, claims, ended);
            println!(
                "{CONNECTIONS} {} headers claim {claims} bytes, {}: the process has grown by {:.1} MiB",
                if introduced { "introduced" } else { "unknown" },
                if ended { "all ended" } else { "all held" },
                grown as f64 / MIB as f64
            );
            assert!(grown < MAY_GROW, "{grown}");
        }
    }
}

/// The most that the process has grown by, bytes.
fn grown_by(introduced: bool, claims: u32, ended: bool) -> usize {
    let target = Target::listen(&["--echo"]);
    let mut good = Neighbour::introduced(&target.path, "good");
    good.round_trip(&offer("d", 64));
    let before = target.resident();

    let mut liars: Vec<Neighbour> = (0..CONNECTIONS)
        .map(|number| {
            if introduced {
                Neighbour::introduced(&target.path, &format!("liar-{number}"))
            } else {
                Neighbour::connect(&target.path)
            }
        })
        .collect();
    let header = header(if introduced { 2 } else { 1 }, claims);
    for liar in &mut liars {
        std::io::Write::write_all(&mut liar.stream, &header).unwrap();
    }
    if ended {
        liars.iter_mut().for_each(Neighbour::is_ended);
    }
    // Allocated at a word, it would be there by now; what is to come is waited for.
    let grown = target.peak(Duration::from_millis(300)) - before;
    good.round_trip(&offer("d", 64));
    grown
}
