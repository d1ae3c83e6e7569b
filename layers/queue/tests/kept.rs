//! Memory that the channel keeps for large messages is freed after a while.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, future::ready, time::Duration};

use kyneta_uds_core::Inbound;
use kyneta_uds_queue::{QueueConfig, queue};
use support::{Num, Pipe};
use tokio::time::{advance, sleep};
use tower::service_fn;

#[tokio::test(start_paused = true)]
async fn the_channel_is_to_free_what_it_keeps_every_20_ms_until_nothing_is_kept() {
    let pipe = Pipe::with_room(100);
    let (_handle, driver) = queue(QueueConfig::default());
    let ignore = service_fn(|_: Num| ready(Ok::<_, Infallible>(())));
    tokio::spawn(driver.drive(pipe.clone(), ignore));
    let kept = || pipe.0.lock().unwrap().kept;
    for _ in 0..3 {
        pipe.0.lock().unwrap().kept = 2;
        pipe.deliver(Inbound::Message(Num(1)));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(kept(), 2);
        for left in [1, 0] {
            advance(Duration::from_millis(19)).await;
            assert_eq!(kept(), left + 1);
            sleep(Duration::from_millis(2)).await;
            assert_eq!(kept(), left);
        }
        // It would be below 0 if it were asked again.
        sleep(Duration::from_secs(1)).await;
    }
}
