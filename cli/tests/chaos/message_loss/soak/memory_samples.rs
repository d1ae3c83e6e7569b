//! What the processes that stay hold: looked at every ten seconds, written into a file, compared.
//!
//! In: their names and numbers. Out: a [`Chart`] for each, and a table.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::support::common::vitals;

const EVERY: Duration = Duration::from_secs(10);

/// What is held after so long is compared with what is held at the end; each is what is seen for this
/// long.
const FIRST: Duration = Duration::from_secs(60);
const SEEN: Duration = Duration::from_secs(30);

/// What may have come on top, bytes: the allocator does not give back all at once.
const MAY_GROW: usize = 1 << 20;

/// Somebody may be coming or going whenever one looks.
const MAY_OPEN: usize = 2;

#[derive(Debug, Clone, Copy)]
struct Look {
    after: Duration,
    resident: usize,
    descriptors: usize,
    threads: usize,
}

/// What one process held, all the time.
#[derive(Debug)]
pub(super) struct Chart {
    who: String,
    looks: Vec<Look>,
}

/// Looks at them until told not to.
pub(super) struct Nurse {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Chart>>,
}

impl Nurse {
    pub(super) fn start(processes: Vec<(String, u32)>) -> Self {
        let (stop, stopped) = channel();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.csv");
        println!("what is seen is written into {}", file.display());
        let mut file = File::create(file).unwrap();
        writeln!(file, "seconds,process,resident,descriptors,threads").unwrap();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut charts: Vec<Chart> = processes
                .iter()
                .map(|(who, _)| Chart {
                    who: who.clone(),
                    looks: Vec::new(),
                })
                .collect();
            let mut next = start;
            while stopped.recv_timeout(next.saturating_duration_since(Instant::now()))
                == Err(RecvTimeoutError::Timeout)
            {
                for (chart, (who, pid)) in charts.iter_mut().zip(&processes) {
                    let look = Look {
                        after: start.elapsed(),
                        resident: vitals::resident_bytes(pid),
                        descriptors: vitals::descriptors(pid),
                        threads: vitals::threads(pid),
                    };
                    let (seconds, kib) = (look.after.as_secs(), look.resident >> 10);
                    let Look {
                        descriptors,
                        threads,
                        ..
                    } = look;
                    writeln!(
                        file,
                        "{seconds},\"{who}\",{kib} KiB,{descriptors},{threads}"
                    )
                    .unwrap();
                    chart.looks.push(look);
                }
                next += EVERY;
            }
            charts
        });
        Self { stop, thread }
    }

    pub(super) fn finish(self) -> Vec<Chart> {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

impl Chart {
    /// The median of what was seen in a while.
    fn held(&self, of: impl Fn(&Look) -> usize, from: Duration, to: Duration) -> usize {
        let looks = self.looks.iter();
        let seen = looks.filter(|look| look.after >= from && look.after <= to);
        let mut seen: Vec<usize> = seen.map(of).collect();
        seen.sort_unstable();
        seen[seen.len() / 2]
    }

    /// After the first minute, and at the end.
    fn compared(&self, of: impl Fn(&Look) -> usize) -> [usize; 2] {
        let last = self.looks.last().unwrap().after;
        [
            self.held(&of, FIRST, FIRST + SEEN),
            self.held(&of, last - SEEN, last),
        ]
    }
}

/// A table, and whether all is as it was.
pub(super) fn report(charts: &[Chart]) {
    println!(
        "\n| process | resident after a minute, KiB | at the end | at most | descriptors | threads |"
    );
    println!("|---|---|---|---|---|---|");
    for chart in charts {
        let [resident, descriptors, threads] = compared(chart);
        let most = chart.looks.iter().map(|look| look.resident).max();
        println!(
            "| {} | {} | {} | {} | {}, {} | {}, {} |",
            chart.who,
            resident[0] >> 10,
            resident[1] >> 10,
            most.unwrap() >> 10,
            descriptors[0],
            descriptors[1],
            threads[0],
            threads[1],
        );
    }
    for chart in charts {
        let who = &chart.who;
        let [resident, descriptors, threads] = compared(chart);
        assert!(resident[1] <= resident[0] + MAY_GROW, "{who}: {resident:?}");
        assert!(
            descriptors[1] <= descriptors[0] + MAY_OPEN,
            "{who}: {descriptors:?}"
        );
        assert!(threads[1] <= threads[0], "{who}: {threads:?}");
    }
}

fn compared(chart: &Chart) -> [[usize; 2]; 3] {
    [
        chart.compared(|look| look.resident),
        chart.compared(|look| look.descriptors),
        chart.compared(|look| look.threads),
    ]
}
