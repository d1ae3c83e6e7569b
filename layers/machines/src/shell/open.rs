//! The first words of a connection, from both sides.
//!
//! In: byte streams. Out: what the other side is and wants. May touch: those streams.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::task::Us;
use crate::{
    link::{Incarnation, Reason, Refusal},
    name::{MachineKey, MachineName},
    preface::{self, ANSWERER, OPENER, Opening},
};

/// Says what this side wants and reads the answer. The name must be the one that this key has here.
pub(super) async fn say<Io: AsyncRead + AsyncWrite + Unpin>(
    us: &Us,
    io: &mut Io,
    key: MachineKey,
    opening: Opening,
) -> Result<Incarnation, Reason> {
    let lost = |error: io::Error| Reason::Unreachable(error.to_string());
    let words = opening.encode(us.name.as_str());
    io.write_all(&words).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let mut head = [0; ANSWERER];
    io.read_exact(&mut head).await.map_err(lost)?;
    let (answer, length) =
        preface::decode_answer(&head).map_err(|error| Reason::Protocol(error.to_string()))?;
    let claimed = read_name(io, length).await.map_err(lost)?;
    let other = answer.map_err(Reason::Refused)?;
    match us.admission.name(key, &claimed) {
        Ok(_) => Ok(other),
        Err(_) => Err(Reason::OtherName(claimed)),
    }
}

/// What an arrival is.
pub(super) enum Heard {
    /// It may have a link or knock.
    Opening(Opening),
    /// It may not.
    Refused(Refusal),
}

/// Hears what an arrival wants. An unknown key is refused without a byte read.
///
/// # Errors
/// The stream's; or what was said cannot be read.
pub(super) async fn hear<Io: AsyncRead + AsyncWrite + Unpin>(
    us: &Us,
    io: &mut Io,
    key: MachineKey,
) -> io::Result<Heard> {
    if let Err(refusal) = us.admission.role(key) {
        answer(us, io, Err(refusal)).await?;
        io.shutdown().await?;
        return Ok(Heard::Refused(refusal));
    }
    let mut head = [0; OPENER];
    io.read_exact(&mut head).await?;
    let (opening, length) = Opening::decode(&head).map_err(io::Error::other)?;
    let claimed = read_name(io, length).await?;
    if let Err(refusal) = us.admission.name(key, &claimed) {
        answer(us, io, Err(refusal)).await?;
        io.shutdown().await?;
        return Ok(Heard::Refused(refusal));
    }
    Ok(Heard::Opening(opening))
}

/// Answers an arrival.
pub(super) async fn answer<Io: AsyncWrite + Unpin>(
    us: &Us,
    io: &mut Io,
    answer: preface::Answer,
) -> io::Result<()> {
    io.write_all(&preface::encode_answer(answer, us.name.as_str()))
        .await?;
    io.flush().await
}

async fn read_name<Io: AsyncRead + Unpin>(io: &mut Io, length: usize) -> io::Result<String> {
    let mut name = vec![0; length.min(MachineName::MAX)];
    io.read_exact(&mut name).await?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}
