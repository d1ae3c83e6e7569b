//! A NATS server of the test's own, which can be killed and started again. The tests of the command use a part of it.
//!
//! In: nothing but the path of `nats-server`. Out: its URL. May touch: a port, a directory, the process.
#![allow(dead_code)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

pub(crate) struct Server {
    program: PathBuf,
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

/// The program: that of `NATS_SERVER`, or the first one in `PATH`.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return Some(path.into());
    }
    let paths = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&paths).map(|dir| dir.join("nats-server"));
    programs.find(|program| program.is_file())
}

impl Server {
    /// `None`, with a word, if this machine has no server.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: there is no nats-server in PATH, nor in NATS_SERVER");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self {
            program,
            dir,
            port,
            process: None,
        };
        drop(free);
        server.again();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it with what it has stored.
    pub(crate) fn again(&mut self) {
        let process = Command::new(&self.program)
            .args([
                "-js",
                "-a",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-sd",
            ])
            .arg(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
        for _ in 0..2_000 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server does not listen");
    }

    /// As the kernel does it: nothing is said, nothing is written.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// It forgets all. It must not run.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(self.dir.path().join("jetstream")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
