//! Somebody else's process.

use serde_json::{Value, json};

use crate::{MIB, support::process::Process, target::Target};

const NOBODY: &str = "65534";

/// How often it knocks.
const TIMES: usize = 200;

/// How much more the process may hold after all that knocking, bytes.
const MAY_KEEP: usize = MIB;

fn established() -> Value {
    json!({"event": "peer", "peer": "nobody", "change": "established"})
}

/// Nobody else can be had here, which is said.
fn skipped() -> bool {
    let alone = !rustix::process::geteuid().is_root() || Process::never_unprivileged();
    if alone {
        println!("skipped: only root can be somebody else, with setpriv");
    }
    alone
}

#[test]
fn another_user_s_process_is_refused_unless_allowed() {
    if skipped() {
        return;
    }
    // The file's mode lets it in, the policy does not.
    let target = Target::listen(&["--mode", "666"]);
    let mut refused = target.as_nobody(&["--no-reconnect"]);
    assert_ne!(refused.end(), 0);
    assert_eq!(target.count(&established()), 0);
    let complaints = target.complaints();
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
    assert!(complaints.contains(NOBODY), "{complaints}");

    let target = Target::listen(&["--mode", "666", "--allow-uid", NOBODY]);
    let _allowed = target.as_nobody(&[]);
    target.until(&established());
    assert_eq!(target.process.complaints(), "");
}

#[test]
fn who_is_refused_again_and_again_costs_nothing_afterwards() {
    if skipped() {
        return;
    }
    let target = Target::listen(&["--mode", "666"]);
    knock(&target);
    let (open, before) = (target.descriptors(), target.resident());
    knock(&target);
    target.closes_all_but(open);
    let after = target.resident();
    let lines = target.process.complaints().lines().count();
    println!(
        "refused {TIMES} times: {before} bytes resident before, {after} after, {lines} log lines in all"
    );
    assert!(after <= before + MAY_KEEP, "{before} {after}");
    // A neighbour does not fill the log.
    assert!(lines < TIMES / 2, "{lines}");
}

/// It tries as often, and gives up.
fn knock(target: &Target) {
    let retries = TIMES.to_string();
    let mut knocking = target.as_nobody(&[
        "--retries",
        &retries,
        "--base-delay",
        "1",
        "--max-delay",
        "1",
    ]);
    assert_ne!(knocking.end(), 0);
}
