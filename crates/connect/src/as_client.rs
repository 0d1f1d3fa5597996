//! Connections to a UNIX server with the credentials of the client (`peer_credentials = "pass"`).

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_relay::{MessageCredentials, Stream, StreamKind};
use dormouse_sys::connect_as::{ConnectAsError, Identity, connect_as};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use tokio::time::timeout;

use super::PERMISSION_GRACE;
use super::endpoint::Endpoint;
use super::error::{AddressFailed, ConnectError, NotAsClient};

/// The longest wait for the connection where the configuration sets no timeout. It takes microseconds, unless the lookup of
/// the path blocks.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Reads the credentials of a client.
///
/// # Errors
/// When the client is not connected over a UNIX socket, or the kernel does not report them.
pub(super) fn identity(client: &Stream) -> Result<Arc<Identity>, ConnectError> {
    let found = match client.socket().filter(|_| client.kind() == StreamKind::Unix) {
        Some(socket) => Identity::of_peer(socket),
        None => Err(io::Error::other("the client is not connected over a UNIX socket")),
    };
    found.map(Arc::new).map_err(|error| ConnectError::NotAsClient(NotAsClient::Unknown(error)))
}

/// Connects to a server with these credentials. Never connects with others.
///
/// # Errors
/// When the server does not take the connection, or it cannot be made with the credentials.
pub(super) async fn connect(
    endpoints: &[Endpoint],
    connect_timeout: Option<Duration>,
    identity: &Arc<Identity>,
) -> Result<Stream, ConnectError> {
    let [endpoint @ Endpoint::Unix(address)] = endpoints else {
        return Err(ConnectError::NotAsClient(NotAsClient::NoUnixServer));
    };
    let user = identity.uid();
    let failed = |error: Errno| ConnectError::AsClient {
        user,
        failures: vec![AddressFailed { address: endpoint.clone(), error }],
        is_new: error == Errno::ACCESS && endpoint.path().is_some_and(is_new),
    };
    let connecting = open_and_connect(address, identity);
    let Ok(connected) = timeout(connect_timeout.unwrap_or(LONGEST_WAIT), connecting).await else {
        return Err(failed(Errno::TIMEDOUT));
    };
    connected.map_err(|error| match error {
        ConnectAsError::Connect(error) => failed(error),
        error => ConnectError::NotAsClient(NotAsClient::Refused { user, error }),
    })
}

/// Returns whether the file of a socket was made or changed a short time ago. A server binds its socket first and sets the
/// owner and the mode afterwards.
fn is_new(path: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else { return false };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = Duration::from_secs(u64::try_from(found.ctime()).unwrap_or_default());
    // A time in the future shows that the clock was set.
    since_epoch.checked_sub(changed).is_some_and(|age| age <= PERMISSION_GRACE)
}

async fn open_and_connect(
    address: &SocketAddrUnix,
    identity: &Arc<Identity>,
) -> Result<Stream, ConnectAsError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.map_err(ConnectAsError::Connect)?;
    let socket = connect_as(socket, address.clone(), Arc::clone(identity)).await?;
    let stream = Stream::new(socket, StreamKind::Unix, false);
    let from_io =
        |error: io::Error| ConnectAsError::Connect(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    stream.map(|stream| stream.with_message_credentials(MessageCredentials::Passed)).map_err(from_io)
}
