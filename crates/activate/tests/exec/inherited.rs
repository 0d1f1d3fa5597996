//! What a program must not inherit from the environment of dormouse.

use crate::rig::{Drive, until};

#[test]
fn variables_of_the_environment_change_nothing() {
    let hostile = [
        "env",
        "DORMOUSE_DESCRIPTORS=20",
        "DORMOUSE_RUN=forged",
        "DORMOUSE_SERVICE=forged",
        "CREDENTIALS_DIRECTORY=/run/credentials/dormouse.service",
        "NOTIFY_SOCKET=/run/forged",
    ];
    let plain = started(&[], "echo limit $(ulimit -n); echo the end");
    let limited = started(&hostile, "echo limit $(ulimit -n); env; echo the end");
    let limit = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("Output(\"limit ")).unwrap();
        line.to_owned()
    };
    assert_eq!(limit(&limited), limit(&plain));
    assert!(limited.contains("Output(\"DORMOUSE_SERVICE=drive\")"), "{limited}");
    for absent in ["forged", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"] {
        assert!(!limited.contains(absent), "{limited}");
    }
}

#[test]
fn descriptors_that_dormouse_inherited_are_closed() {
    let with_descriptor = ["sh", "-c", "exec 7</etc/passwd; exec \"$@\"", "sh"];
    let text = started(
        &with_descriptor,
        "for fd in /proc/self/fd/*; do echo \"$fd\"; done; readlink /proc/$$/fd/7; echo the end",
    );
    assert!(text.contains("/proc/self/fd/2\")"), "{text}");
    assert!(!text.contains("/etc/passwd"), "{text}");
}

/// Runs a script to its end, and returns the output of the driver.
fn started(through: &[&str], script: &str) -> String {
    let drive = Drive::start(through, script);
    drive.send("start");
    until("the end", || drive.text().contains("Output(\"the end\")"));
    drive.text()
}
