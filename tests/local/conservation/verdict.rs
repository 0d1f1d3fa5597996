//! Compares the observations of a peer with the actions of the other.

use super::{
    peer::{End, Seen},
    plan::Role,
    registry::{PeerState, Session},
    setup::{FamilyPair, Kind},
};

/// Returns an error if the observations of `role` at the end of `session` are wrong.
pub(crate) fn judge(session: &Session, role: Role, pair: FamilyPair, seen: Seen) -> Result<(), String> {
    match &session.plan.reset {
        None => undisturbed(session, role, seen),
        Some(reset) if reset.by == role => before_abort(session, role, seen),
        Some(_) => survived(session, role, pair, seen),
    }
}

/// No peer aborted the session: all bytes must have arrived, and then the end.
fn undisturbed(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    all_received(session, role, seen)?;
    match seen.writing {
        Some(End::Orderly) => Ok(()),
        other => Err(format!("sending ended by {other:?}")),
    }
}

fn all_received(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    let received = session.of(role).received.get();
    let wanted = session.peer_plan(role.other()).bytes;
    match seen.reading {
        Some(End::Orderly) if received == wanted => Ok(()),
        Some(End::Orderly) if received < wanted => {
            Err(format!("{} of {wanted} bytes are missing before an orderly end", wanted - received))
        }
        Some(End::Orderly) => Err(format!("{received} bytes instead of {wanted}")),
        other => Err(format!("receiving ended by {other:?} after {received} of {wanted} bytes")),
    }
}

/// Until a peer aborts, everything must be as in a session without an abort.
fn before_abort(session: &Session, role: Role, seen: Seen) -> Result<(), String> {
    if seen.reading.is_some() {
        all_received(session, role, seen)?;
    }
    match seen.writing {
        None | Some(End::Orderly) => {}
        other => return Err(format!("sending ended by {other:?} before this side aborted")),
    }
    match session.of(role).aborted.get() {
        Some(_) => Ok(()),
        None => Err("the session ended before this side aborted".to_owned()),
    }
}

/// The other peer aborted. The received bytes are a prefix, as the comparison has shown; this checks the end.
fn survived(session: &Session, role: Role, pair: FamilyPair, seen: Seen) -> Result<(), String> {
    let (us, other) = (session.of(role), session.of(role.other()));
    let received = us.received.get();
    let broken = [seen.reading, seen.writing].iter().any(|end| matches!(end, Some(End::Broken(_))));
    let complete = seen.reading == Some(End::Orderly) && received == session.peer_plan(role.other()).bytes;

    if other.finished.get() && complete {
        return Ok(());
    }
    let Some(unread) = other.aborted.get() else {
        return Err(format!(
            "the session ended ({seen:?}) after {received} bytes, before the other side aborted"
        ));
    };
    if orderly_close(pair.kind(role.other()), unread, session, role) {
        // The close of a UNIX socket without unread bytes is an orderly end.
        return match seen.reading {
            Some(End::Orderly) if received == other.sent.get() => Ok(()),
            _ => Err(format!(
                "receiving ended by {:?} after {received} of {} bytes, although the other side closed in an orderly way",
                seen.reading,
                other.sent.get()
            )),
        };
    }
    let has_to_show = pair.kind(role) == Kind::Tcp && (pair.kind(role.other()) == Kind::Tcp || unread > 0);
    if broken || !has_to_show {
        return Ok(());
    }
    Err(format!("an orderly end after {received} bytes instead of a reset"))
}

/// Whether the abort was, on this kind of socket, an orderly close after all bytes had been read.
fn orderly_close(kind: Kind, unread: u64, session: &Session, survivor: Role) -> bool {
    let other: &PeerState = session.of(survivor.other());
    kind == Kind::Unix && unread == 0 && other.received.get() == session.peer_plan(survivor).bytes
}
