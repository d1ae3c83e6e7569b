//! The bus of kyneta-uds, with its default settings. The process that listens is a member like the others.
//!
//! In: a path, a task. Out: a process in each part: hub, receiver, sender, asker. May touch: the path, the clock for
//! latencies.

use std::{cell::RefCell, convert::Infallible, path::Path, rc::Rc, sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::future::{join_all, ready};
use kyneta_uds::{Bus, BusIncoming, Identity, bus::Delivery};
use tokio::time::sleep;
use tower::{Service, ServiceExt as _, service_fn};

use crate::{
    BoxError,
    process::{Report, may_begin},
    tally::{Latencies, Tally},
    works::{Task, Work},
};

async fn join<H, F>(
    path: &Path,
    id: &str,
    delivery: Delivery,
    handler: H,
) -> Result<Bus<Bytes>, BoxError>
where
    H: Service<BusIncoming<Bytes>, Response = (), Error = Infallible, Future = F> + Send + 'static,
    F: Future<Output = Result<(), Infallible>> + Send + 'static,
{
    let bus = Bus::builder(path)
        .identity(Identity::service(id)?)
        .delivery(delivery)
        .join(handler);
    Ok(bus.await?)
}

fn ignore() -> impl Service<
    BusIncoming<Bytes>,
    Response = (),
    Error = Infallible,
    Future = std::future::Ready<Result<(), Infallible>>,
> + Send
+ 'static {
    service_fn(|_: BusIncoming<Bytes>| std::future::ready(Ok(())))
}

pub(super) async fn hub(path: &Path) -> Result<(), BoxError> {
    let _bus = join(path, "hub", Delivery::Once, ignore()).await?;
    Report::Ready.tell();
    std::future::pending().await
}

pub(super) async fn receive(path: &Path, number: usize, task: Task) -> Result<(), BoxError> {
    let tally = Mutex::new(Tally::new(task));
    let count = service_fn(move |incoming: BusIncoming<Bytes>| {
        if let Ok(mut tally) = tally.lock() {
            tally.count(&incoming.message);
        }
        ready(Ok(()))
    });
    let _bus = join(path, &format!("receiver-{number}"), Delivery::Once, count).await?;
    Report::Ready.tell();
    std::future::pending().await
}

/// Waits until all others are listed.
async fn has_met(bus: &Bus<Bytes>, others: usize) {
    while bus.members().len() < others {
        sleep(Duration::from_millis(1)).await;
    }
}

pub(super) async fn publish(path: &Path, task: Task, is_fast: bool) -> Result<(), BoxError> {
    let delivery = match is_fast {
        true => Delivery::Fast,
        false => Delivery::Once,
    };
    let mut bus = join(path, "sender", delivery, ignore()).await?;
    has_met(&bus, task.work.receivers() + 1).await;
    may_begin().await?;
    for nth in 0..task.count {
        let message = task.message(nth).into();
        drop(bus.ready().await?.call(message));
    }
    // It stays a member.
    std::future::pending().await
}

pub(super) async fn answer(path: &Path) -> Result<(), BoxError> {
    let answer = service_fn(|incoming: BusIncoming<Bytes>| {
        if let Some(request) = incoming.request {
            // The asker may have ended.
            let _ = request.answer(&incoming.message);
        }
        ready(Ok(()))
    });
    let _bus = join(path, "receiver-0", Delivery::Once, answer).await?;
    Report::Ready.tell();
    std::future::pending().await
}

pub(super) async fn ask(path: &Path, task: Task, window: u64) -> Result<Latencies, BoxError> {
    let bus = join(path, "sender", Delivery::Once, ignore()).await?;
    has_met(&bus, 2).await;
    let member = bus.member("receiver-0")?;
    may_begin().await?;
    let latencies = Rc::new(RefCell::new(Latencies::new(task)));
    let next = RefCell::new(0..task.count);
    let asker = || async {
        let (mut bus, mut member) = (bus.clone(), member.clone());
        loop {
            let Some(nth) = next.borrow_mut().next() else {
                return Ok::<_, BoxError>(());
            };
            latencies.borrow_mut().asked(nth);
            let message = task.message(nth).into();
            match task.work {
                Work::Awaited => drop(bus.ready().await?.call(message).await?),
                _ => drop(member.request(message).await?),
            }
            latencies.borrow_mut().answered(nth);
        }
    };
    for done in join_all((0..window).map(|_| asker())).await {
        done?;
    }
    Rc::into_inner(latencies)
        .map(RefCell::into_inner)
        .ok_or_else(|| "a request is still open".into())
}
