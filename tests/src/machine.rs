//! Runs tests inside namespaces with a real service manager.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use crate::failure::Doing;
use crate::{Failure, Result, Subject, wait};

/// The time limit for a unit to reach the state that it is changing to.
pub const SETTLE: Duration = Duration::from_secs(30);

/// The path of dormouse inside the namespaces.
pub const DORMOUSE: &str = "/usr/bin/dormouse";

/// The path of dormouse under the name systemd-socket-proxyd inside the namespaces.
pub const DORMOUSE_AS_SOCKET_PROXYD: &str = "/usr/lib/dormouse/systemd-socket-proxyd";

/// The path of the running test inside the namespaces.
const DRIVER: &str = "/usr/lib/dormouse/driver";

/// This variable is set inside the namespaces; its value is the kind of service manager.
const INSIDE: &str = "DORMOUSE_TEST_INSIDE";

/// Variables of the caller that are passed into the namespaces.
const PASSED_ON: [&str; 2] = ["DORMOUSE_SEED", "DORMOUSE_ROUNDS"];

/// The kind of service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// `systemd --user` of an unprivileged user.
    User,
    /// `systemd --system`.
    System,
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// Defines a test that runs a case: `case!(User, name_of_the_test, LIMIT, case)`. With `case!(User in tree,
/// name_of_the_test, LIMIT, case)` the files are not the host's but those of the directory whose path `tree()`
/// returns.
#[macro_export]
macro_rules! case {
    ($manager:ident, $name:ident, $limit:expr, $case:expr) => {
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            $crate::machine::inside(path, $crate::machine::Manager::$manager, None, $limit, $case);
        }
    };
    ($manager:ident in $tree:path, $name:ident, $limit:expr, $case:expr) => {
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            $crate::machine::inside(path, $crate::machine::Manager::$manager, Some($tree), $limit, $case);
        }
    };
}
pub use case;

/// Returns the path of a tree of files for the root of the namespaces. Making the tree may take any time.
pub type Tree = fn() -> Result<PathBuf>;

/// Runs `case`, the body of the test at `path`, with a service manager of this kind in new namespaces. The test
/// fails if the case fails. The files are those of the host, or of `tree`.
///
/// # Panics
/// When the case fails, or cannot be run.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn inside(
    path: &str,
    manager: Manager,
    tree: Option<Tree>,
    limit: Duration,
    case: impl FnOnce(&Machine) -> Result<()>,
) {
    let outcome = match env::var(INSIDE) {
        Ok(kind) if kind == manager.name() => case(&Machine { manager }),
        Ok(kind) => Err(Failure::Unexpected(format!("a {kind} manager for a test of {manager:?}"))),
        Err(_) => match tree.map(|tree| tree()).transpose() {
            Ok(tree) => enter(path, manager, tree.as_deref(), limit),
            Err(failure) => Err(failure),
        },
    };
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Runs the test at `path` again, inside new namespaces.
fn enter(path: &str, manager: Manager, tree: Option<&Path>, limit: Duration) -> Result<()> {
    let test = path.split_once("::").map_or(path, |(_, within_the_crate)| within_the_crate);
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/ns").join(format!("{}.sh", manager.name()));
    let program = Subject::Dormouse.program()?;
    let program = program.canonicalize().doing(|| format!("find {}", program.display()))?;
    let driver = env::current_exe().doing(|| "find the running test".to_owned())?;

    // The script enforces the deadline of the case; `timeout` enforces one for the script itself.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &(limit.as_secs() + 60).to_string()]);
    command.arg(script).args(["-d", &limit.as_secs().to_string()]);
    if let Some(tree) = tree {
        command.arg("-t").arg(tree);
    }
    for (from, to) in [(&program, DORMOUSE), (&program, DORMOUSE_AS_SOCKET_PROXYD), (&driver, DRIVER)] {
        command.arg("-m").arg(format!("{}:{to}", from.display()));
    }
    command.arg("env").arg(format!("{INSIDE}={}", manager.name()));
    for variable in PASSED_ON {
        if let Ok(value) = env::var(variable) {
            command.arg(format!("{variable}={value}"));
        }
    }
    command.args([DRIVER, "--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.output().doing(|| "run timeout".to_owned())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{stdout}");
    eprint!("{stderr}");
    if output.status.code() == Some(77) {
        return Err(Failure::missing("a prerequisite of the namespaces", stderr.trim()));
    }
    // The test binary exits with success also if it does not find the test.
    if !output.status.success() || !stdout.contains("test result: ok. 1 passed") {
        return Err(Failure::Unexpected(format!("inside: {}", output.status)));
    }
    Ok(())
}

/// The service manager, for a test inside its namespaces.
#[derive(Debug)]
pub struct Machine {
    manager: Manager,
}

impl Machine {
    /// The kind of the service manager.
    pub fn manager(&self) -> Manager {
        self.manager
    }

    /// The directory that units call `%t`.
    pub fn runtime(&self) -> PathBuf {
        match self.manager {
            Manager::User => env::var_os("XDG_RUNTIME_DIR").unwrap_or_default().into(),
            Manager::System => "/run".into(),
        }
    }

    /// Installs unit files (or drop-ins: names with a directory) and has the manager read them.
    ///
    /// # Errors
    /// When they cannot be written or the service manager refuses them.
    pub fn install(&self, units: &[(&str, &str)]) -> Result<()> {
        let dir = match self.manager {
            Manager::User => Path::new(&env::var_os("HOME").unwrap_or_default()).join(".config/systemd/user"),
            Manager::System => "/etc/systemd/system".into(),
        };
        for (name, text) in units {
            write(&dir.join(name), text)?;
        }
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// Runs systemctl and returns its output.
    ///
    /// # Errors
    /// When it fails; the failure holds its messages and the units' states.
    pub fn systemctl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("systemctl");
        if self.manager == Manager::User {
            command.arg("--user");
        }
        let output = command.args(args).output().doing(|| "run systemctl".to_owned())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Failure::Unexpected(format!("systemctl {}: {} {stderr}", args.join(" "), output.status)))
        }
    }

    /// A property of a unit, as `systemctl show` writes it.
    ///
    /// # Errors
    /// When systemctl fails.
    pub fn property(&self, unit: &str, property: &str) -> Result<String> {
        Ok(self.systemctl(&["show", "-P", property, unit])?.trim_end().to_owned())
    }

    /// A property of a unit that is a number.
    ///
    /// # Errors
    /// When systemctl fails, or the property is not a number.
    pub fn number(&self, unit: &str, property: &str) -> Result<u64> {
        let text = self.property(unit, property)?;
        text.parse().map_err(|_| Failure::Unexpected(format!("{property} of {unit} is {text:?}")))
    }

    /// Returns a property of several units, in the order of `units`.
    ///
    /// # Errors
    /// When systemctl fails.
    pub fn properties(&self, units: &[&str], property: &str) -> Result<Vec<String>> {
        let text = self.systemctl(&[&["show", "-P", property], units].concat())?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Waits until a unit's property has this value.
    ///
    /// # Errors
    /// When it does not within `limit`; the failure contains the last value.
    pub fn wait(&self, unit: &str, property: &str, value: &str, limit: Duration) -> Result<()> {
        let mut last = String::new();
        wait::until(&format!("{property}={value} of {unit}"), limit, || {
            last = self.property(unit, property)?;
            Ok((last == value).then_some(()))
        })
        .map_err(|failure| Failure::Unexpected(format!("{failure}: the last value is {last:?}")))
    }

    /// Waits until all of `units` are inactive, and fails if one of them failed.
    ///
    /// # Errors
    /// When they are not within [`SETTLE`].
    pub fn wait_inactive(&self, units: &[&str]) -> Result<()> {
        wait::until(&format!("inactive state of {units:?}"), SETTLE, || {
            let states = self.properties(units, "ActiveState")?;
            if states.iter().any(|state| state == "failed") {
                return Err(Failure::Unexpected(format!("{units:?} are {states:?}")));
            }
            Ok(states.iter().all(|state| state == "inactive").then_some(()))
        })
    }

    /// Fails unless a unit's property has this value at the time of the call.
    ///
    /// # Errors
    /// When it has another.
    pub fn expect(&self, unit: &str, property: &str, value: &str) -> Result<()> {
        let actual = self.property(unit, property)?;
        if actual == value {
            Ok(())
        } else {
            Err(Failure::Unexpected(format!("{property} of {unit} is {actual:?} instead of {value:?}")))
        }
    }
}

/// Writes a file and the directories above it.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).doing(|| format!("make {}", dir.display()))?;
    }
    fs::write(path, text).doing(|| format!("write {}", path.display()))
}

/// Fails with `what` unless `holds`.
///
/// # Errors
/// When it does not hold.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Failure::Unexpected(what())) }
}
