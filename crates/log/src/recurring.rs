//! Kinds of lines that recur while their cause lasts.

/// A kind of line that comes again and again while its cause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurring {
    /// The limit of connections is reached.
    AtLimit,
    /// A system limit keeps us from accepting.
    AcceptPaused,
    /// A listener told of an error of one connection.
    AcceptFailed,
    /// The server does not take connections.
    Unserved,
    /// A client's address has no form in the PROXY header.
    ClientUnknown,
    /// A trusted proxy's header is missing or wrong.
    Header,
    /// A session could not be set up for a reason of ours.
    Internal,
}

/// The number of kinds: the last one is [`Recurring::Internal`].
pub(crate) const KINDS: usize = Recurring::Internal as usize + 1;
