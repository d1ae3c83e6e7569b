//! A process of another user.
//!
//! Without root and `setpriv` it cannot be tried; it says so. A failure shows stderr of that process, or the memory
//! that rejected connections have left.

use serde_json::{Value, json};

use crate::{
    MIB,
    support::process::{OTHER_UID, Process, Signal},
    target::Target,
};

/// How often it tries to connect.
const ATTEMPTS: usize = 200;

/// Growth of the service allowed, bytes.
const MAY_KEEP: usize = MIB;

fn established() -> Value {
    json!({"event": "peer", "peer": "other-uid", "change": "established"})
}

/// True, and printed, if the tests cannot start a process of another user.
fn skipped() -> bool {
    let skipped = !rustix::process::geteuid().is_root() || Process::cannot_drop_root();
    if skipped {
        println!("skipped: only root can change the uid, with setpriv");
    }
    skipped
}

#[test]
fn another_user_s_process_is_refused_unless_allowed() {
    if skipped() {
        return;
    }
    // The mode of the file allows it, the policy does not.
    let target = Target::listen(&["--mode", "666"]);
    let mut rejected = target.with_other_uid(&["--no-reconnect"]);
    assert_ne!(rejected.end(), 0);
    assert_eq!(target.count(&established()), 0);
    let stderr_text = target.stderr_text();
    assert_eq!(stderr_text.lines().count(), 1, "{stderr_text}");
    assert!(stderr_text.contains(OTHER_UID), "{stderr_text}");

    let target = Target::listen(&["--mode", "666", "--allow-uid", OTHER_UID]);
    let _allowed = target.with_other_uid(&[]);
    target.until(&established());
    assert_eq!(target.process.stderr_text(), "");
}

#[test]
fn an_id_stays_with_the_user_that_has_used_it_first() {
    if skipped() {
        return;
    }
    let target = Target::listen(&["--mode", "666", "--allow-uid", OTHER_UID]);
    let first = target.with_own_uid("first");
    target.until(&established());
    first.signal(Signal::TERM);
    target.until(&json!({"event": "peer", "peer": "other-uid", "change": "departed"}));
    let _claims = target.with_other_uid(&["--no-reconnect"]);
    target.until(&json!({"event": "error", "code": "id-of-another-user"}));
    assert_eq!(target.count(&established()), 1);
    let _again = target.with_own_uid("again");
    target.until(
        &json!({"event": "peer", "peer": "other-uid", "change": "established", "name": "again"}),
    );
}

#[test]
fn rejected_connections_leave_no_memory_behind() {
    if skipped() {
        return;
    }
    let target = Target::listen(&["--mode", "666"]);
    connect_rejected(&target);
    let (open, before) = (target.descriptors(), target.resident());
    connect_rejected(&target);
    target.wait_for_descriptors(open);
    let after = target.resident();
    let lines = target.process.stderr_text().lines().count();
    println!(
        "rejected {ATTEMPTS} times: {before} bytes resident before, {after} after, {lines} log lines in all"
    );
    assert!(after <= before + MAY_KEEP, "{before} {after}");
    // Another process cannot fill the log.
    assert!(lines < ATTEMPTS / 2, "{lines}");
}

/// Tries to connect, and gives up.
fn connect_rejected(target: &Target) {
    let retries = ATTEMPTS.to_string();
    let mut rejected = target.with_other_uid(&[
        "--retries",
        &retries,
        "--base-delay",
        "1",
        "--max-delay",
        "1",
    ]);
    assert_ne!(rejected.end(), 0);
}
