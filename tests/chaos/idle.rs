//! A bus on which nothing happens costs nothing.

use std::{thread::sleep, time::Duration};

use crate::{bus::Bus, figures::Figures, times};

#[test]
fn an_idle_bus_of_8_uses_no_processor() {
    let span = Duration::from_secs(times(4, 60) as u64);
    let (mut bus, _) = Bus::of(8);
    let everybody = bus.all_but("nobody");
    let on_cpu = |bus: &mut Bus| -> Vec<Duration> {
        let each = everybody.iter();
        each.map(|id| bus.process(id).on_cpu()).collect()
    };
    let before = on_cpu(&mut bus);
    // Nothing is to happen, and it takes time to see that.
    sleep(span);
    let mut used = Figures::default();
    for (before, after) in before.into_iter().zip(on_cpu(&mut bus)) {
        used.add(after - before);
    }
    println!(
        "in {span:?} each has used {used}; {}",
        used.against(100, span / 1000)
    );
    assert!(used.max() < span / 100);
}
