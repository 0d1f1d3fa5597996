//! Each socket can be opened once: services, the control socket and the web address share what there is.

use std::borrow::Cow;
use std::fmt;

use super::model::{Listen, ServiceConfig};
use super::report::{Place, Report};
use super::service::Draft;

/// A socket that somebody wants to open.
pub(super) struct Wanted<'a> {
    listen: Cow<'a, Listen>,
    by: By<'a>,
    /// Where that was written; what is not known cannot be blamed.
    place: Option<&'a Place>,
}

/// Who wants it.
#[derive(PartialEq, Eq)]
enum By<'a> {
    /// A service, with its number: two may be given one name.
    Service(&'a str, usize),
    Key(&'static str),
}

impl<'a> Wanted<'a> {
    /// Those of a service that is being read.
    pub(super) fn by_service((number, draft): (usize, &'a Draft)) -> impl Iterator<Item = Self> {
        let wanted = Self::by_service_of_a_file((number, &draft.config));
        wanted.zip(&draft.listen).map(|(wanted, place)| Self { place: Some(place), ..wanted })
    }

    /// Those of a service that was read, and found right.
    pub(super) fn by_service_of_a_file(
        (number, service): (usize, &'a ServiceConfig),
    ) -> impl Iterator<Item = Self> {
        let by = move || By::Service(&service.name, number);
        service.listen.iter().map(move |listen| Self { listen: Cow::Borrowed(listen), by: by(), place: None })
    }

    /// That of a key at the top of a file.
    pub(super) fn by_key(key: &'static str, listen: Listen, place: &'a Place) -> Self {
        Self { listen: Cow::Owned(listen), by: By::Key(key), place: Some(place) }
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            By::Service(name, _) => write!(f, "where {name} listens")?,
            By::Key(key) => write!(f, "where {key} is")?,
        }
        self.place.map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

/// Reports each that is not free beside one before it.
pub(super) fn differ(wanted: &[Wanted<'_>], report: &mut Report) {
    for (number, one) in wanted.iter().enumerate() {
        let Some(place) = one.place else { continue };
        let ours = &*one.listen;
        // Those of one service are looked at with it.
        let mut others = wanted.iter().take(number).filter(|other| other.by != one.by);
        let clash = others.find(|other| ours.is_in_the_way_of(&other.listen));
        if let Some(other) = clash {
            let theirs = &*other.listen;
            let message = if ours == theirs {
                format!("{ours} is {other}; choose another address")
            } else {
                format!("{ours} is not free beside {theirs}, {other}; choose another address")
            };
            report.error(place, message);
        }
    }
}
