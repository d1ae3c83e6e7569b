//! Round trips at a pace, measured, on a thread of their own.
//!
//! In: how many do them and how often, what makes one of them. Out: when each round trip was due, and how long it took.
//! May touch: a thread, with a runtime of tokio's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A round trip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trip {
    /// When it was due.
    pub(crate) due: Instant,
    /// How long it took from then on.
    pub(crate) took: Duration,
}

/// Does round trips, one after the other.
pub(crate) trait RoundTrips: Send + 'static {
    /// Ready when it is answered. The first has number 0.
    fn round_trip(&mut self, number: u32) -> impl Future<Output = ()> + Send;
}

pub(crate) struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Trip>>,
}

impl Paced {
    /// `count` of what `make` makes, each with one round trip in each interval `every`. All are made when this returns.
    pub(crate) fn start<R: RoundTrips>(
        count: u32,
        every: Duration,
        make: impl AsyncFn(u32) -> R + Send + 'static,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let until = stop.clone();
        let (ready, all_ready) = sync_channel(0);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut made = Vec::new();
                for number in 0..count {
                    made.push(make(number).await);
                }
                ready.send(()).unwrap();
                let start = Instant::now();
                let mut all = JoinSet::new();
                for (number, one) in (0..).zip(made) {
                    // Spread over the interval.
                    let first = start + every * number / count;
                    all.spawn(round_trips(one, first, every, until.clone()));
                }
                all.join_all().await.concat()
            })
        });
        all_ready.recv().unwrap();
        Self { stop, thread }
    }

    /// All round trips; each was answered.
    pub(crate) fn finish(self) -> Vec<Trip> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// A round trip that begins late because the one before it has not ended counts from when it was due. One
/// that begins late because this thread was late does not.
async fn round_trips(
    mut one: impl RoundTrips,
    mut due: Instant,
    every: Duration,
    until: Arc<AtomicBool>,
) -> Vec<Trip> {
    let mut trips = Vec::new();
    for number in 0.. {
        let late = due <= Instant::now();
        sleep_until(due).await;
        if until.load(Ordering::SeqCst) {
            break;
        }
        let began = if late { due } else { Instant::now() };
        one.round_trip(number).await;
        let took = began.elapsed();
        trips.push(Trip { due, took });
        due += every;
    }
    trips
}
