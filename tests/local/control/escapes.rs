//! Programs and names cannot forge log lines, nor change a terminal.

use std::fs;

use dormouse_tests::Stream;
use dormouse_tests::messages;
use dormouse_tests::wait::{LIMIT, SOON};

use super::rig::Rig;

/// A server whose output and status try to look like lines of dormouse. It echoes one client.
const SERVER: &str = r#"
import os, socket, sys
def say(text):
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
say(b"out\r\x1b[2K<3>other: starting \xe2\x86\x92 failed\x07\n")
say(b"\xe2\x80\xaegnp.exe\n")
status = b"STATUS=fine\r\x1b[1Aother: starting \xe2\x86\x92 failed\nREADY=1"
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(status, os.environ["NOTIFY_SOCKET"])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(10)
while True:
    client, _ = listener.accept()
    client.sendall(client.recv(100))
    client.close()
"#;

/// Returns whether a character of a text of several lines would not be shown as itself.
fn is_special(c: char) -> bool {
    c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn no_text_of_others_forges_a_line_of_the_log() {
    let services = r#"
[services.web]
listen = LISTEN
to = "DIR/back"
ready = "notify"
wake.exec = "python3 -S -E DIR/server.py DIR/back"
[services.odd]
listen = "DIR/a\n<3>other: forged"
to = "DIR/nowhere\u001b[2K"
"#;
    let rig = Rig::with_files(&[("server.py", SERVER)], services).unwrap();
    let client = rig.client_of("web").unwrap();
    client.send(b"hello", SOON).unwrap();
    assert_eq!(
        client.receive(5, LIMIT).map_err(|failure| rig.dormouse.with_log(&failure)).unwrap(),
        b"hello"
    );
    drop::<Stream>(client);
    // The program and its status are marked as such.
    for line in
        ["out\\u{d}\\u{1b}[2K<3>other:", "\\u{202e}gnp.exe", "STATUS=fine\\u{d}\\u{1b}[1Aother: starting"]
    {
        rig.wait_for_log(&messages::output("web", line)).unwrap();
    }
    let log = rig.log();
    rig.expect(!log.contains(is_special), &format!("{log:?}"));
    let others: Vec<_> = log.lines().filter(|line| line.contains("other:")).collect();
    let is_marked = |line: &&str| line.starts_with("web| ") || line.starts_with(messages::LISTENING);
    assert!(others.len() == 3 && others.iter().all(is_marked), "{others:#?}");
    // Nor of the other outputs.
    let config = format!("--config={}", rig.dir.join("dormouse.toml").display());
    for words in [&["status"][..], &["explain", "web"], &["explain", "odd"], &["status", "--json"]] {
        let (_, text) = rig.dormouse(words).unwrap();
        assert!(!text.contains(is_special), "{words:?}: {text:?}");
    }
    let checked = dormouse_tests::Launch::dormouse().args(["check", &config]).start().unwrap();
    checked.stdout().wait_for("{1b}", SOON).unwrap();
    let text = checked.stdout().text();
    assert!(!text.contains(is_special), "{text:?}");
    let csv = rig.ask("show stat").unwrap();
    assert!(csv.contains("\\u{1b}") && !csv.contains(is_special), "{csv:?}");
    // A configuration that cannot be read is reported in single lines.
    let file = rig.dir.join("odd\nname.toml");
    fs::write(&file, "listen = \"\\u001b\"\n").unwrap();
    let mut failed = dormouse_tests::Launch::dormouse()
        .arg("run")
        .arg(format!("--config={}", file.display()))
        .start()
        .unwrap();
    assert_eq!(failed.wait(SOON).unwrap().code(), Some(78));
    let text = failed.stderr().text();
    let named = |line: &str| line.contains("/odd\\u{a}name.toml");
    assert!(!text.contains(is_special) && text.lines().all(named), "{text:?}");
}
