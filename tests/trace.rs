//! `TraceLayer` on both ends of a real socket: which spans and events there are at each level.
//!
//! A failure shows the spans and events that were recorded.
#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds::{
    ChannelMsg, Client, Incoming, Server,
    trace::{DefaultMakeSpan, TraceLayer},
};
use support::{Bus, Log, dismiss, service, soon};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
use tracing::{Level, Span, info, info_span};

/// Lines of the layer, and of these tests.
fn lines(log: &Log) -> Vec<String> {
    log.text()
        .lines()
        .filter(|line| line.contains("::trace::") || line.contains(" trace: "))
        .map(|line| line.trim().to_owned())
        .collect()
}

#[derive(Debug)]
struct NotToday;

impl fmt::Display for NotToday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not today")
    }
}

/// One call that succeeds, and one that fails.
async fn two_calls(layer: TraceLayer) {
    let dismiss_or_fail = service_fn(async |msg: ChannelMsg| {
        info!("at work");
        match msg.doc() {
            Some(_) => Ok(()),
            None => Err(NotToday),
        }
    });
    let mut traced = ServiceBuilder::new().layer(layer).service(dismiss_or_fail);
    traced.call(dismiss("a \n b")).await.unwrap();
    traced.call(ChannelMsg::Depart).await.unwrap_err();
}

/// Whether the line is the expected one; `*` stands for the latency.
fn matches(line: &str, expected: &str) -> bool {
    match expected.split_once('*') {
        None => line == expected,
        Some((start, end)) => {
            line.starts_with(start) && line.ends_with(end) && line.len() > expected.len()
        }
    }
}

#[tokio::test]
async fn events_are_in_the_messages_span_and_failures_are_always_reported() {
    let layer = TraceLayer::new();
    let at_info = layer.make_span_with(DefaultMakeSpan::new().level(Level::INFO));
    let done =
        r#"DEBUG send{kind="dismiss" doc="a \n b"}: kyneta_uds::trace::outcome: done latency=*s"#;
    let first = r#"INFO send{kind="dismiss" doc="a \n b"}: trace: at work"#;
    let second = r#"INFO send{kind="depart"}: trace: at work"#;
    let failed = r#"WARN send{kind="depart"}: kyneta_uds::trace::outcome: failed error=not today latency=*s"#;
    let bare = "INFO trace: at work";
    let failed_bare = "WARN kyneta_uds::trace::outcome: failed error=not today";
    for (name, layer, level, expected) in [
        (
            "debug",
            layer,
            Level::DEBUG,
            vec![first, done, second, failed],
        ),
        ("info", layer, Level::INFO, vec![bare, bare, failed_bare]),
        (
            "info at info",
            at_info,
            Level::INFO,
            vec![first, second, failed],
        ),
        ("error", layer, Level::ERROR, vec![]),
    ] {
        let (log, _guard) = Log::start(level);
        two_calls(layer).await;
        let lines = lines(&log);
        let as_expected = lines.len() == expected.len()
            && lines
                .iter()
                .zip(&expected)
                .all(|(line, expected)| matches(line, expected));
        assert!(as_expected, "{name}: {lines:#?}");
    }
}

#[tokio::test]
async fn on_both_ends_of_a_socket_a_message_is_sent_and_processed() {
    let (log, _guard) = Log::start(Level::DEBUG);
    let bus = Bus::new();
    let (seen, mut inbox) = tokio::sync::mpsc::channel(1);
    let handler = service_fn(move |_: Incoming| {
        let seen = seen.clone();
        async move { seen.send(()).await }
    });
    let handler = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service(handler);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let client = Client::builder(&bus.path).identity(service("a"));
    let client = soon(client.connect(ignore)).await.unwrap();
    let mut client = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service(client);
    let sent = client.ready().await.unwrap().call(dismiss("d"));
    soon(sent).await.unwrap();
    soon(inbox.recv()).await.unwrap();
    drop(client);
    soon(server.dispose()).await;

    let lines = lines(&log);
    for part in [
        r#"send{kind="dismiss" doc="d"}: kyneta_uds::trace::outcome: done latency="#,
        r#"process{kind="dismiss" doc="d" peer="a"}: kyneta_uds::trace::outcome: done latency="#,
    ] {
        let met = lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!(met, 1, "{part}: {lines:#?}");
    }
}

#[tokio::test]
async fn what_a_handler_logs_is_in_the_span_of_the_connection_on_either_side() {
    let (log, _guard) = Log::start(Level::INFO);
    let bus = Bus::new();
    let answer = service_fn(async |incoming: Incoming| {
        info!("at work");
        incoming.from().call(incoming.message).await
    });
    let server = Server::builder(&bus.path).identity(service("hub"));
    let server = server.listen(answer).await.unwrap();
    let (seen, mut inbox) = tokio::sync::mpsc::channel(1);
    let client = Client::builder(&bus.path).identity(service("a"));
    let connecting = client.connect(service_fn(move |_: Incoming| {
        info!("at work");
        let seen = seen.clone();
        async move { seen.send(()).await }
    }));
    let mut client = soon(connecting).await.unwrap();
    let sent = client.ready().await.unwrap().call(dismiss("d"));
    soon(sent).await.unwrap();
    soon(inbox.recv()).await.unwrap();
    soon(server.dispose()).await;

    let lines = lines(&log);
    let own = std::process::id();
    for peer in ["a", "hub"] {
        let span = format!(r#"pid={own} peer="{peer}" wire=3}}: trace: at work"#);
        let met = lines
            .iter()
            .filter(|line| line.starts_with("INFO connection{uid=") && line.ends_with(&span))
            .count();
        assert_eq!(met, 1, "{span}: {lines:#?}");
    }
}

#[tokio::test]
async fn each_part_can_be_replaced_and_a_disabled_span_skips_all_but_failures() {
    for (level, expected) in [
        (
            Level::INFO,
            "passed on: 7; done; passed on: 8; failed: not today; ",
        ),
        (Level::ERROR, "failed: not today; "),
    ] {
        let (_log, _guard) = Log::start(level);
        let story = Arc::new(Mutex::new(String::new()));
        let report = |what: String| *story.lock().unwrap() += &what;
        let layer = TraceLayer::new()
            .make_span_with(|number: &u64| info_span!("number", number))
            .on_request(|number: &u64, _: &Span| report(format!("passed on: {number}; ")))
            .on_response(|_: Duration, _: &Span| report("done; ".to_owned()))
            .on_failure(|error: &NotToday, _: Option<Duration>, _: &Span| {
                report(format!("failed: {error}; "));
            });
        let odd = service_fn(async |number: u64| (number % 2 == 1).then_some(()).ok_or(NotToday));
        let mut traced = ServiceBuilder::new().layer(layer).service(odd);
        traced.call(7).await.unwrap();
        traced.call(8).await.unwrap_err();
        assert_eq!(*story.lock().unwrap(), expected, "{level}");
    }
}
