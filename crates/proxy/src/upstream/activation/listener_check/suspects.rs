//! Which sockets at an address are judged, and what their verdict allows.

use std::collections::HashSet;

use dormouse_activate::ListenerRule;
use dormouse_core::sock_diag::InetSocket;

/// The sockets at the address of a server.
#[derive(Debug)]
pub(super) struct Suspects {
    /// These must belong to the workload.
    pub(super) strict: Vec<InetSocket>,
    /// These appeared after dormouse started the workload, which may let any program listen for it.
    pub(super) later: Vec<InetSocket>,
    has_listener: bool,
    /// The other end of the connection.
    end: Option<InetSocket>,
}

/// What may be used once all strict sockets belong to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usable {
    /// The connection.
    Connection,
    /// The listener, by another connection.
    Listener,
    /// Nothing: nobody listens.
    Nothing,
}

impl Suspects {
    /// Sorts the listeners, and the other end of a connection to them. `before`: the listeners from before the start;
    /// `None`: all are judged strictly.
    pub(super) fn new(
        listeners: Vec<InetSocket>,
        end: Option<InetSocket>,
        before: Option<&HashSet<u64>>,
    ) -> Self {
        let has_listener = !listeners.is_empty();
        let is_strict = |socket: &InetSocket| before.is_none_or(|before| before.contains(&socket.cookie));
        let (mut strict, mut later): (Vec<_>, Vec<_>) = listeners.into_iter().partition(is_strict);
        // It is not known which listener an accepted connection came from.
        if let Some(accepted) = end.filter(|end| end.inode.is_some()) {
            if before.is_none_or(|before| !before.is_empty()) {
                strict.push(accepted);
            } else {
                later.push(accepted);
            }
        }
        Self { strict, later, has_listener, end }
    }

    /// Returns whether a program listens at the address.
    pub(super) fn has_listener(&self) -> bool {
        self.has_listener
    }

    /// Returns what may be used, if all strict sockets belong to the workload.
    pub(super) fn usable(&self, rule: ListenerRule) -> Usable {
        match self.end {
            // It was accepted, or waits in the queue of a listener.
            Some(end) if end.inode.is_some() || (end.is_queued() && self.has_listener) => Usable::Connection,
            // It is over. Whoever closed it may have gone.
            _ if self.has_listener => Usable::Listener,
            // The address is translated (NAT), and the server is in another network namespace.
            None if rule == ListenerRule::OwnBeforeStart => Usable::Connection,
            _ => Usable::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_core::sock_diag::TcpState;
    use std::net::SocketAddr;

    fn socket(state: TcpState, inode: Option<u32>, cookie: u64) -> InetSocket {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        InetSocket {
            local: address,
            remote: address,
            state,
            inode,
            uid: 0,
            cookie,
            v6only: false,
            cgroup: None,
        }
    }

    const OWN: ListenerRule = ListenerRule::Own;
    const BEFORE: ListenerRule = ListenerRule::OwnBeforeStart;

    #[test]
    fn a_connection_is_used_if_its_other_end_is_judged_or_queued() {
        let listener = || vec![socket(TcpState::Listen, Some(1), 1)];
        let usable = |listeners, end| Suspects::new(listeners, end, None).usable(OWN);
        let (accepted, queued) = (socket(TcpState::Open, Some(2), 2), socket(TcpState::Open, None, 2));
        let closed = socket(TcpState::Closing, None, 2);
        assert_eq!(usable(listener(), Some(accepted)), Usable::Connection);
        assert_eq!(usable(listener(), Some(queued)), Usable::Connection);
        assert_eq!(usable(listener(), Some(closed)), Usable::Listener);
        assert_eq!(usable(listener(), None), Usable::Listener);
        // A program that takes one connection has closed its listener.
        assert_eq!(usable(Vec::new(), Some(accepted)), Usable::Connection);
        for gone in [Some(queued), Some(closed), None] {
            assert_eq!(usable(Vec::new(), gone), Usable::Nothing);
        }
    }

    #[test]
    fn a_translated_connection_is_used_for_units_and_containers() {
        assert_eq!(Suspects::new(Vec::new(), None, None).usable(BEFORE), Usable::Connection);
        assert_eq!(Suspects::new(Vec::new(), None, None).usable(OWN), Usable::Nothing);
    }

    #[test]
    fn the_listeners_from_before_the_start_are_strict() {
        let listeners = || vec![socket(TcpState::Listen, Some(1), 1), socket(TcpState::Listen, Some(2), 2)];
        let accepted = Some(socket(TcpState::Open, Some(3), 3));
        let cookies = |list: &[InetSocket]| list.iter().map(|socket| socket.cookie).collect::<Vec<_>>();
        let sorted = |before: Option<&HashSet<u64>>| {
            let suspects = Suspects::new(listeners(), accepted, before);
            (cookies(&suspects.strict), cookies(&suspects.later))
        };
        assert_eq!(sorted(None), (vec![1, 2, 3], vec![]));
        assert_eq!(sorted(Some(&HashSet::from([1]))), (vec![1, 3], vec![2]));
        assert_eq!(sorted(Some(&HashSet::new())), (vec![], vec![1, 2, 3]));
    }
}
