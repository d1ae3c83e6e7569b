//! Runs: a channel takes several waiting messages where they are.
//!
//! A failure shows the outcome of one message's future.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests.

mod support;

use kyneta_uds_core::Message;
use kyneta_uds_queue::{Handle, QueueConfig, SendError, SendFuture, queue};
use support::{Num, Pipe, PipeOf, REFUSED};
use tokio::task::{JoinHandle, yield_now};
use tower::{Service as _, ServiceExt as _, service_fn};

fn start(pipe: &Pipe) -> (Handle<Num>, JoinHandle<()>) {
    let (handle, driver) = queue(QueueConfig::default());
    let ignore = service_fn(async |_: Num| Ok::<(), std::convert::Infallible>(()));
    let drive = driver.drive(pipe.clone(), ignore);
    (handle, tokio::spawn(async move { drop(drive.await) }))
}

async fn call<M: Message>(
    handle: &mut Handle<M>,
    msgs: impl IntoIterator<Item = M>,
) -> Vec<SendFuture<M>> {
    let mut sends = Vec::new();
    for msg in msgs {
        sends.push(handle.ready().await.unwrap().call(msg));
    }
    sends
}

fn in_place(pipe: &Pipe) -> usize {
    pipe.0.lock().unwrap().in_place
}

#[tokio::test]
async fn several_are_taken_in_place_and_a_single_one_is_called_with() {
    let pipe = Pipe::with_room(100);
    let (mut handle, _task) = start(&pipe);
    for send in call(&mut handle, [Num(0)]).await {
        send.await.unwrap();
    }
    assert_eq!(in_place(&pipe), 0);
    for send in call(&mut handle, [Num(1), Num(2), Num(3)]).await {
        send.await.unwrap();
    }
    assert_eq!(in_place(&pipe), 3);
    // The next run is declined: each is called with.
    for send in call(&mut handle, [Num(4), Num(5)]).await {
        send.await.unwrap();
    }
    assert_eq!(in_place(&pipe), 3);
    assert_eq!(pipe.taken(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(handle.queued(), (0, 0));
}

#[tokio::test]
async fn what_is_refused_in_a_run_fails_alone() {
    let pipe = Pipe::with_room(100);
    let (mut handle, _task) = start(&pipe);
    let sends = call(&mut handle, [Num(0), Num(1), REFUSED, Num(3), Num(4)]).await;
    let mut outcomes = Vec::new();
    for send in sends {
        outcomes.push(send.await.map_err(|error| error.to_string()));
    }
    let refused = Err("message refused: broken".to_owned());
    assert_eq!(outcomes, [Ok(()), Ok(()), refused, Ok(()), Ok(())]);
    assert_eq!(pipe.taken(), [0, 1, 3, 4]);
    assert_eq!(handle.queued(), (0, 0));
}

/// Panics when it is dropped, if so.
struct Fragile(bool);

impl Message for Fragile {
    fn size(&self) -> usize {
        1
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.0 {
            self.0 = false;
            panic!("dropped");
        }
    }
}

#[tokio::test]
async fn after_a_panic_what_was_taken_may_have_been_sent_and_the_rest_was_not() {
    let (mut handle, driver) = queue(QueueConfig::default());
    let ignore = service_fn(async |_: Fragile| Ok::<(), std::convert::Infallible>(()));
    let task = tokio::spawn(driver.drive(PipeOf::default(), ignore));
    let fragile = [false, true, false, false].map(Fragile);
    let sends = call(&mut handle, fragile).await;
    assert!(task.await.unwrap_err().is_panic());
    yield_now().await;
    let mut maybe = Vec::new();
    for send in sends {
        let error: SendError = send.await.unwrap_err();
        maybe.push(error.may_have_been_sent());
    }
    assert_eq!(maybe, [true, true, false, false]);
}
