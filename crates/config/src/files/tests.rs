use super::*;
use crate::{Problem, ProgramUser};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let dir = Self(std::env::temp_dir().join(format!("dormouse-config-{name}-{}", std::process::id())));
        fs::create_dir_all(dir.0.join(DIRECTORY)).unwrap();
        for (name, text) in files {
            fs::write(dir.0.join(name), text).unwrap();
        }
        dir
    }

    fn load(&self) -> ReadResult {
        load_from(
            &self.0.join("dormouse.toml"),
            true,
            Environment { system_units: true, programs: ProgramUser::Root },
        )
    }

    fn load_alone(&self, name: &str) -> ReadResult {
        load_from(&self.0.join(name), false, Environment { system_units: true, programs: ProgramUser::Root })
    }

    fn errors(&self) -> Vec<String> {
        self.said(&self.load().result.unwrap_err())
    }

    fn said(&self, problems: &[Problem]) -> Vec<String> {
        let here = format!("{}/", self.0.display());
        problems.iter().map(|problem| problem.to_string().replace(&here, "")).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const A: &str = "listen = '127.0.0.1:1'\nto = '127.0.0.1:2'\n";
const B: &str = "log_level = 'debug'\n[services.b]\nlisten = '127.0.0.1:3'\nto = '127.0.0.1:2'\n";

#[test]
fn files_of_single_services_name_their_services_and_are_read_in_order() {
    let dir =
        Dir::new("order", &[("services.d/z.toml", A), ("services.d/a.toml", B), ("services.d/x.txt", "?")]);
    let config = dir.load().result.unwrap();
    let names: Vec<_> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["b", "z"]);
    assert_eq!(config.log_level, Some(dormouse_log::Level::Debug));
}

#[test]
fn all_files_are_one_configuration() {
    let dir = Dir::new("one", &[("dormouse.toml", B), ("services.d/b.toml", A), ("services.d/c.toml", B)]);
    assert_eq!(
        dir.errors(),
        [
            "services.d/b.toml: the name b is already used (dormouse.toml:2); choose another name",
            "services.d/c.toml:1: log_level: is also set in dormouse.toml:1; keep only one",
            "services.d/c.toml:2: services.b: the name b is already used (dormouse.toml:2); choose another name",
            "services.d/c.toml:3: services.b.listen: 127.0.0.1:3 is already used by service b (dormouse.toml:3); choose another address",
        ]
    );
}

#[test]
fn a_file_with_an_invalid_name_for_a_service_is_reported() {
    let dir = Dir::new("names", &[("services.d/with space.toml", A)]);
    assert_eq!(
        dir.errors(),
        [
            "services.d/with space.toml: \"with space\" is not a valid name; use 1 to 64 letters, digits, '-', '_' and '.'; rename the file"
        ]
    );
}

#[test]
fn an_unreadable_file_is_reported() {
    let dir = Dir::new("none", &[]);
    assert_eq!(
        dir.errors(),
        ["dormouse.toml: cannot be read: No such file or directory (os error 2); check the name"]
    );
    fs::write(dir.0.join("dormouse.toml"), b"a = 1\n\xff").unwrap();
    assert_eq!(dir.errors(), ["dormouse.toml: line 2 is not UTF-8; save the file as UTF-8"]);
}

#[test]
fn a_file_in_services_d_may_be_read_alone() {
    let dir = Dir::new("alone", &[("services.d/web.toml", A), ("web.toml", A)]);
    let config = dir.load_alone("services.d/web.toml").result.unwrap();
    assert_eq!(config.services[0].name, "web");
    assert!(dir.load_alone("web.toml").result.is_err());
}

#[test]
fn only_regular_files_are_read() {
    let dir = Dir::new("kinds", &[("services.d/a.toml", A)]);
    let path = dir.0.join("services.d/pipe.toml");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.0.join("services.d/socket.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.0.join("services.d/zero.toml")).unwrap();
    fs::create_dir(dir.0.join("services.d/d.toml")).unwrap();
    let remedy = "not a regular file; save the configuration in a file";
    assert_eq!(
        dir.errors(),
        [
            format!("services.d/d.toml: is a directory, {remedy}"),
            format!("services.d/pipe.toml: is a pipe, {remedy}"),
            format!("services.d/socket.toml: is a socket, {remedy}"),
            format!("services.d/zero.toml: is a device, {remedy}"),
        ]
    );
    fs::remove_file(&path).unwrap();
    fs::write(path, vec![b'#'; 1 << 20 | 1]).unwrap();
    let large = "services.d/pipe.toml: is larger than 1 MiB; name a configuration file".to_owned();
    assert!(dir.errors().contains(&large));
}

#[test]
fn a_configuration_that_others_may_change_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new("writable", &[("services.d/a.toml", A)]);
    let (file, directory) = (dir.0.join("services.d/a.toml"), dir.0.join("services.d"));
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let warnings = || {
        let outcome = dir.load();
        assert!(outcome.result.is_ok());
        dir.said(&outcome.warnings)
    };
    set(&file, 0o644);
    set(&directory, 0o755);
    assert!(warnings().is_empty());
    let effect = "and thereby run commands as the user of dormouse";
    set(&file, 0o666);
    assert_eq!(
        warnings(),
        [format!("services.d/a.toml: every user may change it, {effect}; correct its owner and its mode")]
    );
    set(&file, 0o664);
    set(&directory, 0o777);
    assert_eq!(
        warnings(),
        [format!(
            "services.d/a.toml: every user may replace it, {effect}; correct the owner and the mode of services.d"
        )]
    );
    set(&directory, 0o1777);
    assert!(warnings().is_empty());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(2_000_000_007), None).unwrap();
        assert!(warnings()[0].starts_with("services.d/a.toml: user 2000000007 may change it"));
    }
}

#[test]
fn a_missing_default_file_is_reported_with_the_remedies() {
    let said = advice(Path::new(DEFAULT), ErrorKind::NotFound);
    for way in ["create it", "--config=FILE", "dormouse run --help"] {
        assert!(said.contains(way), "{said}");
    }
    assert_eq!(advice(Path::new("/etc/other.toml"), ErrorKind::NotFound), "; check the name");
}
