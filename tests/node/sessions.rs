//! The JavaScript member, compared with whole sessions of the reference.

use std::process::Command;

use crate::peer::runtimes;

#[test]
fn members_send_what_the_reference_sends_in_its_sessions() {
    let root = env!("CARGO_MANIFEST_DIR");
    for runtime in runtimes() {
        let done = Command::new(runtime)
            .arg(format!("{root}/tests/node/sessions.mjs"))
            .arg(format!("{root}/tests/vectors/exchange-sessions.json"))
            .output()
            .unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{said}");
        assert!(said.contains(r#""sessions":272,"messages":5219"#), "{said}");
        println!("{said}");
    }
}
