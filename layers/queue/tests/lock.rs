//! No code of the user runs under the queue's lock, so it may use the queue wherever it runs.
//!
//! A failure is a deadlock: nothing has come after twenty seconds.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use kyneta_uds_queue::{Handle, QueueConfig, QueueEvent, queue};
use support::{Num, Pipe};
use tokio::runtime::Builder;
use tokio_test::{assert_pending, task};
use tower::{Service, service_fn};

/// Runs `what` on a thread of its own: one that waits for a lock that it holds never ends.
fn must_end(what: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        what();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(20)).unwrap();
}

fn ignore() -> impl Service<Num, Response = (), Error = Infallible, Future: Send> + Clone + Send {
    service_fn(|_: Num| std::future::ready(Ok::<(), Infallible>(())))
}

/// A waker that looks at the queue when it is woken and when it is dropped.
struct Looks(Mutex<Handle<Num>>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().queued();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.get_mut().unwrap().queued();
    }
}

fn looks(handle: &Handle<Num>) -> Waker {
    Arc::new(Looks(Mutex::new(handle.clone()))).into()
}

#[test]
fn an_event_may_look_at_the_queue() {
    must_end(|| {
        let seen: Arc<OnceLock<Mutex<Handle<Num>>>> = Arc::default();
        let looked = Arc::new(Mutex::new(0));
        let config = QueueConfig::default().max_messages(1).on_event({
            let (seen, looked) = (seen.clone(), looked.clone());
            move |event| {
                if let (QueueEvent::HighWater { .. }, Some(handle)) = (event, seen.get()) {
                    *looked.lock().unwrap() = handle.lock().unwrap().queued().0;
                }
            }
        });
        let (handle, driver) = queue(config);
        seen.set(Mutex::new(handle.clone())).unwrap();
        let mut handle = handle;
        let mut enqueue = task::spawn(handle.queue(Num(1)));
        assert!(enqueue.poll().is_ready());
        drop(enqueue);
        assert_pending!(task::spawn(driver.drive(Pipe::with_room(0), ignore())).poll());
        assert_eq!(*looked.lock().unwrap(), 1);
    });
}

#[test]
fn the_drivers_waker_may_look_at_the_queue_whichever_way_a_message_comes() {
    must_end(|| {
        for by_call in [false, true] {
            let (mut handle, driver) = queue(QueueConfig::default());
            let mut drive = Box::pin(driver.drive(Pipe::with_room(0), ignore()));
            let waker = looks(&handle);
            assert_pending!(drive.as_mut().poll(&mut Context::from_waker(&waker)));
            if by_call {
                drop(handle.call(Num(1)));
            } else {
                assert!(task::spawn(handle.queue(Num(1))).poll().is_ready());
            }
        }
    });
}

#[test]
fn the_drivers_waker_may_look_at_the_queue_at_each_order_of_a_handoff() {
    must_end(|| {
        let (handle, driver) = queue(QueueConfig::default());
        let mut drive = Box::pin(driver.drive(Pipe::with_room(0), ignore()));
        let waker = looks(&handle);
        let orders: [fn(&Handle<Num>); 7] = [
            |handle| handle.send_ahead(drop),
            |handle| handle.put_aside(drop),
            |handle| handle.quiesce(drop),
            Handle::make_room,
            |handle| handle.freeze(drop),
            Handle::thaw,
            Handle::abort,
        ];
        for order in orders {
            let _ = drive.as_mut().poll(&mut Context::from_waker(&waker));
            order(&handle);
        }
    });
}

/// Polls `future` with one waker that looks at the queue, then with another, then drops it.
fn polled_by_two(handle: &Handle<Num>, future: impl Future) {
    let mut future = Box::pin(future);
    for _ in 0..2 {
        let waker = looks(handle);
        let _ = future.as_mut().poll(&mut Context::from_waker(&waker));
    }
}

#[test]
fn a_waker_that_another_takes_the_place_of_may_look_at_the_queue() {
    must_end(|| {
        let (mut handle, driver) = queue(QueueConfig::default().max_messages(1));
        let other = handle.clone();
        polled_by_two(&other, handle.call(Num(1)));
        polled_by_two(&other, handle.flushed());
        polled_by_two(&other, handle.closed());
        polled_by_two(&other, handle.queue(Num(2)));
        polled_by_two(&other, driver.drive(Pipe::with_room(0), ignore()));
    });
}

/// The smallest executor there is: a task is its own waker, which owns what the task owns.
struct Owns {
    _future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Wake for Owns {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_the_last_handle() {
    must_end(|| {
        let (handle, _driver) = queue::<Num>(QueueConfig::default());
        let mut closed = Box::pin(handle.closed());
        let owns = async move {
            let _handle = handle;
            pending::<()>().await;
        };
        let waker: Waker = Arc::new(Owns {
            _future: Mutex::new(Some(Box::pin(owns))),
        })
        .into();
        assert_pending!(closed.as_mut().poll(&mut Context::from_waker(&waker)));
        drop(waker);
        // The waker of the first task gives way, and with it the last handle.
        let noop = &mut Context::from_waker(Waker::noop());
        assert_pending!(closed.as_mut().poll(noop));
    });
}
