//! The scenes of the demo.
//!
//! In: a directory of its own. Out: scenes on stdout. May touch: that directory, processes that it starts, signals to
//! them, the clock.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use super::{process::Process, takeover};
use crate::{
    failure::Failure,
    stdout,
    style::{Color, Style},
};

/// Time to read a headline.
const PAUSE: Duration = Duration::from_millis(350);

/// Four processes connect, exchange messages, lose their listener twice, and end.
pub(super) async fn play(directory: &Path) -> Result<(), Failure> {
    let path = directory.join("bus.sock");
    let peer = || ["peer".as_ref(), path.as_os_str()].into_iter();

    scene("Four processes start on one path. The first one listens, the others connect to it.")
        .await?;
    let mut ann = Process::start("ann", Color::Good, peer())?;
    ann.show_until("* listener").await?;
    let mut rest = Vec::new();
    for (name, color) in [
        ("bob", Color::In),
        ("cleo", Color::Out),
        ("dan", Color::Strong),
    ] {
        let mut one = Process::start(name, color, peer())?;
        one.show_until("ann established").await?;
        ann.show_until(&format!("{name} established")).await?;
        rest.push(one);
    }

    scene("A connector's messages go to the listener, the listener's to all connectors.").await?;
    if let Some(bob) = rest.first_mut() {
        bob.send(OFFER).await?;
        ann.show_until("offer").await?;
    }
    ann.send(OFFER).await?;
    for one in &mut rest {
        one.show_until("offer").await?;
    }

    scene("The listener crashes. The other lines begin with the time since then.").await?;
    let killed = ann.kill().await?;
    let takeover = takeover::watch(killed, &mut rest).await?;
    let (listener, after) = (takeover.listener, takeover.after.as_secs_f64() * 1e3);
    note(&format!(
        "{listener} has taken over: one bus again {after:.1} ms after the kill."
    ))?;

    scene(
        "A new process uses the older wire version, and writes a line with an error. Then it ends.",
    )
    .await?;
    let (mut hub, mut rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|one| one.name() == takeover.listener);
    let mut hub = hub
        .pop()
        .ok_or_else(|| Failure::work("no process listens"))?;
    let with_wire_2 = peer().chain(["--wire".as_ref(), "2".as_ref()]);
    let mut eve = Process::start("eve", Color::Bad, with_wire_2)?;
    eve.show_until("established").await?;
    hub.show_until("eve established").await?;
    eve.write(r#"{"send":{"type":"dismiss","docID":"recipes"}}"#)
        .await?;
    eve.show_until("bad-input").await?;
    eve.send(r#"{"send":{"type":"dismiss","docId":"recipes"}}"#)
        .await?;
    hub.show_until("dismiss").await?;
    eve.quit().await?;
    eve.wait().await?;
    hub.show_until("eve departed").await?;

    scene(&format!(
        "{listener} ends on purpose: the next one takes over at once."
    ))
    .await?;
    let asked = hub.quit().await?;
    let takeover = takeover::watch(asked, &mut rest).await?;
    hub.wait().await?;
    let (listener, after) = (takeover.listener, takeover.after.as_secs_f64() * 1e3);
    note(&format!(
        "{listener} has taken over: one bus again {after:.1} ms after the command."
    ))?;

    scene("All end at once. The last one removes the socket and its lock.").await?;
    for one in &mut rest {
        one.quit().await?;
    }
    for one in rest {
        one.wait().await?;
    }
    match std::fs::read_dir(directory)?.next() {
        None => note("The directory is empty.")?,
        Some(left) => {
            let left = left?.path();
            let left = left.display();
            return Err(Failure::work(format!("{left} was left behind")));
        }
    }
    let style = Style::of_stdout();
    let end = "That was all. Try it yourself, in several terminals: kyneta-uds peer /tmp/bus.sock";
    stdout::print_line(format!("\n{}", style.paint(Color::Strong, end)).as_bytes())
}

const OFFER: &str = r#"{"send":{"type":"offer","docId":"recipes","payload":{"kind":"entirety","encoding":"json","data":"{\"soup\":[\"onion\",\"salt\"]}"},"version":"1"}}"#;

async fn scene(title: &str) -> Result<(), Failure> {
    sleep(PAUSE).await;
    let title = Style::of_stdout().paint(Color::Strong, title).to_string();
    stdout::print_line(format!("\n{title}").as_bytes())?;
    sleep(PAUSE).await;
    Ok(())
}

fn note(what: &str) -> Result<(), Failure> {
    let what = Style::of_stdout().paint(Color::Good, what).to_string();
    stdout::print_line(format!("         {what}").as_bytes())
}
