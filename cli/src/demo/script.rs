//! What happens in the demo.

use std::path::Path;

use tokio::time::sleep;

use super::{PACE, process::Actor, takeover};
use crate::{
    failure::Failure,
    stdout,
    style::{Ink, Style},
};

/// Four processes meet, talk, lose their listener, and part.
pub(super) async fn play(directory: &Path) -> Result<(), Failure> {
    let path = directory.join("bus.sock");
    let peer = || ["peer".as_ref(), path.as_os_str()].into_iter();

    scene("Four processes go to one path. The first one listens, the others connect to it.")
        .await?;
    let mut ann = Actor::enter("ann", Ink::Good, peer())?;
    ann.says("* listener").await?;
    let mut rest = Vec::new();
    for (name, ink) in [("bob", Ink::In), ("cleo", Ink::Out), ("dan", Ink::Strong)] {
        let mut one = Actor::enter(name, ink, peer())?;
        one.says("ann established").await?;
        ann.says(&format!("{name} established")).await?;
        rest.push(one);
    }

    scene("A connector's messages go to the listener, the listener's to all who connect.").await?;
    if let Some(bob) = rest.first_mut() {
        bob.sends(OFFER).await?;
        ann.says("offer").await?;
    }
    ann.sends(OFFER).await?;
    for one in &mut rest {
        one.says("offer").await?;
    }

    scene("The listener crashes. The time since then stands before what the others say.").await?;
    let killed = ann.crashes().await?;
    let takeover = takeover::watch(killed, &mut rest).await?;
    let (listener, after) = (takeover.listener, takeover.after.as_secs_f64() * 1e3);
    note(&format!(
        "{listener} has taken over: one bus again {after:.1} ms after the kill."
    ))?;

    scene("A newcomer speaks the older wire version, and not always sense. Then it leaves.")
        .await?;
    let (mut hub, mut rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|one| one.name() == takeover.listener);
    let mut hub = hub.pop().ok_or_else(|| Failure::work("nobody listens"))?;
    let with_wire_2 = peer().chain(["--wire".as_ref(), "2".as_ref()]);
    let mut eve = Actor::enter("eve", Ink::Bad, with_wire_2)?;
    eve.says("established").await?;
    hub.says("eve established").await?;
    eve.told(r#"{"send":{"type":"dismiss","docID":"recipes"}}"#)
        .await?;
    eve.says("bad-input").await?;
    eve.sends(r#"{"send":{"type":"dismiss","docId":"recipes"}}"#)
        .await?;
    hub.says("dismiss").await?;
    eve.asked_to_leave().await?;
    eve.leaves().await?;
    hub.says("eve departed").await?;

    scene(&format!(
        "{listener} leaves on purpose: the next one does not have to wait for anything."
    ))
    .await?;
    let asked = hub.asked_to_leave().await?;
    let takeover = takeover::watch(asked, &mut rest).await?;
    hub.leaves().await?;
    let (listener, after) = (takeover.listener, takeover.after.as_secs_f64() * 1e3);
    note(&format!(
        "{listener} has taken over: one bus again {after:.1} ms after the word."
    ))?;

    scene("All end at once. The last one takes everything with it.").await?;
    for one in &mut rest {
        one.asked_to_leave().await?;
    }
    for one in rest {
        one.leaves().await?;
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
    stdout::line(format!("\n{}", style.paint(Ink::Strong, end)).as_bytes())
}

const OFFER: &str = r#"{"send":{"type":"offer","docId":"recipes","payload":{"kind":"entirety","encoding":"json","data":"{\"soup\":[\"onion\",\"salt\"]}"},"version":"1"}}"#;

async fn scene(title: &str) -> Result<(), Failure> {
    sleep(PACE).await;
    let title = Style::of_stdout().paint(Ink::Strong, title).to_string();
    stdout::line(format!("\n{title}").as_bytes())?;
    sleep(PACE).await;
    Ok(())
}

fn note(what: &str) -> Result<(), Failure> {
    let what = Style::of_stdout().paint(Ink::Good, what).to_string();
    stdout::line(format!("         {what}").as_bytes())
}
