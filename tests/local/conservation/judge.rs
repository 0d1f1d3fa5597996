//! Whether what a peer has seen is what the other has done.

use super::{
    plan::Role,
    registry::{Peer, Session},
    side::{End, Seen},
    under_test::{Kind, Way},
};

/// Says what is wrong with what `role` has seen, when it is through with `session`.
pub(crate) fn judge(session: &Session, role: Role, way: Way, seen: Seen) -> Result<(), String> {
    match &session.plan.reset {
        None => undisturbed(session, role, seen),
        Some(reset) if reset.by == role => before_breaking_off(session, role, seen),
        Some(_) => survived(session, role, way, seen),
    }
}

/// Nobody broke the session off: everything arrived, and then the end.
fn undisturbed(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    all_received(session, role, seen)?;
    match seen.writing {
        Some(End::Orderly) => Ok(()),
        other => Err(format!("sending ended by {other:?}")),
    }
}

fn all_received(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    let received = session.of(role).received.get();
    let wanted = session.habits(role.other()).bytes;
    match seen.reading {
        Some(End::Orderly) if received == wanted => Ok(()),
        Some(End::Orderly) if received < wanted => {
            Err(format!("{} of {wanted} bytes are missing before an orderly end", wanted - received))
        }
        Some(End::Orderly) => Err(format!("{received} bytes instead of {wanted}")),
        other => Err(format!("receiving ended by {other:?} after {received} of {wanted} bytes")),
    }
}

/// Up to the moment in which a peer breaks off, all has to be as if it would not.
fn before_breaking_off(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    if seen.reading.is_some() {
        all_received(session, role, seen)?;
    }
    match seen.writing {
        None | Some(End::Orderly) => {}
        other => return Err(format!("sending ended by {other:?} before this side broke off")),
    }
    match session.of(role).broke_off.get() {
        Some(_) => Ok(()),
        None => Err("the session ended before this side broke off".to_owned()),
    }
}

/// The other broke off. What was received is a prefix, as the comparison byte by byte has shown; here it is about how
/// it ended.
fn survived(session: &Session, role: Role, way: Way, seen: Seen) -> Result<(), String> {
    let (us, other) = (session.of(role), session.of(role.other()));
    let received = us.received.get();
    let broken = [seen.reading, seen.writing].iter().any(|end| matches!(end, Some(End::Broken(_))));
    let complete = seen.reading == Some(End::Orderly) && received == session.habits(role.other()).bytes;

    if other.finished.get() && complete {
        return Ok(());
    }
    let Some(unread) = other.broke_off.get() else {
        return Err(format!("it ended ({seen:?}) after {received} bytes, before the other side broke off"));
    };
    if orderly_close(way.kind(role.other()), unread, session, role) {
        // The close of a UNIX socket whose peer has nothing under way to it is an end like any other.
        return match seen.reading {
            Some(End::Orderly) if received == other.sent.get() => Ok(()),
            _ => Err(format!(
                "receiving ended by {:?} after {received} of {} bytes, although the other closed in order",
                seen.reading,
                other.sent.get()
            )),
        };
    }
    let has_to_show = way.kind(role) == Kind::Tcp && (way.kind(role.other()) == Kind::Tcp || unread > 0);
    if broken || !has_to_show {
        return Ok(());
    }
    Err(format!("an orderly end after {received} bytes instead of a reset"))
}

/// Whether breaking off was, on this kind of socket, just a close after everything had been read.
fn orderly_close(kind: Kind, unread: u64, session: &Session, survivor: Role) -> bool {
    let other: &Peer = session.of(survivor.other());
    kind == Kind::Unix && unread == 0 && other.received.get() == session.habits(survivor).bytes
}
