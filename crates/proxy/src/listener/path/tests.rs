use super::*;
use crate::listener::open::BACKLOG;
use dormouse_config::listen_options::Owner;
use rustix::fs::Uid;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("dormouse-path-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn open_plainly(path: &Path) -> Result<Listener, StepError> {
    open(path, &FileOptions::default(), BACKLOG)
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn replaces_a_stale_file_but_no_live_one_and_removes_its_own() {
    let directory = directory("stale");
    let path = directory.join("s");
    drop(UnixListener::bind(&path).unwrap());
    let ours = open_plainly(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    let (_, error) = open_plainly(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(names_in(&directory), ["s"]);
    drop(ours);
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    open_plainly(&path).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_first_to_replace_a_stale_file_keeps_it() {
    let directory = directory("race");
    let path = directory.join("s");
    let parent = Directory::open(&directory).unwrap();
    let moved = |stale: bool| {
        let private = parent.create_private("s".as_ref()).unwrap();
        let _leftover = Leftover(&private);
        let socket = socket(AddressFamily::UNIX).unwrap();
        bind_in(&private, &socket).unwrap();
        listen(&socket, 1).unwrap();
        move_into_place(&private, &parent, "s".as_ref(), stale).map(|()| socket)
    };
    for stale in [true, false] {
        // Another program listens since the file was found stale or absent.
        let theirs = UnixListener::bind(&path).unwrap();
        assert_eq!(moved(stale).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs.accept().expect("it is still theirs");
        assert_eq!(names_in(&directory), ["s"]);
        fs::remove_file(&path).unwrap();
    }
    // Another program wrote a file there meanwhile.
    fs::write(&path, "precious").unwrap();
    assert_eq!(moved(true).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    // If the stale file was removed meanwhile, the path is free.
    let _ours = moved(true).unwrap();
    UnixStream::connect(&path).unwrap();
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn does_not_remove_a_file_that_replaced_its_own() {
    let directory = directory("replaced");
    let path = directory.join("s");
    let ours = open_plainly(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
    fs::remove_dir_all(directory).unwrap();
}

/// Runs a closure without root privileges.
fn without_rights<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        if rustix::process::geteuid().is_root() {
            let nobody = Uid::from_raw(65_534);
            // Of this thread only.
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        run()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Options that only root can set.
fn of_a_foreign_group() -> FileOptions {
    let group = Owner { name: "2000000000".to_owned(), id: 2_000_000_000 };
    FileOptions { mode: Some(0o600), owner: None, group: Some(group) }
}

#[test]
fn a_failed_open_leaves_no_file() {
    let directory = directory("undone");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    let path = directory.join("s");
    let opened = without_rights(|| open(&path, &of_a_foreign_group(), BACKLOG));
    let (operation, error) = opened.unwrap_err();
    assert_eq!((operation, error.kind()), ("set the owner", io::ErrorKind::PermissionDenied));
    assert!(names_in(&directory).is_empty());
    // Without the options the open succeeds.
    drop(without_rights(|| open_plainly(&path)).unwrap());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_failed_change_of_permissions_is_reported() {
    let directory = directory("unchanged");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    let path = directory.join("s");
    let said = without_rights(|| {
        let listener = open_plainly(&path).unwrap();
        let said = listener.set_file_permissions(&of_a_foreign_group()).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        // The file of another program is not changed.
        listener.set_file_permissions(&of_a_foreign_group()).unwrap();
        said
    });
    let expected = format!("cannot set the permissions of {}: set the owner: ", path.display());
    assert!(said.starts_with(&expected) && said.contains("only root can set another owner"), "{said}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_path_of_maximum_length_can_be_bound() {
    let directory = directory("long");
    let room = 107 - directory.as_os_str().len() - 1;
    let path = directory.join("x".repeat(room));
    drop(UnixListener::bind(&path).unwrap());
    let ours = open_plainly(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(ours);
    assert!(names_in(&directory).is_empty());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_kernel_shows_the_path_unless_others_can_redirect_it() {
    let directory = directory("shown");
    let bound = || {
        let parent = Directory::open(&directory).unwrap();
        let private = parent.create_private("front".as_ref()).unwrap();
        let _leftover = Leftover(&private);
        let socket = socket(AddressFamily::UNIX).unwrap();
        bind_in(&private, &socket).unwrap();
        let address = SocketAddrUnix::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        let shown = address.path().unwrap().to_string_lossy().into_owned();
        (shown, private.path_of(PRIVATE_NAME).is_some())
    };
    // Others may write to a directory above that of temporary files.
    let (shown, is_fixed) = bound();
    assert_eq!(shown.starts_with(&format!("{}/front.", directory.display())), is_fixed, "{shown}");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o775)).unwrap();
    let (shown, is_fixed) = bound();
    assert!(shown.starts_with("/proc/self/fd/") && !is_fixed, "{shown}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_directory_that_every_user_may_replace_is_refused() {
    let directory = directory("above");
    let below = directory.join("app");
    fs::create_dir(&below).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let (operation, error) = open_plainly(&below.join("s")).unwrap_err();
    assert_eq!(operation, "unsafe directory");
    assert!(error.to_string().contains(&format!("(chmod +t {})", directory.display())), "{error}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_directory_in_which_every_user_may_replace_the_socket_is_refused() {
    let directory = directory("open");
    let path = directory.join("s");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let (operation, error) = open_plainly(&path).unwrap_err();
    let said = error.to_string();
    assert_eq!(operation, "unsafe directory");
    assert!(
        said.contains(&format!("(chmod +t {})", directory.display())) && said.contains("owner "),
        "{said}"
    );
    assert_eq!(unsafe_path(&path), Some(UnsafePath::Directory(said)));
    assert!(names_in(&directory).is_empty());
    for mode in [0o1777, 0o775, 0o755] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(unsafe_path(&path), None);
        drop(open_plainly(&path).unwrap());
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn permissions_do_not_follow_a_link_in_the_place_of_the_socket() {
    let directory = directory("link");
    let (path, victim) = (directory.join("s"), directory.join("victim"));
    fs::write(&victim, "").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let mode = || fs::metadata(&victim).unwrap().mode() & 0o777;
    let to_all = FileOptions { mode: Some(0o666), ..FileOptions::default() };
    let ours = open(&path, &to_all, BACKLOG).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();
    ours.set_file_permissions(&to_all).unwrap();
    assert_eq!(mode(), 0o600);
    // A link in the place of the socket is neither followed nor replaced.
    drop(ours);
    let (_, error) = open(&path, &to_all, BACKLOG).unwrap_err();
    assert_eq!((error.kind(), mode()), (io::ErrorKind::AlreadyExists, 0o600));
    fs::remove_dir_all(directory).unwrap();
}
