//! The channel over connections that the test makes and breaks, with paused time.
//!
//! A failure shows the next item of the channel, its state, or how many connections were made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{future::poll_fn, io, pin::Pin, task::Poll, time::Duration};

use futures_core::Stream as _;
use futures_util::StreamExt as _;
use kyneta_uds_core::{Channel, ConnectionInfo, DisconnectReason, Inbound, WireVersion};
use kyneta_uds_reconnect::{
    Failure, Missed, ReconnectLayer, ReconnectPolicy, Reconnecting, Recover, State, StateKind,
    StateWatch, Wait,
};
use support::{MakePipe, Plan, Target};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{
    Layer as _, Service as _, ServiceExt as _, retry::backoff::ExponentialBackoffMaker,
    util::rng::HasherRng,
};

/// The policy's own times without its jitter.
#[derive(Debug, Clone)]
struct Exact(ReconnectPolicy);

impl Recover for Exact {
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        self.0.recover(Failure::new(
            failure.attempts(),
            failure.reason(),
            &mut || 0.0,
        ))
    }

    fn is_on(&self) -> bool {
        self.0.is_on()
    }
}

type Link = Reconnecting<MakePipe, Target, Exact, u32>;

async fn link(make: &MakePipe, policy: ReconnectPolicy, target: Target) -> (Link, StateWatch) {
    let layer = ReconnectLayer::new(Exact(policy));
    let states = layer.state_watch();
    let channel = layer.layer(make.clone()).oneshot(target).await.unwrap();
    (channel, states)
}

async fn connecting(make: &MakePipe) -> (Link, StateWatch) {
    link(make, ReconnectPolicy::new(), Target::Connect).await
}

async fn connected(make: &MakePipe, policy: ReconnectPolicy) -> (Link, StateWatch) {
    let (mut channel, states) = link(make, policy, Target::Connect).await;
    rest(&mut channel).await;
    assert!(states.is_connected());
    (channel, states)
}

/// Polls the stream until it is pending; nothing must come in.
async fn rest(channel: &mut Link) {
    for _ in 0..4 {
        let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut *channel).poll_next(cx))).await;
        assert!(next.is_pending(), "{next:?}");
    }
}

/// Polls the stream for so long; nothing must come in.
async fn idle(channel: &mut Link, seconds: f64) {
    let next = timeout(Duration::from_secs_f64(seconds), channel.next()).await;
    assert!(next.is_err(), "{next:?}");
}

async fn hear(channel: &mut Link) -> u32 {
    match channel.next().await {
        Some(Ok(Inbound::Message(msg))) => msg,
        other => panic!("{other:?}"),
    }
}

async fn send(channel: &mut Link, msg: u32) {
    channel.ready().await.unwrap().call(msg).await.unwrap();
}

async fn flush(channel: &mut Link) -> Result<(), DisconnectReason> {
    poll_fn(|cx| channel.poll_flush(cx)).await
}

async fn close(channel: &mut Link) -> Result<(), DisconnectReason> {
    poll_fn(|cx| channel.poll_close(cx)).await
}

fn is_reset(reason: Option<DisconnectReason>) -> bool {
    let Some(DisconnectReason::Error(error)) = reason else {
        return false;
    };
    let error = error.get_ref().downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test(start_paused = true)]
async fn it_is_made_at_once_and_connects_while_it_is_polled() {
    let make = MakePipe::default();
    let (mut channel, states) = connecting(&make).await;
    assert_eq!(states.state().to_string(), "connecting (attempt 1)");
    assert_eq!(make.instances(), 0);
    assert_eq!(channel.connection(), ConnectionInfo::default());
    assert!(!channel.begin_with(WireVersion::V2));
    rest(&mut channel).await;
    assert!(states.is_connected());
    assert_eq!(channel.connection().wire, Some(WireVersion::V3));
    assert!(channel.begin_with(WireVersion::V2));
    send(&mut channel, 1).await;
    flush(&mut channel).await.unwrap();
    make.pipe().deliver(2);
    assert_eq!(hear(&mut channel).await, 2);
    assert_eq!((make.instances(), make.pipe().taken()), (1, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_each_other_as_the_policy_says_until_it_gives_up() {
    let make = MakePipe::default();
    make.refuse(10);
    let (mut channel, states) = connecting(&make).await;
    let Some(Err(reason)) = channel.next().await else {
        panic!("the reason")
    };
    assert_eq!(reason.to_string(), "gave up after 10 attempts");
    let expected = [0, 2, 6, 14, 30, 60, 90, 120, 150, 180].map(f64::from);
    let attempts = make.attempts();
    for (attempt, expected) in attempts.iter().zip(expected) {
        assert!((attempt - expected).abs() < 0.02, "{attempts:?}");
    }
    assert_eq!(attempts.len(), 10);
    assert!(channel.next().await.is_none());
    let late = channel.ready().await.map(drop).unwrap_err();
    assert_eq!(late.kind(), "max-retries-exceeded");
    assert_eq!(
        states.state().to_string(),
        "disconnected (gave up after 10 attempts)"
    );
    assert!(channel.lost().is_none() && !channel.interrupt(DisconnectReason::Closed));
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_reconnects_and_reports_once_what_it_has_lost() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    idle(&mut channel, 6.0).await; // long enough to count as useful
    let first = make.pipe();
    first.stick(true);
    send(&mut channel, 1).await;
    first.break_it();
    idle(&mut channel, 1.1).await;
    assert!(states.is_connected() && first.is_released());
    assert_eq!(make.instances(), 2);

    assert_eq!(Channel::buffered(&channel), 1);
    let untold = timeout(Duration::from_secs(1), channel.ready()).await;
    assert!(untold.is_err());
    let untold = timeout(Duration::from_secs(1), flush(&mut channel)).await;
    assert!(untold.is_err());
    assert!(is_reset(channel.lost()));
    assert!(channel.lost().is_none());
    assert_eq!(Channel::buffered(&channel), 0);
    send(&mut channel, 2).await;
    flush(&mut channel).await.unwrap();
    assert_eq!(make.pipe().taken(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_room_is_woken_when_the_loss_is_reported_and_when_it_is_connected()
{
    let make = MakePipe::default();
    let (mut channel, _states) = connected(&make, ReconnectPolicy::new()).await;
    make.pipe().break_it();
    rest(&mut channel).await;
    let mut waiting = tokio_test::task::spawn(());
    assert!(waiting.enter(|cx, _| channel.poll_ready(cx)).is_pending());
    assert!(is_reset(channel.lost()));
    assert!(waiting.is_woken());
    // No other poll: this one drives the connection, too.
    channel.ready().await.unwrap();
    assert_eq!(make.instances(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_loss_wakes_the_driver_to_report_it() {
    for breaks in [true, false] {
        let make = MakePipe::default();
        let (mut channel, _states) = connected(&make, ReconnectPolicy::new()).await;
        make.pipe().stick(true);
        send(&mut channel, 1).await;
        if breaks {
            make.pipe().break_it();
        } else {
            make.pipe().end();
            rest(&mut channel).await;
            advance(Duration::from_millis(501)).await;
        }
        let mut driver = tokio_test::task::spawn(());
        let next = driver.enter(|cx, _| Pin::new(&mut channel).poll_next(cx));
        assert!(next.is_pending() && driver.is_woken());
        assert!(channel.lost().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_peers_orderly_end_what_was_called_is_flushed() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    let first = make.pipe();
    first.stick(true);
    send(&mut channel, 1).await;
    first.end();
    idle(&mut channel, 0.4).await;
    assert!(states.is_connected());
    first.stick(false);
    rest(&mut channel).await;
    assert_eq!(first.taken(), [1]);
    assert!(first.is_released());
    assert!(channel.lost().is_none());
    flush(&mut channel).await.unwrap(); // all is with the kernel
    assert_eq!(states.state().kind(), StateKind::Reconnecting);
}

#[tokio::test(start_paused = true)]
async fn a_flush_to_a_peer_that_has_ended_and_takes_nothing_times_out_after_half_a_second() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    let first = make.pipe();
    first.stick(true);
    send(&mut channel, 1).await;
    first.end();
    idle(&mut channel, 0.49).await;
    assert!(states.is_connected());
    idle(&mut channel, 0.02).await;
    assert_eq!(states.state().kind(), StateKind::Reconnecting);
    assert!(matches!(channel.lost(), Some(DisconnectReason::Closed)));
    assert!(channel.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_sent_before_writing_failed_is_read() {
    let make = MakePipe::default();
    let (mut channel, _states) = connected(&make, ReconnectPolicy::new()).await;
    let first = make.pipe();
    send(&mut channel, 1).await;
    first.deliver(7);
    first.deliver(8);
    first.fail_writes();
    let flushing = poll_fn(|cx| Poll::Ready(channel.poll_flush(cx))).await;
    assert!(flushing.is_pending());
    assert_eq!((hear(&mut channel).await, hear(&mut channel).await), (7, 8));
    idle(&mut channel, 0.51).await;
    let lost = channel.lost().unwrap();
    assert!(lost.to_string().contains("broken pipe"), "{lost}");
    channel.ready().await.unwrap();
    assert_eq!(make.instances(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_left_in_good_order_while_it_was_written_to_has_closed() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    send(&mut channel, 1).await;
    make.pipe().deliver(7);
    make.pipe().fail_writes();
    make.pipe().end();
    let flushing = poll_fn(|cx| Poll::Ready(channel.poll_flush(cx))).await;
    assert!(flushing.is_pending());
    assert_eq!(hear(&mut channel).await, 7);
    rest(&mut channel).await;
    assert!(matches!(channel.lost(), Some(DisconnectReason::Closed)));
    assert_eq!(states.state().kind(), StateKind::Reconnecting);
}

#[tokio::test(start_paused = true)]
async fn closing_while_a_half_closed_connection_is_flushed_is_for_good_too() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    let pipe = make.pipe();
    pipe.stick(true);
    send(&mut channel, 1).await;
    pipe.end();
    rest(&mut channel).await;
    let closing = poll_fn(|cx| Poll::Ready(channel.poll_close(cx))).await;
    assert!(closing.is_pending());
    assert!(channel.next().await.is_none());
    pipe.stick(false);
    close(&mut channel).await.unwrap();
    assert!(pipe.is_closed() && channel.lost().is_none());
    assert_eq!((pipe.taken(), make.instances()), (vec![1], 1));
    assert_eq!(states.state().kind(), StateKind::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn waits_grow_with_a_peer_that_accepts_and_closes_at_once() {
    let make = MakePipe::default();
    let (mut channel, _states) = connecting(&make).await;
    for _ in 0..4 {
        let made = make.instances();
        while make.instances() == made {
            let _ = timeout(Duration::from_millis(10), channel.next()).await;
        }
        make.pipe().end();
    }
    let attempts = make.attempts();
    for (attempt, expected) in attempts.iter().zip([0.0, 2.0, 6.0, 14.0]) {
        assert!((attempt - expected).abs() < 0.1, "{attempts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_or_five_seconds_make_a_connection_useful() {
    for says in [true, false] {
        let make = MakePipe::default();
        make.refuse(2);
        let (mut channel, states) = connecting(&make).await;
        idle(&mut channel, 6.5).await;
        assert!(states.is_connected());
        if says {
            make.pipe().deliver(1);
            assert_eq!(hear(&mut channel).await, 1);
        } else {
            // Not polled: the time is checked when the connection ends.
            sleep(Duration::from_secs(5)).await;
        }
        make.pipe().end();
        rest(&mut channel).await;
        assert_eq!(
            states.state().to_string(),
            "reconnecting (attempt 1 after 1s)"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn closing_flushes_and_is_for_good() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    let pipe = make.pipe();
    pipe.stick(true);
    send(&mut channel, 1).await;
    let closing = poll_fn(|cx| Poll::Ready(channel.poll_close(cx))).await;
    assert!(closing.is_pending());
    pipe.stick(false);
    close(&mut channel).await.unwrap();
    assert!(pipe.is_closed());
    assert_eq!(pipe.taken(), [1]);
    pipe.deliver(2); // the other direction may still be read
    assert_eq!(hear(&mut channel).await, 2);
    pipe.end();
    assert!(channel.next().await.is_none());
    sleep(Duration::from_secs(60)).await;
    assert!(channel.next().await.is_none());
    assert_eq!(make.instances(), 1);
    let state = states.state();
    assert_eq!(state.to_string(), "disconnected (disconnected on purpose)");
}

#[tokio::test(start_paused = true)]
async fn closing_without_a_connection_is_ready_at_once() {
    for plan in [Plan::Hangs, Plan::Refused] {
        let make = MakePipe::default();
        make.plan([plan]);
        let (mut channel, states) = connecting(&make).await;
        rest(&mut channel).await;
        let closed = poll_fn(|cx| Poll::Ready(channel.poll_close(cx))).await;
        assert!(matches!(closed, Poll::Ready(Ok(()))));
        assert!(channel.next().await.is_none());
        assert!(channel.ready().await.is_err());
        assert!(!channel.interrupt(DisconnectReason::Closed));
        let state = states.state();
        assert_eq!(state.to_string(), "disconnected (disconnected on purpose)");
        assert_eq!(make.instances(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_one_passes() {
    let make = MakePipe::default();
    let (mut channel, states) = link(&make, ReconnectPolicy::new(), Target::Accepted).await;
    assert_eq!(make.instances(), 1);
    send(&mut channel, 1).await;
    flush(&mut channel).await.unwrap();
    make.pipe().deliver(2);
    assert_eq!(hear(&mut channel).await, 2);
    assert!(!channel.interrupt(DisconnectReason::Closed));
    make.pipe().end();
    assert!(channel.next().await.is_none());
    send(&mut channel, 3).await; // it may still read
    close(&mut channel).await.unwrap();
    assert_eq!(make.pipe().taken(), [1, 3]);
    assert!(matches!(
        states.state(),
        State::Disconnected { reason: None }
    ));
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_ends_as_the_channel_below_does() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::off()).await;
    assert!(!channel.interrupt(DisconnectReason::Closed));
    make.pipe().end();
    assert!(channel.next().await.is_none());
    assert_eq!(
        states.state().to_string(),
        "disconnected (closed by the peer)"
    );
    send(&mut channel, 3).await; // it may still read
    close(&mut channel).await.unwrap();
    assert_eq!(make.pipe().taken(), [3]);
    assert!(channel.lost().is_none());

    let (mut channel, states) = connected(&make, ReconnectPolicy::off()).await;
    make.pipe().break_it();
    let Some(Err(reason)) = channel.next().await else {
        panic!("the reason")
    };
    assert!(is_reset(Some(reason)) && channel.lost().is_none());
    assert_eq!(states.state().kind(), StateKind::Disconnected);

    make.refuse(1);
    let (mut channel, _states) = link(&make, ReconnectPolicy::off(), Target::Connect).await;
    assert!(matches!(
        channel.next().await,
        Some(Err(DisconnectReason::Error(_)))
    ));
    assert_eq!(make.attempts().len(), 3);

    let (mut channel, _states) = connected(&make, ReconnectPolicy::off()).await;
    make.pipe().deliver(9);
    make.pipe().fail_writes();
    send(&mut channel, 1).await;
    assert!(flush(&mut channel).await.is_err());
    assert_eq!(hear(&mut channel).await, 9);
}

#[tokio::test(start_paused = true)]
async fn interrupted_it_takes_another_connection() {
    let make = MakePipe::default();
    let (mut channel, states) = connected(&make, ReconnectPolicy::new()).await;
    let stuck = make.pipe();
    assert!(channel.interrupt(DisconnectReason::error("stalled")));
    assert!(stuck.is_released());
    assert_eq!(states.state().kind(), StateKind::Reconnecting);
    assert!(channel.interrupt(DisconnectReason::error("again"))); // nothing to give up
    assert_eq!(channel.lost().unwrap().to_string(), "stalled");
    idle(&mut channel, 2.1).await;
    assert_eq!(make.instances(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_too_late_says_that_it_was_not_sent() {
    let make = MakePipe::default();
    let (mut channel, _states) = connected(&make, ReconnectPolicy::new()).await;
    channel.ready().await.unwrap();
    make.pipe().break_it();
    rest(&mut channel).await;
    let refused = channel.call(1).await.unwrap_err();
    assert_eq!(refused.to_string(), "not sent: there is no connection");
}

#[tokio::test(start_paused = true)]
async fn towers_backoff_fits_and_starts_over() {
    let make = MakePipe::default();
    make.refuse(3);
    let (base, max) = (Duration::from_millis(100), Duration::from_secs(10));
    let backoff = ExponentialBackoffMaker::new(base, max, 0.0, HasherRng::default()).unwrap();
    let layer = ReconnectLayer::with_backoff(backoff);
    let states = layer.state_watch();
    let mut delays = Vec::new();
    let mut transitions = states.transitions();
    let service = layer.layer(make.clone());
    let mut channel = service.oneshot(Target::Connect).await.unwrap();
    let _ = timeout(Duration::from_secs(8), channel.next()).await;
    make.pipe().end();
    let _ = timeout(Duration::from_secs(1), channel.next()).await;
    drop((channel, layer, states));
    while let Some(transition) = transitions.next().await {
        if let State::Reconnecting { delay, .. } = transition.unwrap().to {
            delays.push(delay.unwrap().as_millis());
        }
    }
    // tower begins with the base itself and doubles from there.
    assert_eq!(delays.len(), 4);
    assert!(delays[0] < delays[1] && delays[1] < delays[2], "{delays:?}");
    assert_eq!(delays[0], delays[3], "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn states_are_waited_for_watched_and_reported_one_by_one() {
    let make = MakePipe::default();
    make.refuse(1);
    let layer = ReconnectLayer::new(Exact(ReconnectPolicy::new()));
    let states = layer.state_watch();
    let mut transitions = states.transitions();
    let watch = states.watch();
    let started = Instant::now();
    let task = tokio::spawn({
        let make = make.clone();
        async move {
            let mut channel = layer.layer(make).oneshot(Target::Connect).await.unwrap();
            let _ = channel.next().await;
        }
    });
    states.wait_for_kind(StateKind::Reconnecting).await;
    let waited = states
        .wait_for(|state| matches!(state, State::Connected))
        .await;
    assert_eq!(waited.kind(), StateKind::Connected);
    assert_eq!(started.elapsed().as_secs(), 2);
    // Not longer than a timeout of the caller's.
    let disconnected = states.wait_for_kind(StateKind::Disconnected);
    let disconnected = timeout(Duration::from_secs(1), disconnected).await;
    assert!(disconnected.is_err());
    assert_eq!(started.elapsed().as_secs(), 3);
    assert!(watch.has_changed().unwrap());
    task.abort();
    assert!(task.await.is_err());
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(transitions.next().await.unwrap().unwrap().to.to_string());
    }
    assert_eq!(
        seen,
        [
            "connecting (attempt 1)",
            "reconnecting (attempt 2 after 2s)",
            "connecting (attempt 2)",
            "connected",
            "disconnected (disconnected on purpose)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_receiver_of_transitions_gets_the_number_that_it_missed() {
    let make = MakePipe::default();
    make.refuse(200);
    let policy = ReconnectPolicy::new().max_attempts(u32::MAX);
    let (mut channel, states) = link(&make, policy.max(Duration::ZERO), Target::Connect).await;
    let mut transitions = states.transitions();
    rest_until_connected(&mut channel, &states).await;
    // 200 failures, each followed by an attempt, and the connection.
    assert!(matches!(transitions.next().await, Some(Err(Missed(145)))));
    assert!(matches!(transitions.next().await, Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_connection_ends_when_there_will_be_none() {
    let make = MakePipe::default();
    let (channel, states) = connecting(&make).await;
    let waiting = tokio::spawn({
        let states = states.clone();
        async move { states.wait_for_kind(StateKind::Connected).await }
    });
    tokio::task::yield_now().await;
    drop(channel);
    let end = timeout(Duration::from_secs(1), waiting).await;
    let end = end.unwrap().unwrap();
    assert_eq!(end.to_string(), "disconnected (disconnected on purpose)");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_at_each_transition_costs_neither_the_channel_nor_the_process() {
    let make = MakePipe::default();
    make.refuse(1);
    let layer = ReconnectLayer::new(Exact(ReconnectPolicy::new()))
        .on_transition(|transition| panic!("as the test wants it: {}", transition.to));
    let states = layer.state_watch();
    let task = tokio::spawn(async move {
        let mut channel = layer.layer(make).oneshot(Target::Connect).await.unwrap();
        channel.next().await.is_none()
    });
    states.wait_for_kind(StateKind::Connected).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(
        states.state().to_string(),
        "disconnected (disconnected on purpose)"
    );
}

async fn rest_until_connected(channel: &mut Link, states: &StateWatch) {
    while !states.is_connected() {
        let _ = timeout(Duration::from_millis(1), channel.next()).await;
        advance(Duration::from_millis(1)).await;
    }
}
