//! `dormouse convert` as a program: hand-written `HAProxy` configurations and their expected results. `HAProxy` itself
//! checks the configurations.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use dormouse_tests::messages;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Launch, Result};

/// The cases: `local/cli/convert/NAME.cfg` becomes `local/cli/convert/NAME.toml`.
const CASES: [&str; 7] = ["bridge", "pair", "debian", "continued", "cluster", "rules", "names"];

/// The exit code, the standard output and the standard error of a command.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

fn dormouse(launch: Launch) -> Result<Outcome> {
    let mut subject = launch.start()?;
    let code = subject.wait(SOON)?.code();
    Ok(Outcome { code, out: subject.stdout().text(), err: subject.stderr().text() })
}

fn convert(args: &[&str]) -> Result<Outcome> {
    dormouse(Launch::dormouse().arg("convert").args(args))
}

fn golden(case: &str) -> (String, String) {
    let expected = fs::read_to_string(format!("local/cli/convert/{case}.toml"));
    (format!("local/cli/convert/{case}.cfg"), expected.unwrap_or_default())
}

/// Returns the findings of `dormouse check`, except that it warns of UNIX servers behind TCP, as `HAProxy` does not.
fn refused(said: &str) -> Vec<&str> {
    let of_check = |line: &&str| line.contains("(dormouse check)") || line.contains(": services.");
    said.lines().filter(of_check).filter(|line| !line.contains(messages::WIDER)).collect()
}

#[test]
fn each_case_has_the_expected_result_and_reports_each_finding_twice() {
    for case in CASES {
        let (file, expected) = golden(case);
        let said = convert(&[&file]).unwrap();
        assert_eq!(said.out, expected, "{case}");
        let findings: Vec<_> = expected.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
        for finding in &findings {
            assert!(said.err.contains(finding), "{case}: {finding} is missing in {}", said.err);
        }
        assert_eq!(refused(&said.err), Vec::<&str>::new(), "{case}: {}", said.err);
        let complete = !expected.contains("# Not converted:") && !said.err.contains("(dormouse check)");
        assert_eq!(said.code, Some(i32::from(!complete)), "{case}: {}", said.err);
    }
}

#[test]
fn check_accepts_the_results() {
    let dir = TempDir::new().unwrap();
    for case in CASES {
        let (file, expected) = golden(case);
        let output = dir.join(case);
        let output = output.to_string_lossy();
        let said = convert(&[&file, "-o", &output]).unwrap();
        assert_eq!(said.out, "", "{case}");
        assert_eq!(fs::read_to_string(&*output).unwrap(), expected, "{case}");
        let said = dormouse(Launch::dormouse().args(["check", &output])).unwrap();
        assert_eq!(refused(&said.err), Vec::<&str>::new(), "{case}: {}", said.err);
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        CASES.len(),
        "temporary files remain beside the results"
    );
}

#[test]
fn variables_are_replaced_by_the_environment() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("haproxy.cfg");
    fs::write(&file, "listen web\n bind \"127.0.0.1:${PORT}\"\n server a \"${HOST-127.0.0.1}:81\"\n server b \"$HOST:82\"\n").unwrap();
    let said = dormouse(Launch::dormouse().arg("convert").arg(&file).env("PORT", "8080")).unwrap();
    assert!(said.out.contains("listen = \"127.0.0.1:8080\"\n"), "{}", said.out);
    assert!(said.out.contains("to = \"127.0.0.1:81\"\n"), "{}", said.out);
    assert!(
        said.err.contains(":2: bind \"127.0.0.1:${PORT}\": replaced by its current value: PORT"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains(":4: server b \"$HOST:82\": not set in the environment, so treated as empty: HOST"),
        "{}",
        said.err
    );
    assert_eq!(said.code, Some(1));
}

#[test]
fn an_input_that_is_not_an_haproxy_configuration_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let output = dir.join("out.toml");
    let file = dir.join("in.cfg");
    for (text, why) in [
        ("[services.web]\n", ":1: [services.web] appears before any section"),
        ("# nothing\n\n", ": no section found"),
        ("hello 'world\n", ":1: unterminated quote"),
    ] {
        fs::write(&file, text).unwrap();
        let said = convert(&[&file.to_string_lossy(), "-o", &output.to_string_lossy()]).unwrap();
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{text}");
        assert!(said.err.contains(why), "{text}: {}", said.err);
        assert!(!output.exists());
    }
    let missing = dir.join("missing.cfg");
    let said = convert(&[&missing.to_string_lossy()]).unwrap();
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("missing.cfg: cannot be read: No such file"), "{}", said.err);
    let said = convert(&["local/cli/convert/bridge.cfg", "-o", "/proc/nowhere/out"]).unwrap();
    assert_eq!(said.code, Some(2), "{}", said.err);
    let output = dir.join("missing/out.toml");
    let said = convert(&["local/cli/convert/bridge.cfg", "-o", &output.to_string_lossy()]).unwrap();
    let parent = dir.join("missing");
    let remedy = format!("the directory {0} is missing; create it: mkdir -p {0}", parent.display());
    assert!(said.code == Some(2) && said.err.contains(&remedy), "{}", said.err);
    assert_eq!(convert(&[]).unwrap().code, Some(2));
    assert!(Path::new("local/cli/convert/bridge.cfg").exists());
}

#[test]
fn the_result_follows_links_writes_pipes_and_keeps_the_mode() {
    let dir = TempDir::new().unwrap();
    let (case, expected) = golden("pair");
    let written = |name: &str| {
        let said = convert(&[&case, "-o", &dir.join(name).to_string_lossy()]).unwrap();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{name}");
    };
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o7777;

    fs::write(dir.join("old.toml"), "old").unwrap();
    fs::set_permissions(dir.join("old.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old.toml", dir.join("link.toml")).unwrap();
    symlink("new.toml", dir.join("dangling.toml")).unwrap();
    for (name, target) in [("old.toml", "old.toml"), ("link.toml", "old.toml"), ("dangling.toml", "new.toml")]
    {
        written(name);
        assert_eq!(fs::read_to_string(dir.join(target)).unwrap(), expected, "{name}");
    }
    assert_eq!(mode("old.toml"), 0o640);
    assert!(dir.join("link.toml").is_symlink() && dir.join("dangling.toml").is_symlink());

    let pipe = dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (send, received) = mpsc::channel();
    let end = pipe.clone();
    thread::spawn(move || send.send(fs::read_to_string(end)));
    written("pipe");
    assert_eq!(received.recv_timeout(SOON).unwrap().unwrap(), expected);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

    assert_eq!(convert(&[&case, "-o", &dir.path().to_string_lossy()]).unwrap().code, Some(2));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "temporary files remain beside the results");
}
