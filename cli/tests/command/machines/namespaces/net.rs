//! A namespace for each machine, and one between them, in which packets are passed on, delayed and dropped.
//!
//! A machine has the address 10.77.I.2, and reaches each other one at 10.77.I.1, by the port of that one.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    super::three::{MACHINES, Place},
    forwarder::Forwarder,
};
use crate::process::command_in;

/// The namespaces. Removed when it is dropped.
pub(super) struct Net {
    prefix: String,
    pub(super) forwarder: Forwarder,
}

/// The UDP port of a machine, the same wherever it is reached.
pub(super) fn port(machine: usize) -> u16 {
    4501 + machine as u16
}

/// A command of the system, which must succeed.
pub(super) fn run(args: &[&str]) {
    let output = Command::new(args[0]).args(&args[1..]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
}

/// Why there can be no namespaces.
pub(super) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    let exists = |program: &str| Command::new(program).arg("-V").output().is_ok();
    match (exists("ip"), exists("nft")) {
        (true, true) => None,
        (false, _) => Some("needs ip (iproute2)"),
        (_, false) => Some("needs nft (nftables)"),
    }
}

/// A prefix for names of namespaces that no other process and no other test has.
pub(super) fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("kyneta-{}-{count}", std::process::id())
}

impl Net {
    /// `None`, with a word on stdout, where there can be none.
    pub(super) fn new() -> Option<Self> {
        if let Some(why) = missing() {
            println!("skipped: {why}");
            return None;
        }
        let prefix = prefix();
        let between = format!("{prefix}-between");
        run(&["ip", "netns", "add", &between]);
        for (machine, name) in MACHINES.iter().enumerate() {
            let namespace = format!("{prefix}-{name}");
            run(&["ip", "netns", "add", &namespace]);
            let (inner, outer) = (
                format!("10.77.{machine}.2/24"),
                format!("10.77.{machine}.1/24"),
            );
            let veth = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
            run(&[&["ip", "-n", &between, "link", "add", name][..], &veth].concat());
            run(&["ip", "-n", &between, "addr", "add", &outer, "dev", name]);
            run(&["ip", "-n", &between, "link", "set", name, "up"]);
            run(&["ip", "-n", &namespace, "addr", "add", &inner, "dev", "eth0"]);
            run(&["ip", "-n", &namespace, "link", "set", "eth0", "up"]);
            run(&["ip", "-n", &namespace, "link", "set", "lo", "up"]);
        }
        let forwarder = Forwarder::start(&between);
        Some(Self { prefix, forwarder })
    }

    pub(super) fn namespace(&self, machine: usize) -> String {
        format!("{}-{}", self.prefix, MACHINES[machine])
    }

    fn between(&self) -> String {
        format!("{}-between", self.prefix)
    }

    /// The cable of a machine is out, or in again.
    pub(super) fn cable(&self, machine: usize, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        run(&[
            "ip",
            "-n",
            &self.between(),
            "link",
            "set",
            MACHINES[machine],
            state,
        ]);
    }

    /// What is dropped from now on; nothing else is.
    pub(super) fn drops(&self, rules: &[String]) {
        let rules = rules.join("\n");
        let text = format!(
            "flush ruleset\ntable inet kyneta {{\nchain pre {{\n\
             type filter hook prerouting priority 0; policy accept;\n{rules}\n}}\n}}\n"
        );
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &self.between(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success(), "{text}");
    }

    /// Packets in this direction.
    pub(super) fn one_direction(from: usize, to: usize) -> String {
        format!("iifname \"{}\" udp dport {} drop", MACHINES[from], port(to))
    }

    /// So many of 100 packets, at random.
    pub(super) fn loss(percent: u8) -> String {
        format!("meta l4proto udp numgen random mod 100 < {percent} drop")
    }
}

/// Links over iroh, each through the namespace between the machines.
impl Place for Net {
    fn command(
        &self,
        machine: usize,
        mut args: Vec<String>,
        keys: &[(PathBuf, String)],
    ) -> Command {
        let (file, _) = &keys[machine];
        let listen = format!("10.77.{machine}.2:{}", port(machine));
        args.extend(["--machine-key".into(), file.to_str().unwrap().into()]);
        args.extend(["--machine-listen".into(), listen]);
        for other in (0..MACHINES.len()).filter(|other| *other != machine) {
            let (name, (_, key)) = (MACHINES[other], &keys[other]);
            let named = format!("{name}={key}@10.77.{machine}.1:{}", port(other));
            args.extend(["--machine".into(), named]);
        }
        command_in(&self.namespace(machine), args)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let all = (0..MACHINES.len()).map(|machine| self.namespace(machine));
        for namespace in all.chain([self.between()]) {
            let _ = Command::new("ip")
                .args(["netns", "del", &namespace])
                .status();
        }
    }
}
