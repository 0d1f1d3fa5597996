//! `show servers state`: what `HAProxy` would save over a restart, version 1 of its format.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use dormouse_core::control::Admin;
use dormouse_core::service::State;

use super::house::{Door, Seat};

/// The two lines before the servers.
pub(super) const HEAD: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
srv_check_addr srv_agent_addr srv_agent_port\n";

/// The servers of a service; `number`: its place among the services.
pub(super) fn servers(door: &Door, number: usize, text: &mut String) {
    for seat in door.seats() {
        let (operation, since) = operation(&seat);
        let since = since.map_or(door.ledger().beginning.elapsed(), |since| since.elapsed());
        let admin = match seat.admin() {
            Admin::Ready => 0,
            Admin::Maint => 1,
            Admin::Drain => 8,
        };
        let (address, name, port) = place(seat.address);
        // A String takes whatever is written to it.
        let _ = writeln!(
            text,
            "{} {} {} {} {address} {operation} {admin} 1 1 {} 1 0 0 0 0 0 0 {name} {port} - 0 0 - - 0",
            number + 2,
            door.name,
            seat.index + 1,
            seat.name,
            since.as_secs(),
        );
    }
}

/// 0 is stopped, 1 starting, 2 running, 3 stopping. What sleeps takes clients: it is running.
fn operation(seat: &Seat<'_>) -> (u8, Option<Instant>) {
    let Some(sleeper) = seat.sleeper() else { return (2, None) };
    let (state, since, _) = sleeper.state();
    let code = match state {
        State::Failed => 0,
        State::Starting => 1,
        State::Stopping => 3,
        _ => 2,
    };
    (code, Some(since))
}

/// Address, name and port; what there is not, is a dash or 0.
fn place(address: &str) -> (String, String, u16) {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return (address.ip().to_string(), "-".to_owned(), address.port());
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !address.starts_with(['/', '@']) && !address.starts_with("vsock:") => {
            ("-".to_owned(), host.replace(char::is_whitespace, "_"), port.parse().unwrap_or(0))
        }
        _ => ("-".to_owned(), "-".to_owned(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_address_a_name_or_neither() {
        let dash = || "-".to_owned();
        assert_eq!(place("127.0.0.1:80"), ("127.0.0.1".to_owned(), dash(), 80));
        assert_eq!(place("[::1]:80"), ("::1".to_owned(), dash(), 80));
        assert_eq!(place("web.example:81"), (dash(), "web.example".to_owned(), 81));
        assert_eq!(place("/run/a:1.sock"), (dash(), dash(), 0));
    }

    #[test]
    fn there_are_as_many_names_as_fields() {
        let names = HEAD.lines().nth(1).unwrap().trim_start_matches("# ").split(' ').count();
        assert_eq!(names, 25);
    }
}
