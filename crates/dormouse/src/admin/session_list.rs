//! `show sess`: sessions one by one.

use std::fmt::Write as _;
use std::time::SystemTime;

use dormouse_log::Utc;
use dormouse_proxy::stats::sessions::SessionEntry;

use super::running::Running;

/// The number of sessions per piece.
const MAX_SESSIONS: usize = 128;

/// Returns the next piece after this session and the id of its last session; `None` after the last.
pub(super) fn piece(running: &Running, after: u64, all: bool) -> Option<(String, u64)> {
    let entries = running.sessions()?.after(after, MAX_SESSIONS);
    let last = entries.last()?.id;
    let mut text = String::with_capacity(MAX_SESSIONS * 256);
    for entry in &entries {
        if all {
            dump(entry, &mut text);
        } else {
            line(entry, &mut text);
        }
    }
    Some((text, last))
}

fn line(entry: &SessionEntry, text: &mut String) {
    let (up, down) = entry.bytes();
    // Writing to a String cannot fail. Fields that dormouse does not have keep their position.
    let _ = writeln!(
        text,
        "0x{:x}: proto={} src={} fe={service} be={service} srv={} ts=00 epoch=0 age={} calls=1 rate=0 cpu=0 lat=0 \
         rq[f=808000h,i=0,an=00h,rx=,wx=,ax=,total={up}] rp[f=80048000h,i=0,an=00h,rx=,wx=,ax=,total={down}] \
         scf=[8,200h,fd=-1] scb=[{},0h,fd=-1] exp= rc=0 c_exp=",
        entry.id,
        protocol(entry),
        source(entry),
        server(entry),
        age(entry.began.elapsed().as_secs()),
        // Established, or still queued.
        if entry.server().is_some() { 8 } else { 2 },
        service = entry.service,
    );
}

/// Writes all details of a session.
pub(super) fn dump(entry: &SessionEntry, text: &mut String) {
    let (up, down) = entry.bytes();
    let since = SystemTime::now().checked_sub(entry.began.elapsed());
    let since = Utc(since.unwrap_or(SystemTime::UNIX_EPOCH));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "0x{:x}: [{since}] id={} proto={} source={}\n  frontend={service} (mode=tcp)\n  backend={service} (mode=tcp)\n  \
         server={}\n  age={}\n  req=(total={up})\n  res=(total={down})",
        entry.id,
        entry.id,
        protocol(entry),
        source(entry),
        server(entry),
        age(entry.began.elapsed().as_secs()),
        service = entry.service,
    );
}

fn protocol(entry: &SessionEntry) -> &'static str {
    match entry.client.socket_address() {
        Some(address) if address.is_ipv4() => "tcpv4",
        Some(_) => "tcpv6",
        None => "unix_stream",
    }
}

fn source(entry: &SessionEntry) -> String {
    match entry.client.socket_address() {
        Some(address) => format!("{}:{}", address.ip(), address.port()),
        None => "unix:1".to_owned(),
    }
}

fn server(entry: &SessionEntry) -> &str {
    entry.server().map_or("<none>", |server| &server.name)
}

/// Formats an age as `HAProxy` does, with its two largest units.
fn age(seconds: u64) -> String {
    let units = [(86_400, 'd', 3600, 'h'), (3600, 'h', 60, 'm'), (60, 'm', 1, 's')];
    match units.iter().find(|(whole, ..)| seconds >= *whole) {
        Some((whole, name, part, of)) => format!("{}{name}{}{of}", seconds / whole, seconds % whole / part),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_700, "1h1m"), (90_000, "1d1h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
