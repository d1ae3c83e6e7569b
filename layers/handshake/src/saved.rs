//! The state of a channel after the handshake as a value, and a channel from it: its peer.
//!
//! In: a channel, or the channel below and the saved state. Out: the same, the other way round. Touches nothing.
//!
//! The peer's credentials are not saved: the kernel still knows them. A peer that was admitted is not asked again.

use kyneta_uds_core::{
    Bytes, Channel, ChannelMsg, Establish, Features, Identity, Name, PeerId, PeerType,
    ProtocolVersion, Resume, Save, Saved, SavedError,
};

use crate::{
    channel::Established,
    machine::{HandshakeMachine, Side},
    peer_info::PeerInfo,
    service::Handshake,
};

/// The name of this layer's part.
const PART: &str = "handshake";
const VERSION: u32 = 1;

impl<C: Save> Save for Established<C> {
    type Io = C::Io;

    fn stream(&self) -> &C::Io {
        self.get_ref().stream()
    }

    fn save(&self, saved: Saved) -> Saved {
        let (handshake, peer) = (self.handshake(), self.peer());
        let part = save_peer(peer.establish(), Saved::new(VERSION, 1))
            .with("we-connected", handshake.side() == Side::Connecting)
            .with("departing", peer.is_departing());
        self.get_ref().save(saved.with(PART, part))
    }

    fn save_ahead(&mut self) -> Vec<Bytes> {
        self.inner_mut().save_ahead()
    }
}

impl<Io, S: Resume<Io>> Resume<Io> for Handshake<S>
where
    S::Resumed: Channel<ChannelMsg, In = ChannelMsg>,
{
    type Resumed = Established<S::Resumed>;

    fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError> {
        let part = saved.part(PART)?;
        part.check(PART, 1..=VERSION)?;
        let side = match part.flag("we-connected")? {
            true => Side::Connecting,
            false => Side::Accepting,
        };
        let establish = restore_peer(part)?;
        let inner = self.get_ref().resume(io, saved)?;
        let peer = PeerInfo::new(establish, inner.connection());
        if part.flag("departing")? {
            peer.set_departing();
        }
        let handshake = HandshakeMachine::established(side);
        Ok(Established::new(inner, handshake, peer))
    }
}

fn save_peer(establish: &Establish, part: Saved) -> Saved {
    let identity = &establish.identity;
    let mut part = part
        .with("id", identity.peer_id.as_str())
        .with("type", identity.peer_type.name())
        .with("protocol-major", establish.protocol.major())
        .with("protocol-minor", establish.protocol.minor());
    if let Some(name) = &identity.name {
        part = part.with("name", name.as_str());
    }
    if let Some(features) = establish.features {
        let known = [
            ("alias", features.alias),
            ("streamed", features.streamed),
            ("datagram", features.datagram),
        ];
        let features = known
            .into_iter()
            .fold(Saved::new(1, 1), |saved, (name, on)| match on {
                Some(on) => saved.with(name, on),
                None => saved,
            });
        part = part.with("features", features);
    }
    part
}

fn restore_peer(part: &Saved) -> Result<Establish, SavedError> {
    let value = |name, why| SavedError::Value { name, why };
    let too_long = "it is over its limit";
    let peer_id = PeerId::new(part.text("id")?).map_err(|_| value("id", too_long))?;
    let peer_type = PeerType::from_name(part.text("type")?)
        .ok_or_else(|| value("type", "no type of a peer"))?;
    let mut identity = Identity::new(peer_id, peer_type);
    if part.get("name").is_some() {
        let name = Name::new(part.text("name")?).map_err(|_| value("name", too_long))?;
        identity.name = Some(name);
    }
    let (major, minor) = (
        part.number("protocol-major")?,
        part.number("protocol-minor")?,
    );
    let mut establish = Establish::new(identity);
    establish.protocol = ProtocolVersion::new(major, minor)
        .map_err(|_| value("protocol-major", "no version of the protocol"))?;
    if part.get("features").is_some() {
        let saved = part.part("features")?;
        let on = |name| saved.get(name).map(|_| saved.flag(name)).transpose();
        establish.features = Some(Features {
            alias: on("alias")?,
            streamed: on("streamed")?,
            datagram: on("datagram")?,
        });
    }
    Ok(establish)
}
