//! Who can connect to a UNIX socket, and listeners that let in more users than the server's socket does: their clients get
//! dormouse's rights at the server.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dormouse_core::address::{ListenAddress, Target};

use crate::model::{Listen, ServerConfig};

/// Those who can connect to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Clients of a network or of virtual machines, and each user of this machine. The server cannot see who they are.
    Network,
    /// Each user of this machine: the listener is an abstract UNIX socket.
    Everybody,
    /// The users that a file and its directories let in.
    File {
        /// The path.
        path: PathBuf,
        /// The permissions of the file.
        mode: u32,
        /// The owner; `None`: the user of dormouse.
        user: Option<u32>,
        /// The group; `None`: the group of dormouse.
        group: Option<u32>,
    },
}

impl Audience {
    /// Returns the audience of a configured listener. `None`: the service manager passes the sockets.
    pub fn of(listen: &Listen) -> Option<Self> {
        let Listen::Open { address, options } = listen else { return None };
        Some(match address {
            ListenAddress::Tcp(_) | ListenAddress::Vsock { .. } => Self::Network,
            ListenAddress::Abstract(_) => Self::Everybody,
            ListenAddress::Unix(path) => Self::File {
                path: path.as_path().to_owned(),
                // Without a mode the usual umask lets only the owner in.
                mode: options.file.mode.unwrap_or(0o755),
                user: options.file.owner.as_ref().map(|owner| owner.id),
                group: options.file.group.as_ref().map(|group| group.id),
            },
        })
    }

    /// Returns the audience of a socket that has this file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        let found = metadata(path)?;
        Ok(Self::File {
            path: path.to_owned(),
            mode: found.mode(),
            user: Some(found.uid()),
            group: Some(found.gid()),
        })
    }

    /// Returns the widest of the users that are let in.
    fn users(&self) -> Vec<User> {
        let Self::File { path, mode, user, group } = self else { return vec![User::Anybody] };
        if mode & 0o002 != 0 && directories_let_in(path, User::Anybody) != Some(false) {
            return vec![User::Anybody];
        }
        let member = group.filter(|_| mode & 0o020 != 0).map(User::Member);
        // Root may connect to every socket.
        let owner = user.filter(|user| *user != 0 && mode & 0o200 != 0).map(User::Owner);
        let users = member.into_iter().chain(owner);
        users.filter(|user| directories_let_in(path, *user) != Some(false)).collect()
    }
}

/// A user who wants to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    /// Each user of this machine.
    Anybody,
    /// Each member of this group.
    Member(u32),
    /// The user with this ID.
    Owner(u32),
}

/// A listener that is wider than the socket of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wider {
    /// The address of the server.
    server: String,
    from_network: bool,
}

impl Wider {
    /// Returns what that means and what to do. `pass` and `own` are the settings to write.
    pub fn explain(&self, pass: &str, own: &str) -> String {
        let Self { server, from_network } = self;
        let (who, remedy) = if *from_network {
            ("every client that reaches it", format!("listen on a UNIX socket with {pass}"))
        } else {
            ("it lets in users that the socket of the server does not, and each", format!("write {pass}"))
        };
        format!(
            "{who} gets the rights of dormouse's user at {server}; {remedy}, or write {own} if the server does not \
             decide by the user"
        )
    }
}

/// Returns the first server whose UNIX socket lets in fewer users than the listener. A socket that does not exist yet is
/// judged by its directories.
pub fn wider_than_server(listener: &Audience, servers: &[ServerConfig]) -> Option<Wider> {
    let from_network = *listener == Audience::Network;
    let users = if from_network { Vec::new() } else { listener.users() };
    servers.iter().find_map(|server| {
        let narrower = match &server.to {
            Target::Abstract(_) => from_network,
            Target::Unix(path) => {
                from_network || users.iter().any(|user| lets_in(path.as_path(), *user) == Some(false))
            }
            _ => false,
        };
        narrower.then(|| Wider { server: server.to.to_string(), from_network })
    })
}

/// Returns whether a socket lets a user in. `None`: that is not known.
fn lets_in(path: &Path, user: User) -> Option<bool> {
    let directories = directories_let_in(path, user);
    let file = metadata(path).ok().map(|found| permits(&found, user, 0o2));
    match (directories, file) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Returns whether each directory above a path lets a user through. `None`: that is not known.
fn directories_let_in(path: &Path, user: User) -> Option<bool> {
    let found = path.ancestors().skip(1).map(|directory| metadata(directory).ok());
    let permitted: Vec<Option<bool>> =
        found.map(|found| found.map(|found| permits(&found, user, 0o1))).collect();
    if permitted.contains(&Some(false)) {
        return Some(false);
    }
    permitted.into_iter().all(|known| known.is_some()).then_some(true)
}

/// Returns whether a file grants a user the permission with this bit for others.
fn permits(found: &Metadata, user: User, bit: u32) -> bool {
    let mode = found.mode();
    let granted = match user {
        User::Member(group) if found.gid() == group => bit << 3,
        User::Anybody | User::Member(_) => bit,
        User::Owner(user) if found.uid() == user => bit << 6,
        // The user may be a member of the group.
        User::Owner(_) => bit << 3 | bit,
    };
    mode & granted != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dormouse-width-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn socket(&self, mode: u32) -> Vec<ServerConfig> {
            let path = self.0.join(format!("{mode:o}"));
            let _ = fs::remove_file(&path);
            drop(UnixListener::bind(&path).unwrap());
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            server(path.as_os_str())
        }

        fn mode(&self, mode: u32) {
            fs::set_permissions(&self.0, Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn server(to: &OsStr) -> Vec<ServerConfig> {
        vec![ServerConfig::new("a".to_owned(), Target::parse(to).unwrap(), None)]
    }

    fn file(mode: u32, user: Option<u32>, group: Option<u32>) -> Audience {
        Audience::File { path: "/dormouse-does-not-exist/listener".into(), mode, user, group }
    }

    fn is_wider(listener: &Audience, servers: &[ServerConfig]) -> bool {
        wider_than_server(listener, servers).is_some()
    }

    #[test]
    fn clients_of_a_network_get_rights_at_every_unix_socket() {
        let directory = Directory::new("network");
        assert!(is_wider(&Audience::Network, &directory.socket(0o777)));
        assert!(is_wider(&Audience::Network, &server(OsStr::new("@abstract"))));
        assert!(is_wider(&Audience::Network, &server(OsStr::new("/dormouse-does-not-exist/socket"))));
        assert!(!is_wider(&Audience::Network, &server(OsStr::new("127.0.0.1:80"))));
    }

    #[test]
    fn everybody_is_more_than_the_users_of_a_file() {
        let directory = Directory::new("everybody");
        let everybody = [Audience::Everybody, file(0o666, None, None)];
        for (mode, wider) in [(0o777, false), (0o666, false), (0o660, true), (0o755, true), (0o600, true)] {
            let servers = directory.socket(mode);
            for listener in &everybody {
                assert_eq!(is_wider(listener, &servers), wider, "{listener:?} {mode:o}");
            }
            assert!(!is_wider(&file(0o600, None, None), &servers));
            assert!(!is_wider(&file(0o600, Some(0), None), &servers));
        }
        let servers = directory.socket(0o666);
        directory.mode(0o750);
        assert!(everybody.iter().all(|listener| is_wider(listener, &servers)), "the directory is closed");
        fs::remove_dir_all(&directory.0).unwrap();
        assert!(!is_wider(&Audience::Everybody, &servers), "what does not exist is not known");
        assert!(!is_wider(&Audience::Everybody, &server(OsStr::new("@abstract"))));
    }

    #[test]
    fn groups_and_owners_are_compared() {
        let directory = Directory::new("groups");
        let servers = directory.socket(0o660);
        let Target::Unix(path) = &servers[0].to else { panic!() };
        let found = metadata(path).unwrap();
        let (uid, gid) = (found.uid(), found.gid());
        assert!(!is_wider(&file(0o660, None, Some(gid)), &servers));
        assert!(is_wider(&file(0o660, None, Some(gid + 1)), &servers));
        assert!(!is_wider(&file(0o640, None, Some(gid + 1)), &servers), "the group may not connect");
        assert!(!is_wider(&file(0o600, Some(uid), None), &servers));
        let servers = directory.socket(0o600);
        assert!(is_wider(&file(0o600, Some(uid + 1), None), &servers));
    }

    #[test]
    fn a_closed_directory_makes_a_listener_narrow() {
        let (outer, inner) = (Directory::new("outer"), Directory::new("inner"));
        let servers = inner.socket(0o600);
        let listener = || {
            let path = outer.0.join("listener");
            Audience::File { path, mode: 0o666, user: None, group: None }
        };
        outer.mode(0o755);
        assert!(is_wider(&listener(), &servers));
        outer.mode(0o700);
        assert!(!is_wider(&listener(), &servers));
    }
}
