//! What happens in the demo.

use std::path::Path;

use tokio::time::sleep;

use super::{PACE, actor::Actor};
use crate::{
    failure::Failure,
    out,
    style::{Ink, Style},
};

/// Three processes meet, talk, and part in three different ways.
pub(super) async fn play(path: &Path) -> Result<(), Failure> {
    let at = |role: &'static str| [role.as_ref(), path.as_os_str()];

    scene("A process listens on a path.").await?;
    let mut hub = Actor::enter("hub", Ink::Good, at("listen"))?;
    hub.says("listening on").await?;

    scene("Two others connect; bob speaks the older wire version.").await?;
    let mut alice = Actor::enter("alice", Ink::In, at("connect"))?;
    alice.says("hub established").await?;
    hub.says("alice established").await?;
    let with_wire = at("connect")
        .into_iter()
        .chain(["--wire".as_ref(), "2".as_ref()]);
    let mut bob = Actor::enter("bob", Ink::Out, with_wire)?;
    bob.says("hub established").await?;
    hub.says("bob established").await?;

    scene("alice offers a document; the hub asks for it and tells everybody.").await?;
    alice.sends(PRESENT).await?;
    hub.says("present").await?;
    hub.sends(INTEREST).await?;
    alice.says("interest").await?;
    alice.sends(OFFER).await?;
    hub.says("offer").await?;
    hub.sends(OFFER).await?;
    alice.says("offer").await?;
    bob.says("offer").await?;

    scene("A line that makes no sense is answered, and that is all.").await?;
    bob.told(r#"{"send":{"type":"dismiss","docID":"recipes"}}"#)
        .await?;
    bob.says("bad-input").await?;
    bob.sends(r#"{"send":{"type":"dismiss","docId":"recipes"}}"#)
        .await?;
    hub.says("dismiss").await?;

    scene("bob leaves on purpose, alice crashes: the hub knows the difference.").await?;
    bob.leaves().await?;
    hub.says("bob departed").await?;
    alice.crashes().await?;
    hub.says("alice disconnected").await?;

    scene("The hub ends and takes its socket file with it.").await?;
    hub.leaves().await?;
    let style = Style::of_stdout();
    let end = "That was all. Try it yourself: kyneta-uds listen /tmp/bus.sock --echo";
    out::line(format!("\n{}", style.paint(Ink::Strong, end)).as_bytes())
}

const PRESENT: &str = r#"{"send":{"type":"present","docs":[{"docId":"recipes","replicaType":["loro",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable","durability":"persistent"},"schemaHash":"00a1b2"}]}}"#;

const INTEREST: &str =
    r#"{"send":{"type":"interest","docId":"recipes","reciprocate":true},"to":"alice"}"#;

const OFFER: &str = r#"{"send":{"type":"offer","docId":"recipes","payload":{"kind":"entirety","encoding":"json","data":"{\"soup\":[\"onion\",\"salt\"]}"},"version":"1"}}"#;

async fn scene(title: &str) -> Result<(), Failure> {
    sleep(PACE).await;
    let title = Style::of_stdout().paint(Ink::Strong, title).to_string();
    out::line(format!("\n{title}").as_bytes())?;
    sleep(PACE).await;
    Ok(())
}
