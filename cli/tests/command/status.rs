//! The status socket of `--status`, and `status`, which asks it.
//!
//! Requests are written as curl writes them. A failure shows the JSON, the text or the sentence that came instead.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    process::{End, Signal, start},
    roles::{client, listener},
    support::common::Bus,
};

/// A status socket in the directory of the bus.
fn beside(bus: &Bus, name: &str) -> String {
    bus.path.with_file_name(name).to_str().unwrap().to_owned()
}

/// The output of `status`, which must succeed.
fn status(args: &[&str]) -> Vec<String> {
    let End { code, rest, stderr } = start(&[&["status"], args].concat()).end();
    assert_eq!((code, stderr.as_str()), (0, ""), "{rest:?}");
    rest
}

fn json_status(path: &str) -> Value {
    let lines = status(&[path, "--json"]);
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    serde_json::from_str(line).unwrap()
}

/// An HTTP request as curl sends it.
fn get(path: &str, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_status_of_a_listener_and_of_a_client() {
    // The path is made with the bus's directory.
    let (bus, plain) = listener(&[]);
    plain.stop();
    let (of_hub, of_client) = (beside(&bus, "hub.sock"), beside(&bus, "client.sock"));
    let mut hub = crate::roles::listener_at(&bus, &["--id", "hub", "--status", &of_hub]);
    let options = ["--id", "c", "--name", "Cee", "--status", &of_client];
    let (client, _) = client(&bus, &options);
    hub.until(&json!({"event": "peer", "peer": "c"}));
    hub.write_line(json!({"send": {"type": "dismiss", "docId": "d"}}));
    hub.until(&json!({"event": "sent", "count": 1}));

    let seen = json_status(&of_hub);
    assert_eq!(
        (&seen["role"], &seen["id"], &seen["sent"]),
        (&json!("listener"), &json!("hub"), &json!(1)),
        "{seen}"
    );
    assert_eq!(seen["path"], bus.path.to_str().unwrap());
    let peer = &seen["peers"][0];
    assert_eq!((&peer["id"], &peer["name"]), (&json!("c"), &json!("Cee")));
    assert_eq!(peer["pid"], client.pid());
    let seen = json_status(&of_client);
    assert_eq!(
        (&seen["role"], &seen["peers"][0]["id"]),
        (&json!("connected"), &json!("hub"))
    );

    let lines = status(&[&of_hub]);
    assert!(lines[0].starts_with("listener  hub  "), "{lines:?}");
    assert!(
        lines[1].starts_with("queued 0, sent 1, received 0, peers 1"),
        "{lines:?}"
    );
    assert!(
        lines[3].starts_with("PEER ") && lines[4].starts_with("c "),
        "{lines:?}"
    );
    assert!(!lines.concat().contains('\x1b'), "{lines:?}");

    assert!(get(&of_hub, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&of_hub, "/metrics").contains("\nkyneta_uds_established_total 1\n"));

    // The client outlives its listener, and its health reports it.
    hub.stop();
    assert!(!fs::exists(&of_hub).unwrap());
    let health = get(&of_client, "/healthz");
    assert!(
        health.starts_with("HTTP/1.1 503 ") && health.contains("reconnecting"),
        "{health}"
    );
    client.stop();
    assert!(!fs::exists(&of_client).unwrap());
}

#[test]
fn the_status_of_a_peer_that_waits_for_a_role_and_then_has_one() {
    let bus = Bus::new();
    // A listener that does not answer.
    let stuck = UnixListener::bind(&bus.path).unwrap();
    let path = bus.path.to_str().unwrap();
    let status_path = beside(&bus, "peer.sock");
    let args = [
        "peer",
        path,
        "--json",
        "--id",
        "me",
        "--status",
        &status_path,
    ];
    let mut peer = start(&args);
    let _connected = stuck.accept().unwrap();
    let seen = json_status(&status_path);
    assert_eq!(
        (&seen["role"], &seen["id"], &seen["path"]),
        (&json!("negotiating"), &json!("me"), &json!(path))
    );
    assert!(get(&status_path, "/healthz").starts_with("HTTP/1.1 503 "));
    drop((stuck, _connected));
    peer.until(&json!({"event": "role", "role": "listener"}));
    assert_eq!(json_status(&status_path)["role"], "listener");
    assert!(get(&status_path, "/healthz").starts_with("HTTP/1.1 200 "));
    peer.stop();
    assert!(!fs::exists(&status_path).unwrap());
}

#[test]
fn watching_ends_at_a_signal_and_waits_for_a_process_that_comes_back() {
    let bus = Bus::new();
    let status_path = beside(&bus, "status.sock");
    let hub = crate::roles::listener_at(&bus, &["--status", &status_path]);
    let mut json = start(&["status", &status_path, "--watch", "--json"]);
    let (first, second) = (json.next(), json.next());
    let times = [&first, &second].map(|seen| seen["uptime_ms"].as_u64().unwrap());
    assert!(times[1] >= times[0] + 900, "{times:?}");
    hub.stop();
    let hub = crate::roles::listener_at(&bus, &["--status", &status_path]);
    // Its id has the number of the process.
    while json.next()["id"] == first["id"] {}
    json.stop();
    hub.stop();
}

#[test]
fn a_path_that_is_no_status_endpoint_is_said_to_be_what_it_is() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let hub = crate::roles::listener_at(&bus, &[]);
    let found = start(&["status", path, "--json"]).next();
    assert_eq!(found["found"], "kyneta", "{found}");
    assert_eq!(found["members"][0]["kind"], "service", "{found}");
    hub.stop();

    let mut member = start(&["bus", path, "--json", "--id", "a"]);
    member.until(&json!({"event": "role", "role": "listener"}));
    let found = start(&["status", path, "--json"]).next();
    assert_eq!(found["found"], "bus", "{found}");
    assert_eq!(found["members"][0]["id"], "a", "{found}");
    let mut text = start(&["status", path]);
    assert!(
        text.line()
            .contains(" is a bus, no status endpoint. Members: 1")
    );
    assert_eq!(text.end().code, 0);
    member.stop();

    // What answers to nothing.
    let silent = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let end = std::thread::spawn({
        let path = path.to_owned();
        move || start(&["status", &path]).end()
    });
    for stream in silent.incoming().take(3) {
        drop(stream);
    }
    let end = end.join().unwrap();
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("neither a status endpoint"), "{end:?}");
}

#[test]
fn a_process_that_is_stopped_is_named_within_seconds_however_it_is_asked() {
    for role in ["bus", "listen"] {
        let bus = Bus::new();
        let (path, of_it) = (bus.path.to_str().unwrap(), beside(&bus, "status.sock"));
        let mut listener = start(&[role, path, "--json", "--status", &of_it]);
        listener.listens_as(role);
        while json_status(&of_it)["role"] != "listener" {}
        listener.signal(Signal::STOP);
        let asked_at = Instant::now();
        let asked = [["status", &of_it], ["status", path], ["who", path]].map(|args| start(&args));
        for mut asked in asked {
            let End { code, rest, stderr } = asked.end();
            assert_eq!((code, rest.len()), (1, 0), "{role}: {stderr}");
            let names_it = stderr.contains(&format!("pid {}", listener.pid()));
            assert!(names_it && stderr.contains("is stopped"), "{stderr}");
        }
        // 3 s, and the time that processes take to start.
        assert!(asked_at.elapsed() < Duration::from_secs(6), "{role}");

        // One that is only slow is waited for.
        let mut who = start(&["who", path, "--json"]);
        thread::sleep(Duration::from_secs(1));
        listener.signal(Signal::CONT);
        let End { code, rest, stderr } = who.end();
        assert_eq!((code, stderr.as_str()), (0, ""), "{role}: {rest:?}");
        listener.stop();
    }
}

#[test]
fn errors_name_the_path() {
    let bus = Bus::new();
    let (path, status_path) = (bus.path.to_str().unwrap(), beside(&bus, "s.sock"));
    let ends = |args: &[&str], code: i32, names: &[&str]| {
        let end = start(args).end();
        assert_eq!((end.code, end.rest.len()), (code, 0), "{args:?}: {end:?}");
        for name in names {
            assert!(end.stderr.contains(name), "{name} in {end:?}");
        }
    };
    ends(&["status", &status_path], 1, &[&status_path]);
    ends(&["status"], 2, &["<PATH>"]);
    ends(&["status", "@abstract"], 1, &["@abstract"]);
    ends(&["listen", path, "--status", path], 2, &[path, "--status"]);
    // It fails before it joins the bus.
    fs::write(&status_path, "precious").unwrap();
    for role in ["listen", "peer", "connect"] {
        ends(
            &[role, path, "--status", &status_path],
            1,
            &[&status_path, "not a socket"],
        );
        assert!(!bus.path.exists());
    }
    assert_eq!(fs::read(&status_path).unwrap(), b"precious");

    // Sockets that answer with something else.
    for (answer, names) in [
        ("invalid", &[][..]),
        ("", &[]),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            &["404"],
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            &["not with a status"],
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}", &[]),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}",
            &[],
        ),
    ] {
        let _ = fs::remove_file(&status_path);
        let other = UnixListener::bind(&status_path).unwrap();
        let answers = thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.shutdown(Shutdown::Write);
        });
        ends(
            &["status", &status_path],
            1,
            &[&[status_path.as_str()], names].concat(),
        );
        answers.join().unwrap();
    }
}

/// A program of which one request gets this answer, and which goes on then.
fn answers(path: &str, body: &'static str) -> thread::JoinHandle<()> {
    let _ = fs::remove_file(path);
    let other = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let _ = stream.shutdown(Shutdown::Write);
    })
}

#[test]
fn of_another_program_s_answer_only_json_is_printed_on_one_line() {
    let bus = Bus::new();
    let path = beside(&bus, "s.sock");
    for body in ["\u{1b}[2Jno\nstatus", "[1, 2", ""] {
        let answered = answers(&path, body);
        let end = start(&["status", &path, "--json"]).end();
        assert_eq!((end.code, end.rest.len()), (1, 0), "{body:?}: {end:?}");
        assert!(end.stderr.contains("not with a status"), "{end:?}");
        answered.join().unwrap();
    }
    let answered = answers(&path, "{\n  \"newer\": [1,\r\n2]\n}\n");
    assert_eq!(json_status(&path), json!({"newer": [1, 2]}));
    answered.join().unwrap();
    let answered = answers(&path, r#"{"role":"\u001b[2J","id":"x"}"#);
    let end = start(&["status", &path]).end();
    assert!(end.code == 1 && !end.stderr.contains('\u{1b}'), "{end:?}");
    answered.join().unwrap();
}

#[test]
fn watching_ends_when_stdout_cannot_be_written() {
    let bus = Bus::new();
    let path = beside(&bus, "s.sock");
    let answered = answers(&path, "{}");
    let full = fs::File::create("/dev/full").unwrap();
    let mut command = std::process::Command::new(crate::support::process::binary());
    command.args(["status", &path, "--watch", "--json"]);
    let end = command.stdout(full).output().unwrap();
    let told = String::from_utf8(end.stderr).unwrap();
    assert_eq!(end.status.code(), Some(1), "{told}");
    assert!(told.contains("stdout cannot be written"), "{told}");
    answered.join().unwrap();
}

#[test]
fn the_status_socket_of_a_killed_process_is_replaced_by_the_next() {
    let bus = Bus::new();
    let status_path = beside(&bus, "status.sock");
    let mut first = crate::roles::listener_at(&bus, &["--status", &status_path]);
    first.signal(Signal::KILL);
    first.end();
    assert!(fs::exists(&status_path).unwrap());
    let second = crate::roles::listener_at(&bus, &["--id", "second", "--status", &status_path]);
    assert_eq!(json_status(&status_path)["id"], "second");
    second.stop();
}

#[test]
fn a_listener_reports_that_another_process_has_its_path_until_it_has_it_back() {
    let (bus, plain) = listener(&[]);
    plain.stop();
    let of_hub = beside(&bus, "hub.sock");
    let mut hub = crate::roles::listener_at(&bus, &["--id", "hub", "--status", &of_hub]);
    let path = bus.path.to_str().unwrap();
    fs::remove_file(path).unwrap();
    let other = UnixListener::bind(path).unwrap();
    let error = hub.until(&json!({"event": "error", "code": "in-the-way"}));
    let why = error["message"].as_str().unwrap();
    assert!(why.contains("is in use"), "{error}");

    let seen = json_status(&of_hub);
    assert_eq!(
        (&seen["role"], &seen["waiting"]["why"]),
        (&json!("listener"), &json!(why))
    );
    assert!(status(&[&of_hub])[1].starts_with("waiting for "));
    let health = get(&of_hub, "/healthz");
    assert!(
        health.starts_with("HTTP/1.1 503 ") && health.contains(why),
        "{health}"
    );

    drop(other);
    fs::remove_file(path).unwrap();
    hub.until(&json!({"event": "listening", "path": path}));
    assert!(get(&of_hub, "/healthz").starts_with("HTTP/1.1 200 "));
    hub.stop();
}

#[test]
fn a_peer_whose_listener_does_not_answer_reports_why_it_waits_and_is_not_healthy() {
    let bus = Bus::new();
    let silent = UnixListener::bind(&bus.path).unwrap();
    let (path, of_peer) = (bus.path.to_str().unwrap(), beside(&bus, "peer.sock"));
    let mut peer = start(&["peer", path, "--json", "--status", &of_peer]);
    let waiting = peer.until(&json!({"event": "waiting"}));
    let why = waiting["why"].as_str().unwrap();
    assert!(why.contains("does not introduce itself"), "{waiting}");
    assert!(waiting["for_ms"].as_u64().unwrap() >= 1000, "{waiting}");
    let seen = json_status(&of_peer);
    assert_eq!(seen["role"], "negotiating");
    assert!(
        seen["waiting"]["why"]
            .as_str()
            .unwrap()
            .contains("does not introduce itself"),
        "{seen}"
    );
    let health = get(&of_peer, "/healthz");
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(health.contains("negotiating: waiting for "), "{health}");

    drop(silent);
    peer.until(&json!({"event": "role", "role": "listener"}));
    assert!(get(&of_peer, "/healthz").starts_with("HTTP/1.1 200 "));
    assert_eq!(json_status(&of_peer).get("waiting"), None);
    // The event is enough: no log line repeats it.
    assert_eq!(peer.stop().stderr, "");
}
