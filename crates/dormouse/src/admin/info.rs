//! `show info`: the process, in those fields of `HAProxy` that apply to dormouse.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use dormouse_core::control::OutputFormat;
use dormouse_log::Utc;

use super::field::{Field, Tags, Value};
use super::process::Process;
use super::running::Running;

/// Returns the whole answer.
pub(super) fn info(running: &Running, form: OutputFormat) -> String {
    let fields = fields(running);
    let mut text = String::new();
    match form {
        OutputFormat::Plain => {
            for Field { name, value, .. } in &fields {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name}: {}", value.plain());
            }
        }
        OutputFormat::Typed => {
            for field in &fields {
                let mut line = String::new();
                field.typed("", &mut line);
                text.push_str(&line);
            }
        }
        OutputFormat::Json => {
            text.push('[');
            for (number, field) in fields.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                field.json("", &mut text);
            }
            text.push_str("]\n");
        }
    }
    text
}

fn fields(running: &Running) -> Vec<Field> {
    let process = Process::read();
    let (counters, uptime) = (&running.stats.counters, running.uptime());
    let services = running.services();
    let fits = u64::try_from(running.fd_limits.max_sessions()).unwrap_or(u64::MAX);
    let configured: usize = services.iter().map(|service| service.admission.cap()).sum();
    let maxconn = u64::try_from(configured).unwrap_or(u64::MAX).min(fits);
    let listeners: usize = services.iter().map(|service| service.listen.len()).sum();
    let seconds = uptime.as_secs();
    let started = running.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rate = counters.rate.now(uptime);
    let text = |value: String| Value::Text(value);
    let list: Vec<(usize, &'static str, &'static str, Value)> = vec![
        (0, "Name", "POS", text("dormouse".to_owned())),
        (1, "Version", "POS", text(env!("CARGO_PKG_VERSION").to_owned())),
        (2, "Release_date", "POS", text(release_date())),
        (3, "Nbthread", "CGS", Value::U32(1)),
        (4, "Nbproc", "CGS", Value::U32(1)),
        (5, "Process_num", "KGP", Value::U32(1)),
        (6, "Pid", "SGP", Value::U32(std::process::id().into())),
        (7, "Uptime", "MDP", text(days(seconds))),
        (8, "Uptime_sec", "MDP", Value::U32(seconds)),
        (9, "Memmax_MB", "CLP", Value::U32(0)),
        (13, "Ulimit-n", "CLP", Value::U32(process.max_fds.unwrap_or(0))),
        (14, "Maxsock", "CLP", Value::U32(process.max_fds.unwrap_or(0))),
        (15, "Maxconn", "CLP", Value::U32(maxconn)),
        (16, "Hard_maxconn", "CLP", Value::U32(fits)),
        (17, "CurrConns", "MGP", Value::U32(counters.open.get())),
        (18, "CumConns", "MCP", Value::U32(counters.accepted.get() + counters.refused.get())),
        (19, "CumReq", "MCP", Value::U32(counters.accepted.get())),
        (23, "Maxpipes", "CLP", Value::U32(0)),
        (24, "PipesUsed", "MGP", Value::U32(0)),
        (25, "PipesFree", "MGP", Value::U32(0)),
        (26, "ConnRate", "MRP", Value::U32(rate)),
        (27, "ConnRateLimit", "CLP", Value::U32(0)),
        (28, "MaxConnRate", "MMP", Value::U32(counters.rate.max())),
        (29, "SessRate", "MRP", Value::U32(rate)),
        (30, "SessRateLimit", "CLP", Value::U32(0)),
        (31, "MaxSessRate", "MRP", Value::U32(counters.rate.max())),
        (47, "Tasks", "MGP", Value::U32(process.tasks)),
        (48, "Run_queue", "MGP", Value::U32(0)),
        (49, "Idle_pct", "MaP", Value::U32(process.idle_percent(uptime))),
        (50, "node", "COS", text(process.node)),
        (52, "Stopping", "MGP", Value::U32(running.stats.is_shutting_down().into())),
        (53, "Jobs", "MGP", Value::U32(counters.open.get() + u64::try_from(listeners).unwrap_or(0))),
        (55, "Listeners", "MGP", Value::U32(u64::try_from(listeners).unwrap_or(0))),
        (61, "TotalBytesOut", "MGP", Value::U64(counters.bytes_out.get())),
        (70, "Start_time_sec", "MDP", Value::U32(started)),
    ];
    let field = |(position, name, letters, value)| Field { position, name, tags: Tags::new(letters), value };
    list.into_iter().map(field).collect()
}

/// Returns the modification date of the program file. Some tools require a release date.
fn release_date() -> String {
    let made = std::fs::metadata("/proc/self/exe").and_then(|file| file.modified()).unwrap_or(UNIX_EPOCH);
    let made = Utc(made).to_string();
    made.split('T').next().unwrap_or_default().replace('-', "/")
}

/// Formats a span as `HAProxy` does, for example `1d 2h03m04s`.
fn days(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600 % 24);
    format!("{}d {hours}h{minutes:02}m{:02}s", seconds / 86_400, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_date_has_the_form_of_haproxy() {
        let made = release_date();
        let parts: Vec<_> = made.split('/').map(str::len).collect();
        assert_eq!(parts, [4, 2, 2], "{made}");
    }
}
