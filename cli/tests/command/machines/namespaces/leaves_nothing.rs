//! With defaults, and with machines on loopback, no packet leaves a machine.
//!
//! nftables counts in a namespace with a network of its own; that it counts is held, too. Without root, `ip` or `nft`
//! it is skipped, and says so.

use std::{fs, process::Command, time::Duration};

use serde_json::json;

use super::{
    super::key,
    net::{missing, prefix, run},
};
use crate::process::{Process, command_in};

/// A namespace whose route to everywhere is a device at whose other end no process is.
struct Island {
    here: String,
    sea: String,
}

impl Island {
    fn new() -> Self {
        let prefix = prefix();
        let (here, sea) = (format!("{prefix}-here"), format!("{prefix}-sea"));
        run(&["ip", "netns", "add", &here]);
        run(&["ip", "netns", "add", &sea]);
        let veth = ["type", "veth", "peer", "name", "eth0", "netns", &here];
        run(&[&["ip", "-n", &sea, "link", "add", "sea0"][..], &veth].concat());
        for (namespace, device) in [(&sea, "sea0"), (&here, "eth0"), (&here, "lo")] {
            // The kernel's own packets of IPv6 are none of ours.
            run(&[
                "ip",
                "-n",
                namespace,
                "link",
                "set",
                device,
                "addrgenmode",
                "none",
            ]);
            run(&["ip", "-n", namespace, "link", "set", device, "up"]);
        }
        run(&[
            "ip",
            "-n",
            &here,
            "addr",
            "add",
            "10.78.0.2/24",
            "dev",
            "eth0",
        ]);
        run(&[
            "ip",
            "-n",
            &here,
            "route",
            "add",
            "default",
            "via",
            "10.78.0.1",
        ]);
        Self { here, sea }
    }

    /// How many packets have left.
    fn left(&self) -> u64 {
        let path = "/sys/class/net/eth0/statistics/tx_packets";
        let output = Command::new("ip")
            .args(["netns", "exec", &self.here, "cat", path])
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.trim().parse().unwrap()
    }

    fn start(&self, args: &[&str]) -> Process {
        Process::of(command_in(&self.here, args.iter().copied()))
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        for namespace in [&self.here, &self.sea] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}

#[test]
fn no_packet_leaves_the_machine() {
    if let Some(why) = missing() {
        return println!("skipped: {why}");
    }
    let island = Island::new();
    let before = island.left();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let schema = file("schema.json");
    fs::write(
        &schema,
        r#"{"k":"struct","fields":[["mode",{"k":"string"}]]}"#,
    )
    .unwrap();
    let opening = format!("config=json:{schema}");
    let mut ended = Vec::new();
    for command in [&["peer"][..], &["bus"], &["exchange", "--open", &opening]] {
        // Alone, and as two machines.
        let path = file("alone.sock");
        let mut alone = island.start(&[command, &[&path, "--json"]].concat());
        alone.until(&json!({"event": "role", "role": "listener"}));
        ended.push(alone);

        let keys = ["a", "b"].map(|name| {
            (
                file(&format!("{name}.key")),
                key(&dir.path().join(format!("{name}.key"))),
            )
        });
        let ports = [4601, 4602];
        let mut pair = [0, 1].map(|of| {
            let (other, path) = (1 - of, file(&format!("{of}.sock")));
            let listen = format!("127.0.0.1:{}", ports[of]);
            let named = format!("there={}@127.0.0.1:{}", keys[other].1, ports[other]);
            let links = [
                "--machine-key",
                &keys[of].0,
                "--machine-listen",
                &listen,
                "--machine",
                &named,
            ];
            island.start(&[command, &[&path, "--json"], &links].concat())
        });
        for process in &mut pair {
            process.until(&json!({"event": "link", "change": "up"}));
        }
        std::thread::sleep(Duration::from_secs(2)); // for what comes from time to time
        ended.extend(pair);
        ended.drain(..).for_each(|process| drop(process.stop()));
    }
    assert_eq!(island.left() - before, 0, "packets have left");

    // What does leave is seen.
    let send = "echo > /dev/udp/10.78.0.1/9";
    run(&["ip", "netns", "exec", &island.here, "bash", "-c", send]);
    assert!(island.left() > before, "the counter does not count");
}
