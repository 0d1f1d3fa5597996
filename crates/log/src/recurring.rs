//! The kinds of lines that repeat while their cause lasts.

/// A kind of line that repeats while its cause lasts, and is rate-limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurring {
    /// The limit of connections is reached.
    AtLimit,
    /// A system limit prevents accepting clients.
    AcceptPaused,
    /// Accepting one connection failed.
    AcceptFailed,
    /// No server took the connection.
    Unserved,
    /// The PROXY header cannot express the client's address.
    ClientUnknown,
    /// A trusted proxy's header is missing or wrong.
    Header,
    /// A client that may not wake the service connected while the service was asleep.
    WakeNotAllowed,
    /// A local limit prevented a session.
    Internal,
}

/// The number of kinds: the last one is [`Recurring::Internal`].
pub(crate) const KINDS: usize = Recurring::Internal as usize + 1;
