//! What cannot be listened at: it is said with its name and its cause, nothing is removed, and the
//! bus goes on as soon as it can.

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
    support::process::{NOBODY, Process, Signal},
};

/// How soon a bus heals when it can.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn what_is_no_socket_is_named_and_left_alone() {
    for (thing, make, complaint_is) in [
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
        let complaint = refused(&mut bus, &[]);
        assert!(complaint.contains(complaint_is), "{thing}: {complaint}");
        assert_eq!(bus.inode(), before, "{thing}");
        assert_eq!(bus.files(), ["bus.sock"], "{thing}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let mut bus = Bus::new();
    bus.path = bus.directory.path().join("missing/bus.sock");
    let complaint = refused(&mut bus, &[]);
    assert!(complaint.contains("does not exist"), "{complaint}");
    assert_eq!(bus.files(), [""; 0]);
}

#[test]
fn where_nobody_may_write_a_peer_connects_and_listens_once_it_may() {
    if Process::never_unprivileged() {
        println!("skipped: there is no setpriv, and root may write anywhere");
        return;
    }
    let mut bus = Bus::new();
    let may_write = |bus: &Bus, mode| {
        fs::set_permissions(bus.directory.path(), Permissions::from_mode(mode)).unwrap();
    };
    may_write(&bus, 0o777);
    let listener = bus.start(&["--mode", "666", "--allow-uid", NOBODY]);
    bus.until(0, &listener, &json!({"event": "role", "role": "listener"}));
    may_write(&bus, 0o555);
    let one = [bus.start_unprivileged(), bus.start_unprivileged()];
    assert_eq!(bus.one().listener, listener);
    let before = bus.inode();

    let mark = bus.log.mark();
    bus.kill(&listener);
    for id in &one {
        let complaint = in_the_way(&bus, mark, id);
        assert!(complaint.contains("not permitted"), "{complaint}");
        assert!(
            complaint.contains(bus.path.to_str().unwrap()),
            "{complaint}"
        );
    }
    assert_eq!(bus.inode(), before);
    // It connects to nobody, and may not do more.
    let latecomer = bus.start_unprivileged();
    let complaint = end_of(&mut bus, &latecomer);
    assert!(complaint.contains("not permitted"), "{complaint}");

    bus.send(&one[0], 0..3);
    heals(&bus, || may_write(&bus, 0o777));
    let listener = bus.one().listener;
    if listener != one[0] {
        bus.gets(&listener, &one[0], 0..3);
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
    // Its lock file is there again at once, as long as there is a directory.
    while fs::remove_dir_all(&directory).is_err() {}
    let complaint = in_the_way(&bus, mark, &listener);
    assert!(
        complaint.contains(bus.path.to_str().unwrap()),
        "{complaint}"
    );
    assert!(complaint.contains("does not exist"), "{complaint}");

    // Who is there is still there.
    for other in &others {
        bus.send(other, 0..3);
        bus.gets(&listener, other, 0..3);
    }
    let newcomer = bus.start(&[]);
    let complaint = end_of(&mut bus, &newcomer);
    assert!(complaint.contains("does not exist"), "{complaint}");
    // It has been said, once, and is not said every time that it is tried again.
    let mark = bus.log.mark();
    let error = json!({"event": "error"});
    let again = bus.soon(Duration::from_secs(1), mark, &listener, &error);
    assert_eq!(again, None);
    let complaints = bus.process(&listener).complaints();
    assert!(complaints.lines().count() <= 1, "{complaints}");

    let back = Instant::now();
    fs::create_dir(&directory).unwrap();
    bus.start(&[]);
    let one = bus.one();
    let healed = one.since.saturating_duration_since(back);
    println!("one bus with a newcomer {healed:?} after the directory is back");
    assert!(healed < SOON, "{healed:?}");
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
fn a_full_disk_is_named_and_listened_on_when_it_has_room() {
    // The directory, the lock, the socket, and room for the socket's first name.
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
        panic!("two are there");
    };
    let mark = bus.log.mark();
    bus.process(other).freeze();
    bus.kill(&listener);
    until_dead(&bus);
    fs::remove_file(bus.lock_path()).unwrap();
    let litter = disk.fill();
    bus.process(other).signal(Signal::CONT);
    let complaint = in_the_way(&bus, mark, other);
    assert!(complaint.contains("No space left"), "{complaint}");
    // The kernel gives back what the killed one held when it likes: there may be room for the lock
    // by now, and none for what comes after it.
    if complaint.contains("lock") {
        let lock = bus.lock_path();
        assert!(complaint.contains(lock.to_str().unwrap()), "{complaint}");
        assert!(bus.inode().is_some(), "the stale file has been removed");
    } else {
        assert!(
            complaint.contains(bus.path.to_str().unwrap()),
            "{complaint}"
        );
    }

    let newcomer = bus.start(&[]);
    let complaint = end_of(&mut bus, &newcomer);
    assert!(complaint.contains("No space left"), "{complaint}");
    for file in &litter {
        assert!(file.exists(), "{file:?} has been removed");
    }
    heals(&bus, || {
        for file in &litter {
            fs::remove_file(file).unwrap();
        }
    });
    bus.start(&[]);
    assert_eq!(&bus.one().listener, other);
}

/// Starts one that ends at once, and says why.
fn refused(bus: &mut Bus, options: &[&str]) -> String {
    let id = bus.start(options);
    end_of(bus, &id)
}

/// One ends by itself: with 1, and a sentence that names the path.
fn end_of(bus: &mut Bus, id: &str) -> String {
    let mut process = bus.leave(id);
    assert_eq!(process.end(), 1, "{}", process.complaints());
    let complaint = process.complaints();
    assert!(
        complaint.contains(bus.path.to_str().unwrap()),
        "{complaint}"
    );
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    complaint
}

/// What one says that is in its way.
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

/// All are one bus soon after this.
fn heals(bus: &Bus, remedy: impl FnOnce()) {
    let mark = bus.log.mark();
    let remedied = Instant::now();
    remedy();
    let listens: Value = json!({"event": "role", "role": "listener"});
    let at = bus.log.wait(DEADLINE, |known| {
        let mut since = known.entries.iter().skip(mark);
        let entry = since.find(|entry| entry.is(&entry.who, &listens))?;
        Some(entry.at)
    });
    let healed = at.unwrap_or_else(|| panic!("nobody listens")) - remedied;
    println!("somebody listens {healed:?} after nothing is in the way any more");
    assert!(healed < SOON, "{healed:?}");
}

/// Nobody answers at the path any more.
fn until_dead(bus: &Bus) {
    let start = Instant::now();
    while bus.who_answers().is_some() {
        assert!(start.elapsed() < DEADLINE, "somebody listens");
        std::thread::yield_now();
    }
}

/// A disk with room for so many files, its directory included.
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

    /// Leaves room for nothing. What fills it.
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
