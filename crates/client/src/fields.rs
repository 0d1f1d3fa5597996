//! Access to the fields of a JSON answer of the control socket.

use dormouse_log::Escaped;
use serde_json::Value;

/// Returns the elements of an array; none if it is missing.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns a text, escaped for a line of a terminal; empty if it is missing.
pub fn text(value: &Value, name: &str) -> String {
    Escaped(value.get(name).and_then(Value::as_str).unwrap_or_default()).to_string()
}

/// Returns a number; 0 if it is missing.
pub fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Returns the state, with the administrative state of the server unless it is ready.
pub fn standing(value: &Value, server: Option<&Value>) -> String {
    let admin = |server| (server, text(server, "admin"));
    match server.map(admin).filter(|(_, admin)| !matches!(admin.as_str(), "ready" | "")) {
        None => text(value, "state"),
        Some((server, admin)) => match text(server, "state") {
            state if state == "vacant" || state == admin => state,
            state => format!("{state}, {admin}"),
        },
    }
}

/// Returns what happens next to a server.
pub fn next(server: &Value) -> String {
    let what = text(server, "next");
    match server.get("next_seconds").and_then(Value::as_u64) {
        _ if what.is_empty() => {
            let waits = matches!(text(server, "state").as_str(), "stopped" | "failed");
            let takes = text(server, "admin") == "ready";
            if waits && takes { "starts for a client".to_owned() } else { what }
        }
        Some(0) => format!("{what} in <1s"),
        Some(seconds) => format!("{what} in {}", span(seconds)),
        None => format!("{what} after the last session"),
    }
}

/// Returns a time span in seconds with its two largest units.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")];
    match units.iter().find(|(whole, ..)| seconds >= *whole) {
        Some((whole, name, part, of)) => match seconds % whole / part {
            0 => format!("{}{name}", seconds / whole),
            rest => format!("{}{name} {rest}{of}", seconds / whole),
        },
        None => format!("{seconds}s"),
    }
}
