//! A real journal: log entries can be selected by their fields.

use std::process::Command;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, case, ensure, write};
use dormouse_tests::messages;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Address, Family, Listener, Result, Stream};

const LIMIT: Duration = Duration::from_secs(120);

case!(System, journal_entries_have_fields, LIMIT, fields);

/// Returns the entries that match these fields, as one JSON object per line.
fn entries(matches: &[&str]) -> Result<String> {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--output=json"]).args(matches);
    let output = command.output().doing(|| "run journalctl".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn fields(machine: &Machine) -> Result<()> {
    let server = Listener::bind(Family::Tcp4)?;
    let file = machine.runtime().join("dormouse.toml");
    write(
        &file,
        &format!(
            "log = 'tcplog'\n[services.web]\nlisten = '127.0.0.1:8080'\n[[services.web.servers]]\nname = 'first'\nto = \
             '{}'\n",
            server.address()
        ),
    )?;
    let unit = format!("[Service]\nType=notify\nExecStart={DORMOUSE} run --config={}\n", file.display());
    machine.install(&[("front.service", &unit)])?;
    machine.systemctl(&["start", "front.service"])?;
    let client = Stream::connect(&Address::Tcp(([127, 0, 0, 1], 8080).into()), SOON)?;
    client.send(b"hello", SOON)?;
    let serving = server.accept(SOON)?;
    serving.receive(5, SOON)?;
    serving.send(b"yes", SOON)?;
    client.receive(3, SOON)?;
    drop((client, serving));
    // Select the entries as an administrator does.
    let matches = ["SYSLOG_IDENTIFIER=dormouse", "DORMOUSE_SERVICE=web", "DORMOUSE_SERVER=first"];
    let found = wait::until("the session in the journal", SETTLE, || {
        let found = entries(&matches)?;
        Ok((!found.is_empty()).then_some(found))
    })?;
    for part in [
        r#""PRIORITY":"6""#,
        r#""DORMOUSE_BYTES_UP":"5""#,
        r#""DORMOUSE_BYTES_DOWN":"3""#,
        r#""DORMOUSE_CLIENT":"127.0.0.1:"#,
        r#""DORMOUSE_END":""#,
        r#""_SYSTEMD_UNIT":"front.service""#,
        r#""_TRANSPORT":"journal""#,
    ] {
        let found = found.replace("\" : \"", "\":\"");
        ensure(found.contains(part), || format!("no {part} in {found}"))?;
    }
    ensure(found.lines().count() == 1, || format!("not one entry: {found}"))?;
    let start = entries(&["SYSLOG_IDENTIFIER=dormouse", "PRIORITY=6"])?;
    ensure(start.contains(&messages::listening_on("127.0.0.1:8080")), || {
        format!("the entries from the start: {start}")
    })
}
