//! Memory, descriptors and threads of the processes that stay: sampled every ten seconds, written to a file,
//! compared.
//!
//! In: their names and pids. Out: a [`Chart`] for each, and a table.

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

/// The samples after a minute are compared with those at the end; each is a median over this span.
const FIRST: Duration = Duration::from_secs(60);
const SPAN: Duration = Duration::from_secs(30);

/// Growth allowed, bytes: the allocator does not return all memory at once.
const MAY_GROW: usize = 1 << 20;

/// Descriptors of connections that open or close at the time of a sample.
const MAY_OPEN: usize = 2;

#[derive(Debug, Clone, Copy)]
struct Sample {
    after: Duration,
    resident: usize,
    descriptors: usize,
    threads: usize,
}

/// The samples of one process.
#[derive(Debug)]
pub(super) struct Chart {
    id: String,
    samples: Vec<Sample>,
}

/// Takes samples until it is stopped.
pub(super) struct MemorySampler {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Chart>>,
}

impl MemorySampler {
    pub(super) fn start(processes: Vec<(String, u32)>) -> Self {
        let (stop, stopped) = channel();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.csv");
        println!("the samples are written to {}", file.display());
        let mut file = File::create(file).unwrap();
        writeln!(file, "seconds,process,resident,descriptors,threads").unwrap();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut charts: Vec<Chart> = processes
                .iter()
                .map(|(id, _)| Chart {
                    id: id.clone(),
                    samples: Vec::new(),
                })
                .collect();
            let mut next = start;
            while stopped.recv_timeout(next.saturating_duration_since(Instant::now()))
                == Err(RecvTimeoutError::Timeout)
            {
                for (chart, (id, pid)) in charts.iter_mut().zip(&processes) {
                    let sample = Sample {
                        after: start.elapsed(),
                        resident: vitals::resident_bytes(pid),
                        descriptors: vitals::descriptors(pid),
                        threads: vitals::threads(pid),
                    };
                    let (seconds, kib) = (sample.after.as_secs(), sample.resident >> 10);
                    let Sample {
                        descriptors,
                        threads,
                        ..
                    } = sample;
                    writeln!(file, "{seconds},\"{id}\",{kib} KiB,{descriptors},{threads}").unwrap();
                    chart.samples.push(sample);
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
    /// The median of the samples of a time.
    fn median(&self, of: impl Fn(&Sample) -> usize, from: Duration, to: Duration) -> usize {
        let samples = self.samples.iter();
        let span = samples.filter(|sample| sample.after >= from && sample.after <= to);
        let mut values: Vec<usize> = span.map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    }

    /// After the first minute, and at the end.
    fn compared(&self, of: impl Fn(&Sample) -> usize) -> [usize; 2] {
        let last = self.samples.last().unwrap().after;
        [
            self.median(&of, FIRST, FIRST + SPAN),
            self.median(&of, last - SPAN, last),
        ]
    }
}

/// Prints a table; fails if a process has grown.
pub(super) fn report(charts: &[Chart]) {
    println!(
        "\n| process | resident after a minute, KiB | at the end | at most | descriptors | threads |"
    );
    println!("|---|---|---|---|---|---|");
    for chart in charts {
        let [resident, descriptors, threads] = compared(chart);
        let most = chart.samples.iter().map(|sample| sample.resident).max();
        println!(
            "| {} | {} | {} | {} | {}, {} | {}, {} |",
            chart.id,
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
        let id = &chart.id;
        let [resident, descriptors, threads] = compared(chart);
        assert!(resident[1] <= resident[0] + MAY_GROW, "{id}: {resident:?}");
        assert!(
            descriptors[1] <= descriptors[0] + MAY_OPEN,
            "{id}: {descriptors:?}"
        );
        assert!(threads[1] <= threads[0], "{id}: {threads:?}");
    }
}

fn compared(chart: &Chart) -> [[usize; 2]; 3] {
    [
        chart.compared(|sample| sample.resident),
        chart.compared(|sample| sample.descriptors),
        chart.compared(|sample| sample.threads),
    ]
}
