//! Connections to a service manager: over its private socket or the bus. All units share one connection.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Manager;
use super::dbus::{Arg, CallError, Connection, Message};

/// The name of the manager on a bus.
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The object path of the manager.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of the manager.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// The name and the interface of the bus itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// The time that one connection attempt may take.
const BUS_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a manager. Dropping the last reference closes it.
pub(super) struct ManagerConnection {
    dbus: Connection,
    /// The unique name of the manager. `None` on its private socket, which has no other senders.
    owner: Option<String>,
}

/// The open connections, shared by all units.
static SHARED: [Mutex<Weak<ManagerConnection>>; 2] =
    [Mutex::const_new(Weak::new()), Mutex::const_new(Weak::new())];

impl ManagerConnection {
    /// Returns the shared connection to a manager, or opens it.
    ///
    /// # Errors
    /// The reason why each attempt failed.
    pub(super) async fn shared(manager: Manager) -> Result<Arc<Self>, String> {
        let [system, user] = &SHARED;
        let mut shared = match manager {
            Manager::System => system,
            Manager::User => user,
        }
        .lock()
        .await;
        if let Some(connection) = shared.upgrade().filter(|connection| !connection.dbus.is_closed()) {
            return Ok(connection);
        }
        let connection = Arc::new(Self::open(manager).await?);
        *shared = Arc::downgrade(&connection);
        Ok(connection)
    }

    /// Opens a connection. The private socket comes first: it works without a bus and needs no permission from polkit.
    async fn open(manager: Manager) -> Result<Self, String> {
        let private = private_socket(manager);
        let direct = match with_timeout(connect_directly(&private)).await {
            Ok(connection) => return Ok(connection),
            Err(reason) => reason,
        };
        let mut failures = format!("{}: {direct}", private.display());
        for address in bus_addresses(manager) {
            match with_timeout(connect_over_bus(&address)).await {
                Ok(connection) => return Ok(connection),
                Err(reason) => failures = format!("{failures}; {address}: {reason}"),
            }
        }
        Err(failures)
    }

    /// Calls a method of the manager or of one of its units.
    pub(super) async fn call(
        &self,
        method: (&str, &str, &str),
        args: &[Arg<'_>],
    ) -> Result<Message, CallError> {
        self.dbus.call(self.owner.as_deref(), method, args).await
    }

    /// Subscribes at the bus, if there is one, to the signals of the manager that match a rule.
    pub(super) async fn subscribe(&self, rule: &str) -> Result<(), CallError> {
        if self.owner.is_none() {
            return Ok(());
        }
        let rule = format!("type='signal',sender='{SYSTEMD}',{rule}");
        add_match(&self.dbus, &rule).await
    }

    /// Returns whether the manager has sent a signal.
    pub(super) fn is_from_manager(&self, message: &Message) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == message.sender)
    }

    /// Returns whether a signal reports that the manager's name on the bus has lost or changed its owner.
    pub(super) fn is_owner_change(&self, message: &Message) -> bool {
        self.owner.is_some()
            && message.sender == BUS
            && message.member == "NameOwnerChanged"
            && message.first_text().as_deref() == Some(SYSTEMD)
    }

    /// Returns the D-Bus connection.
    pub(super) fn dbus(&self) -> &Connection {
        &self.dbus
    }
}

async fn with_timeout(
    connecting: impl Future<Output = Result<ManagerConnection, CallError>>,
) -> Result<ManagerConnection, String> {
    match timeout(BUS_CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(CallError::Disconnected(reason))) => Err(reason),
        Ok(Err(CallError::Reply { name, text })) => Err(format!("{name}: {text}")),
        Err(_) => Err(format!("no answer within {} s", BUS_CONNECT_TIMEOUT.as_secs())),
    }
}

async fn connect_directly(path: &Path) -> Result<ManagerConnection, CallError> {
    let socket = UnixStream::connect(path).await.map_err(|error| disconnected(&error))?;
    let manager = ManagerConnection {
        dbus: Connection::over(socket).await.map_err(|error| disconnected(&error))?,
        owner: None,
    };
    let _ = manager.call((MANAGER_PATH, MANAGER, "Subscribe"), &[]).await;
    Ok(manager)
}

async fn connect_over_bus(address: &BusAddress) -> Result<ManagerConnection, CallError> {
    let dbus = Connection::over(address.connect().await.map_err(|error| disconnected(&error))?)
        .await
        .map_err(|error| disconnected(&error))?;
    dbus.call(Some(BUS), (BUS_PATH, BUS, "Hello"), &[]).await?;
    let rule = format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'");
    add_match(&dbus, &rule).await?;
    let owner = dbus.call(Some(BUS), (BUS_PATH, BUS, "GetNameOwner"), &[Arg::Text(SYSTEMD)]).await?;
    let manager = ManagerConnection { dbus, owner: owner.first_text() };
    // Without this call the manager sends no signals over a bus.
    manager.call((MANAGER_PATH, MANAGER, "Subscribe"), &[]).await?;
    Ok(manager)
}

async fn add_match(dbus: &Connection, rule: &str) -> Result<(), CallError> {
    dbus.call(Some(BUS), (BUS_PATH, BUS, "AddMatch"), &[Arg::Text(rule)]).await.map(drop)
}

/// Returns the path of the manager's private socket, which only root or the manager's user may use.
fn private_socket(manager: Manager) -> PathBuf {
    match manager {
        Manager::System => PathBuf::from("/run/systemd/private"),
        Manager::User => runtime_directory().join("systemd/private"),
    }
}

/// Returns the possible addresses of the manager's bus.
fn bus_addresses(manager: Manager) -> Vec<BusAddress> {
    let (variable, default) = match manager {
        Manager::System => ("DBUS_SYSTEM_BUS_ADDRESS", PathBuf::from("/run/dbus/system_bus_socket")),
        Manager::User => ("DBUS_SESSION_BUS_ADDRESS", runtime_directory().join("bus")),
    };
    let mut parsed = match std::env::var(variable) {
        Ok(addresses) => addresses.split(';').filter_map(BusAddress::parse).collect(),
        Err(_) => Vec::new(),
    };
    if parsed.is_empty() {
        parsed.push(BusAddress::Path(default));
    }
    parsed
}

fn runtime_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(|| format!("/run/user/{}", rustix::process::getuid().as_raw()).into(), PathBuf::from)
}

/// The address of a UNIX socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BusAddress {
    Path(PathBuf),
    Abstract(String),
}

impl BusAddress {
    /// Parses a D-Bus address. Returns `None` for addresses of other machines and for those that need another program.
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

impl std::fmt::Display for BusAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Decodes the percent-encoding of an address.
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

fn disconnected(error: &Error) -> CallError {
    CallError::Disconnected(match error.kind() {
        ErrorKind::NotFound => "no such socket".to_owned(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_manager_or_bus_times_out() {
        let path = std::env::temp_dir().join(format!("dormouse-manager-test-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        // Clients wait in its backlog.
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let manager = with_timeout(connect_directly(&path)).await;
        let bus = with_timeout(connect_over_bus(&BusAddress::Path(path.clone()))).await;
        for outcome in [manager, bus] {
            assert_eq!(outcome.map(drop), Err("no answer within 5 s".to_owned()));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bus_with_a_full_backlog_does_not_block() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixStream as Client};
        use std::sync::mpsc;

        let name = format!("dormouse-manager-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _full = Client::connect_addr(&address).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let address = BusAddress::Abstract(name);
            sender.send(runtime.block_on(with_timeout(connect_over_bus(&address))).map(drop)).unwrap();
        });
        let outcome = receiver.recv_timeout(Duration::from_secs(20)).expect("it blocks");
        outcome.expect_err("the bus answered");
    }

    #[test]
    fn bus_addresses_are_parsed() {
        let path = |path: &str| Some(BusAddress::Path(path.into()));
        assert_eq!(BusAddress::parse("unix:path=/run/user/1000/bus"), path("/run/user/1000/bus"));
        assert_eq!(BusAddress::parse("unix:guid=00,path=/tmp/a%20b%2cc"), path("/tmp/a b,c"));
        assert_eq!(
            BusAddress::parse("unix:abstract=/tmp/x"),
            Some(BusAddress::Abstract("/tmp/x".to_owned()))
        );
        for none in ["tcp:host=localhost,port=1", "unix:", "unix:path=%2", "unix:path=%zz", "", "unix:path"] {
            assert_eq!(BusAddress::parse(none), None, "{none}");
        }
    }
}
