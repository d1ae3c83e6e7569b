//! Paths at which no process can listen: the error names the path and the cause, no file is removed, and
//! the bus recovers as soon as it can.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    DEADLINE,
    bus::Bus,
    numbered_messages::received,
    support::process::{OTHER_UID, Process, Signal},
};

/// Limit for the recovery of a bus.
const RECOVERY_LIMIT: Duration = Duration::from_secs(3);

#[test]
fn a_path_that_is_not_a_socket_is_named_and_not_removed() {
    for (thing, make, expected) in [
        (
            "directory",
            (|path| fs::create_dir(path).unwrap()) as fn(&Path),
            "socket",
        ),
        (
            "file",
            |path| fs::write(path, "precious").unwrap(),
            "socket",
        ),
        (
            "link",
            |path| symlink("elsewhere", path).unwrap(),
            "symbolic link",
        ),
    ] {
        let mut bus = Bus::new();
        make(&bus.path);
        let before = bus.inode();
        let error = start_error(&mut bus, &[]);
        assert!(error.contains(expected), "{thing}: {error}");
        assert_eq!(bus.inode(), before, "{thing}");
        assert_eq!(bus.files(), ["bus.sock"], "{thing}");
    }
}

#[test]
fn a_missing_directory_is_named() {
    let mut bus = Bus::new();
    bus.path = bus.directory.path().join("missing/bus.sock");
    let error = start_error(&mut bus, &[]);
    assert!(error.contains("does not exist"), "{error}");
    assert_eq!(bus.files(), [""; 0]);
}

#[test]
fn in_a_read_only_directory_a_peer_connects_and_listens_once_it_can_write() {
    if Process::cannot_drop_root() {
        println!("skipped: there is no setpriv, and root may write anywhere");
        return;
    }
    let mut bus = Bus::new();
    let set_mode = |bus: &Bus, mode| {
        fs::set_permissions(bus.directory.path(), Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&bus, 0o777);
    let listener = bus.start(&["--mode", "666", "--allow-uid", OTHER_UID]);
    bus.until(0, &listener, &json!({"event": "role", "role": "listener"}));
    set_mode(&bus, 0o555);
    let peers = [bus.start_unprivileged(), bus.start_unprivileged()];
    assert_eq!(bus.one().listener, listener);
    let before = bus.inode();

    let mark = bus.log.mark();
    bus.kill(&listener);
    for id in &peers {
        let error = in_the_way(&bus, mark, id);
        assert!(error.contains("not permitted"), "{error}");
        assert!(error.contains(bus.path.to_str().unwrap()), "{error}");
    }
    assert_eq!(bus.inode(), before);
    // No process listens, and it may not create the socket.
    let latecomer = bus.start_unprivileged();
    let error = exit_error(&mut bus, &latecomer);
    assert!(error.contains("not permitted"), "{error}");

    bus.send(&peers[0], 0..3);
    recovers(&bus, || set_mode(&bus, 0o777));
    let listener = bus.one().listener;
    if listener != peers[0] {
        bus.expect_received(&listener, &peers[0], 0..3);
    }
}

#[test]
fn a_bus_outlives_its_directory() {
    let mut bus = Bus::new();
    let directory = bus.directory.path().join("gone");
    fs::create_dir(&directory).unwrap();
    bus.path = directory.join("bus.sock");
    for _ in 0..3 {
        bus.start(&[]);
    }
    let listener = bus.one().listener;
    let others = bus.all_but(&listener);
    let mark = bus.log.mark();
    // The listener creates its lock file again as long as the directory exists.
    while fs::remove_dir_all(&directory).is_err() {}
    let error = in_the_way(&bus, mark, &listener);
    assert!(error.contains(bus.path.to_str().unwrap()), "{error}");
    assert!(error.contains("does not exist"), "{error}");

    // The connected peers stay connected.
    for other in &others {
        bus.send(other, 0..3);
        bus.expect_received(&listener, other, 0..3);
    }
    let newcomer = bus.start(&[]);
    let error = exit_error(&mut bus, &newcomer);
    assert!(error.contains("does not exist"), "{error}");
    // The error is reported once, not at every retry.
    let mark = bus.log.mark();
    let error = json!({"event": "error"});
    let again = bus.soon(Duration::from_secs(1), mark, &listener, &error);
    assert_eq!(again, None);
    let stderr_text = bus.process(&listener).stderr_text();
    assert!(stderr_text.lines().count() <= 1, "{stderr_text}");

    let back = Instant::now();
    fs::create_dir(&directory).unwrap();
    bus.start(&[]);
    let one = bus.one();
    let recovered = one.since.saturating_duration_since(back);
    println!("one bus with a newcomer {recovered:?} after the directory is back");
    assert!(recovered < RECOVERY_LIMIT, "{recovered:?}");
    for id in bus.all_but(&one.listener) {
        bus.send(&id, [3]);
        let last = bus.log.wait(DEADLINE, |known| {
            let got = received(known, &one.listener, &id);
            got.last().filter(|last| **last == 3).copied()
        });
        assert!(last.is_some(), "{id} does not reach {}", one.listener);
    }
}

#[test]
fn a_full_disk_is_named_and_a_peer_listens_once_there_is_room() {
    // The directory, the lock, the socket, its temporary name, and one more.
    let Some(disk) = Disk::mount(4 + 1) else {
        println!("skipped: nothing can be mounted here");
        return;
    };
    let mut bus = Bus::new();
    bus.path = disk.directory.path().join("bus.sock");
    for _ in 0..2 {
        bus.start(&[]);
    }
    let listener = bus.one().listener;
    let [other] = &bus.all_but(&listener)[..] else {
        panic!("there are two processes");
    };
    let mark = bus.log.mark();
    bus.process(other).freeze();
    bus.kill(&listener);
    wait_until_dead(&bus);
    fs::remove_file(bus.lock_path()).unwrap();
    let filler = disk.fill();
    bus.process(other).signal(Signal::CONT);
    let error = in_the_way(&bus, mark, other);
    assert!(error.contains("No space left"), "{error}");
    // The kernel frees the inodes of the killed process at some later time: there may be room for the lock
    // by now, and not for the next file.
    if error.contains("lock") {
        let lock = bus.lock_path();
        assert!(error.contains(lock.to_str().unwrap()), "{error}");
        assert!(bus.inode().is_some(), "the stale file has been removed");
    } else {
        assert!(error.contains(bus.path.to_str().unwrap()), "{error}");
    }

    let newcomer = bus.start(&[]);
    let error = exit_error(&mut bus, &newcomer);
    assert!(error.contains("No space left"), "{error}");
    for file in &filler {
        assert!(file.exists(), "{file:?} has been removed");
    }
    recovers(&bus, || {
        for file in &filler {
            fs::remove_file(file).unwrap();
        }
    });
    bus.start(&[]);
    assert_eq!(&bus.one().listener, other);
}

/// Starts a process that ends at once; returns its error.
fn start_error(bus: &mut Bus, options: &[&str]) -> String {
    let id = bus.start(options);
    exit_error(bus, &id)
}

/// A process ends by itself, with exit code 1 and a sentence that names the path.
fn exit_error(bus: &mut Bus, id: &str) -> String {
    let mut process = bus.remove(id);
    assert_eq!(process.end(), 1, "{}", process.stderr_text());
    let error = process.stderr_text();
    assert!(error.contains(bus.path.to_str().unwrap()), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The error that a process reports about the path.
fn in_the_way(bus: &Bus, mark: usize, id: &str) -> String {
    let event = json!({"event": "error", "code": "in-the-way"});
    bus.until(mark, id, &event);
    bus.log.look(|known| {
        let mut since = known.entries.iter().skip(mark);
        let entry = since.find(|entry| entry.is(id, &event)).unwrap();
        let message = entry.event["message"].as_str();
        message.unwrap_or_default().to_owned()
    })
}

/// A process listens soon after the remedy.
fn recovers(bus: &Bus, remedy: impl FnOnce()) {
    let mark = bus.log.mark();
    let remedied = Instant::now();
    remedy();
    let listens: Value = json!({"event": "role", "role": "listener"});
    let at = bus.log.wait(DEADLINE, |known| {
        let mut since = known.entries.iter().skip(mark);
        let entry = since.find(|entry| entry.is(&entry.id, &listens))?;
        Some(entry.at)
    });
    let recovered = at.unwrap_or_else(|| panic!("no process listens")) - remedied;
    println!("a process listens {recovered:?} after the path became usable");
    assert!(recovered < RECOVERY_LIMIT, "{recovered:?}");
}

/// No process listens at the path any more.
fn wait_until_dead(bus: &Bus) {
    let start = Instant::now();
    while bus.pid_at_path().is_some() {
        assert!(start.elapsed() < DEADLINE, "a process listens");
        std::thread::yield_now();
    }
}

/// A file system with room for `files` files, its directory included.
struct Disk {
    directory: tempfile::TempDir,
    files: usize,
}

impl Disk {
    fn mount(files: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size=16k,nr_inodes={files}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]);
        let mounted = mount.arg(directory.path()).output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then_some(Self { directory, files })
    }

    /// Fills it; returns the files that do.
    fn fill(&self) -> Vec<PathBuf> {
        let names = (0..=self.files).map(|i| self.directory.path().join(i.to_string()));
        names
            .take_while(|name| File::create(name).is_ok())
            .collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let _ = unmount.arg("-l").arg(self.directory.path()).status();
    }
}
