//! Conflicts between the sockets of services, the control socket and the web server: each can be opened only once.

use std::borrow::Cow;
use std::fmt;

use super::model::{Listen, ServiceConfig};
use super::report::{Place, Report};
use super::service::Draft;
use super::socket_index::SocketIndex;

/// A socket to open.
pub(super) struct RequestedSocket<'a> {
    listen: Cow<'a, Listen>,
    by: By<'a>,
    /// The place in the configuration; without one no error is reported for this socket.
    place: Option<&'a Place>,
}

/// The owner of a socket.
#[derive(PartialEq, Eq)]
enum By<'a> {
    /// A service with its index, because two may have the same name.
    Service(&'a str, usize),
    Key(&'static str),
}

impl<'a> RequestedSocket<'a> {
    /// Returns the sockets of a service that is being read.
    pub(super) fn by_service((number, draft): (usize, &'a Draft)) -> impl Iterator<Item = Self> {
        let wanted = Self::by_service_of_a_file((number, &draft.config));
        wanted.zip(&draft.listen).map(|(wanted, place)| Self { place: Some(place), ..wanted })
    }

    /// Returns the sockets of a valid service.
    pub(super) fn by_service_of_a_file(
        (number, service): (usize, &'a ServiceConfig),
    ) -> impl Iterator<Item = Self> {
        let by = move || By::Service(&service.name, number);
        service.listen.iter().map(move |listen| Self { listen: Cow::Borrowed(listen), by: by(), place: None })
    }

    /// Returns the socket of a key at the top of a file.
    pub(super) fn by_key(key: &'static str, listen: Listen, place: &'a Place) -> Self {
        Self { listen: Cow::Owned(listen), by: By::Key(key), place: Some(place) }
    }
}

impl fmt::Display for RequestedSocket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            By::Service(name, _) => write!(f, "service {name}")?,
            By::Key(key) => f.write_str(key)?,
        }
        self.place.map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

/// Reports each socket that conflicts with an earlier one.
pub(super) fn differ(wanted: &[RequestedSocket<'_>], report: &mut Report) {
    let mut index = SocketIndex::default();
    for (number, one) in wanted.iter().enumerate() {
        let address = &*one.listen;
        // The reader of a service compares the sockets of that service.
        let conflicts =
            |other: &RequestedSocket<'_>| other.by != one.by && address.conflicts_with(&other.listen);
        let clash = index.first(address, |number| wanted.get(number).is_some_and(conflicts));
        index.insert(number, address);
        let (Some(place), Some(other)) = (one.place, clash.and_then(|number| wanted.get(number))) else {
            continue;
        };
        let earlier = &*other.listen;
        let message = if address == earlier {
            format!("{address} is already used by {other}; choose another address")
        } else {
            format!("{address} conflicts with {earlier} of {other}; choose another address")
        };
        report.error(place, message);
    }
}
