//! The way to a service manager: its private socket or the bus; one connection for all units of the process.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Manager;
use super::dbus::{Arg, Connection, Failure, Message};

/// The manager's name on a bus.
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The path of the manager itself.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of the manager itself.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// The bus itself: name, path and interface.
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long one way to the manager may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a manager. The last one who lets go of it closes it.
pub(super) struct Wire {
    connection: Connection,
    /// The manager's unique name; `None` on its private socket, where nobody else can be.
    owner: Option<String>,
}

/// Those that are open, for others to use.
static OPEN: [Mutex<Weak<Wire>>; 2] = [Mutex::const_new(Weak::new()), Mutex::const_new(Weak::new())];

impl Wire {
    /// The connection to this manager that is open, or a new one.
    ///
    /// # Errors
    /// What is wrong with each way there.
    pub(super) async fn to(manager: Manager) -> Result<Arc<Self>, String> {
        let [system, user] = &OPEN;
        let mut open = match manager {
            Manager::System => system,
            Manager::User => user,
        }
        .lock()
        .await;
        if let Some(wire) = open.upgrade().filter(|wire| !wire.connection.is_gone()) {
            return Ok(wire);
        }
        let wire = Arc::new(Self::open(manager).await?);
        *open = Arc::downgrade(&wire);
        Ok(wire)
    }

    /// The private socket comes first: it works without a bus, survives the bus, and asks nobody else for permission.
    async fn open(manager: Manager) -> Result<Self, String> {
        let private = private_socket(manager);
        let direct = match within(direct(&private)).await {
            Ok(wire) => return Ok(wire),
            Err(reason) => reason,
        };
        let mut failures = format!("{}: {direct}", private.display());
        for place in bus_addresses(manager) {
            match within(over_bus(&place)).await {
                Ok(wire) => return Ok(wire),
                Err(reason) => failures = format!("{failures}; {place}: {reason}"),
            }
        }
        Err(failures)
    }

    /// Calls a method of the manager or of one of its units.
    pub(super) async fn call(
        &self,
        method: (&str, &str, &str),
        args: &[Arg<'_>],
    ) -> Result<Message, Failure> {
        self.connection.call(self.owner.as_deref(), method, args).await
    }

    /// Asks the bus, if there is one, for the signals of the manager that this rule describes further.
    pub(super) async fn subscribe(&self, rule: &str) -> Result<(), Failure> {
        if self.owner.is_none() {
            return Ok(());
        }
        let rule = format!("type='signal',sender='{SYSTEMD}',{rule}");
        add_match(&self.connection, &rule).await
    }

    /// Whether this signal is from the manager.
    pub(super) fn is_from_manager(&self, message: &Message) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == message.sender)
    }

    /// Whether this signal says that the manager has left the bus, or that another one is there.
    pub(super) fn is_farewell(&self, message: &Message) -> bool {
        self.owner.is_some()
            && message.sender == BUS
            && message.member == "NameOwnerChanged"
            && message.first_text().as_deref() == Some(SYSTEMD)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

async fn within(connecting: impl Future<Output = Result<Wire, Failure>>) -> Result<Wire, String> {
    match timeout(CONNECT, connecting).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(Failure::Gone(reason))) => Err(reason),
        Ok(Err(Failure::Error { name, text })) => Err(format!("{name}: {text}")),
        Err(_) => Err(format!("no answer within {} s", CONNECT.as_secs())),
    }
}

async fn direct(path: &Path) -> Result<Wire, Failure> {
    let socket = UnixStream::connect(path).await.map_err(|error| gone(&error))?;
    let wire =
        Wire { connection: Connection::over(socket).await.map_err(|error| gone(&error))?, owner: None };
    let _ = wire.call((MANAGER_PATH, MANAGER, "Subscribe"), &[]).await;
    Ok(wire)
}

async fn over_bus(place: &Place) -> Result<Wire, Failure> {
    let connection = Connection::over(place.connect().await.map_err(|error| gone(&error))?)
        .await
        .map_err(|error| gone(&error))?;
    connection.call(Some(BUS), (BUS_PATH, BUS, "Hello"), &[]).await?;
    let rule = format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'");
    add_match(&connection, &rule).await?;
    let owner = connection.call(Some(BUS), (BUS_PATH, BUS, "GetNameOwner"), &[Arg::Text(SYSTEMD)]).await?;
    let wire = Wire { connection, owner: owner.first_text() };
    // Without it the manager tells nothing over a bus.
    wire.call((MANAGER_PATH, MANAGER, "Subscribe"), &[]).await?;
    Ok(wire)
}

async fn add_match(connection: &Connection, rule: &str) -> Result<(), Failure> {
    connection.call(Some(BUS), (BUS_PATH, BUS, "AddMatch"), &[Arg::Text(rule)]).await.map(drop)
}

/// Where a manager listens for those who may do everything: root, or the user whose manager it is.
fn private_socket(manager: Manager) -> PathBuf {
    match manager {
        Manager::System => PathBuf::from("/run/systemd/private"),
        Manager::User => runtime_directory().join("systemd/private"),
    }
}

/// Where the bus may be that the manager is on.
fn bus_addresses(manager: Manager) -> Vec<Place> {
    let (variable, usual) = match manager {
        Manager::System => ("DBUS_SYSTEM_BUS_ADDRESS", PathBuf::from("/run/dbus/system_bus_socket")),
        Manager::User => ("DBUS_SESSION_BUS_ADDRESS", runtime_directory().join("bus")),
    };
    let mut places = match std::env::var(variable) {
        Ok(addresses) => addresses.split(';').filter_map(Place::parse).collect(),
        Err(_) => Vec::new(),
    };
    if places.is_empty() {
        places.push(Place::Path(usual));
    }
    places
}

fn runtime_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(|| format!("/run/user/{}", rustix::process::getuid().as_raw()).into(), PathBuf::from)
}

/// A UNIX socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Path(PathBuf),
    Abstract(String),
}

impl Place {
    /// Of a D-Bus address; none for those that lead to another machine or through another program.
    fn parse(address: &str) -> Option<Self> {
        address.strip_prefix("unix:")?.split(',').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            match key {
                "path" => Some(Self::Path(unescape(value)?.into())),
                "abstract" => Some(Self::Abstract(unescape(value)?)),
                "runtime" => Some(Self::Path(runtime_directory().join("bus"))),
                _ => None,
            }
        })
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        match self {
            Self::Path(path) => UnixStream::connect(path).await,
            Self::Abstract(name) => UnixStream::connect(format!("\0{name}")).await,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Takes the `%2f` out of an address.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn gone(error: &Error) -> Failure {
    Failure::Gone(match error.kind() {
        ErrorKind::NotFound => "there is no such socket".to_owned(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_manager_or_a_bus_that_says_nothing_is_given_up() {
        let path = std::env::temp_dir().join(format!("dormouse-wire-test-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        // Whoever connects waits in its backlog.
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let manager = within(direct(&path)).await;
        let bus = within(over_bus(&Place::Path(path.clone()))).await;
        for outcome in [manager, bus] {
            assert_eq!(outcome.map(drop), Err("no answer within 5 s".to_owned()));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bus_that_takes_nobody_holds_nobody_up() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixStream as Client};
        use std::sync::mpsc;

        let name = format!("dormouse-wire-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _full = Client::connect_addr(&address).unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let place = Place::Abstract(name);
            tell.send(runtime.block_on(within(over_bus(&place))).map(drop)).unwrap();
        });
        let outcome = told.recv_timeout(Duration::from_secs(20)).expect("it blocks");
        outcome.expect_err("somebody answers");
    }

    #[test]
    fn addresses_lead_to_sockets() {
        let path = |path: &str| Some(Place::Path(path.into()));
        assert_eq!(Place::parse("unix:path=/run/user/1000/bus"), path("/run/user/1000/bus"));
        assert_eq!(Place::parse("unix:guid=00,path=/tmp/a%20b%2cc"), path("/tmp/a b,c"));
        assert_eq!(Place::parse("unix:abstract=/tmp/x"), Some(Place::Abstract("/tmp/x".to_owned())));
        for none in ["tcp:host=localhost,port=1", "unix:", "unix:path=%2", "unix:path=%zz", "", "unix:path"] {
            assert_eq!(Place::parse(none), None, "{none}");
        }
    }
}
