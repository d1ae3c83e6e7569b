//! Passes packets on between the machines, at once or after a delay that differs from packet to packet: then they change
//! their order.

use std::{
    fs::File,
    net::SocketAddr,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{net::UdpSocket, runtime::Builder, time::sleep};

use super::{super::three::MACHINES, net::port};

/// Runs in a thread of its own, until the process ends.
pub(super) struct Forwarder {
    /// Milliseconds.
    delay: Arc<AtomicU64>,
}

impl Forwarder {
    /// In this namespace. Ready when packets are passed on.
    pub(super) fn start(namespace: &str) -> Self {
        let delay = Arc::new(AtomicU64::new(0));
        let file = File::open(format!("/run/netns/{namespace}")).unwrap();
        let (ready, is_ready) = channel();
        let shared = delay.clone();
        thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let pairs = (0..MACHINES.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
                for (a, b) in pairs {
                    let (of_a, of_b) = (socket(a, b).await, socket(b, a).await);
                    tokio::spawn(pass(of_a.clone(), of_b.clone(), machine(b), shared.clone()));
                    tokio::spawn(pass(of_b, of_a, machine(a), shared.clone()));
                }
                ready.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        is_ready.recv().unwrap();
        Self { delay }
    }

    /// Each packet takes so long, and up to a fifth more.
    pub(super) fn delay(&self, delay: Duration) {
        self.delay
            .store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

/// Where `of` sees the machine `other`.
async fn socket(of: usize, other: usize) -> Arc<UdpSocket> {
    let address = SocketAddr::from(([10, 77, of as u8, 1], port(other)));
    Arc::new(UdpSocket::bind(address).await.unwrap())
}

fn machine(machine: usize) -> SocketAddr {
    SocketAddr::from(([10, 77, machine as u8, 2], port(machine)))
}

async fn pass(from: Arc<UdpSocket>, to: Arc<UdpSocket>, at: SocketAddr, delay: Arc<AtomicU64>) {
    let mut packet = vec![0; 65_536];
    let mut count = 0;
    loop {
        // While a cable is out, the kernel reports errors of packets that were sent before.
        let Ok((length, _)) = from.recv_from(&mut packet).await else {
            continue;
        };
        let packet = packet[..length].to_vec();
        match delay.load(Ordering::Relaxed) {
            0 => drop(to.send_to(&packet, at).await),
            millis => {
                count += 1;
                let more = count * 7919 % (millis * 200 + 1);
                let time = Duration::from_micros(millis * 1000 + more);
                let to = to.clone();
                tokio::spawn(async move {
                    sleep(time).await;
                    let _ = to.send_to(&packet, at).await;
                });
            }
        }
    }
}
