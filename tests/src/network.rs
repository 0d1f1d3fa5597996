//! A network namespace for one test, in which packets can be dropped, and names have other addresses.

use std::env;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::failure::Doing;
use crate::{Failure, Result};

/// This variable is set inside the namespace.
const INSIDE: &str = "DORMOUSE_TEST_NETWORK";

/// Runs the test at `path` again in a new network namespace; inside that namespace, runs the case.
#[expect(clippy::panic, reason = "this is how a test fails")]
///
/// # Panics
/// When the case fails.
pub fn inside(path: &str, limit: Duration, case: impl FnOnce() -> Result<()>) {
    let outcome = match env::var_os(INSIDE) {
        Some(_) => run("ip", &["link", "set", "lo", "up"]).and_then(|()| case()),
        None => enter(path, limit),
    };
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn enter(path: &str, limit: Duration) -> Result<()> {
    let test = path.split_once("::").map_or(path, |(_, within_the_crate)| within_the_crate);
    let driver = env::current_exe().doing(|| "find the running test".to_owned())?;
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &limit.as_secs().to_string(), "unshare", "--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--").arg(driver).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(INSIDE, "1").output().doing(|| "run timeout".to_owned())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{stdout}");
    eprint!("{stderr}");
    // The test binary exits with success also if it does not find the test.
    if !output.status.success() || !stdout.contains("test result: ok. 1 passed") {
        let what =
            format!("inside: {}; unshare, ip and nft are needed (scripts/test-deps.sh)", output.status);
        return Err(Failure::Unexpected(what));
    }
    Ok(())
}

/// Gives a name these addresses, and no other name an address. `file` replaces /etc/hosts inside the namespace.
///
/// # Errors
/// When the file cannot be written or mounted.
pub fn name_addresses(file: &Path, name: &str, addresses: &[IpAddr]) -> Result<()> {
    let mounted = file.exists();
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    // The same file, so that the mount stays.
    std::fs::write(file, lines.concat()).doing(|| format!("write {}", file.display()))?;
    if mounted {
        return Ok(());
    }
    run("mount", &["--bind", &file.display().to_string(), "/etc/hosts"])
}

/// Drops all packets from and to this port from now on.
///
/// # Errors
/// When nft refuses.
pub fn black_hole(port: u16) -> Result<()> {
    let rules = format!(
        "add table inet hole; add chain inet hole input {{ type filter hook input priority 0; }}; \
         add rule inet hole input tcp dport {port} drop; add rule inet hole input tcp sport {port} drop"
    );
    run("nft", &[&rules])
}

/// Removes the rules of [`black_hole`].
///
/// # Errors
/// When nft refuses.
pub fn remove_black_hole() -> Result<()> {
    run("nft", &["delete table inet hole"])
}

/// Limits the range of local ports that the kernel connects from.
///
/// # Errors
/// When the kernel refuses.
pub fn connect_from(ports: std::ops::RangeInclusive<u16>) -> Result<()> {
    let range = format!("{} {}", ports.start(), ports.end());
    let file = "/proc/sys/net/ipv4/ip_local_port_range";
    std::fs::write(file, range).doing(|| format!("write {file}"))
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output().doing(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::Unexpected(format!("{program} {}: {} {stderr}", args.join(" "), output.status)))
}
