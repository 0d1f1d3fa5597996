//! The control socket, the web server and the format of the log.

use std::fmt;
use std::net::SocketAddr;

use dormouse_core::address::{Host, ListenAddress};
use dormouse_log::Format;

use super::endpoint::ListenError;
use super::model::{AdminConfig, Control, Listen};
use super::report::{Place, Report};
use super::sockets::RequestedSocket;
use super::value::Section;
use super::{endpoint, once};

/// The settings read so far, with their places.
#[derive(Default)]
pub(super) struct AdminDraft {
    control: Option<(Control, Place)>,
    http: Option<(Option<SocketAddr>, Place)>,
    http_hosts: Option<(Vec<Host>, Place)>,
    format: Option<(Format, Place)>,
}

impl AdminDraft {
    /// Reads the keys at the top of a file.
    pub(super) fn read(&mut self, section: &Section<'_>, report: &mut Report) {
        if let Some(field) = section.get("control") {
            let control = field.parsed(report, control);
            once(&mut self.control, control, &field, report);
        }
        if let Some(field) = section.get("http") {
            let http = field.parsed(report, http);
            if http.flatten().is_some_and(|address| !address.ip().is_loopback()) {
                let message = "all who can reach this address see the services and their clients without a password; \
                               use 127.0.0.1 to allow only this machine";
                report.warning(field.place(), message);
                if section.get("http_hosts").is_none() {
                    let key = field.place().write("http_hosts", "\"status.example.org\"");
                    let message = format!(
                        "requests that name another host than this address get status 421; allow names with {key}"
                    );
                    report.warning(field.place(), message);
                }
            }
            once(&mut self.http, http, &field, report);
        }
        if let Some(field) = section.get("http_hosts") {
            let hosts = field.several(report, http_host);
            once(&mut self.http_hosts, Some(hosts), &field, report);
        }
        if let Some(field) = section.get("log") {
            let formats = [("text", Format::Text), ("tcplog", Format::Tcplog), ("json", Format::Json)];
            let format = field.choice(&formats, report);
            once(&mut self.format, format, &field, report);
        }
    }

    /// Returns the sockets to open.
    pub(super) fn wanted(&self) -> impl Iterator<Item = RequestedSocket<'_>> {
        let control = self.control.as_ref().and_then(|(control, place)| {
            let listen = control.listen()?;
            Some(RequestedSocket::by_key("control", listen, place))
        });
        let http = self.http.as_ref().and_then(|(address, place)| {
            Some(RequestedSocket::by_key("http", Listen::at(ListenAddress::Tcp((*address)?)), place))
        });
        control.into_iter().chain(http)
    }

    /// Replaces the settings that were read.
    pub(super) fn apply(self, admin: &mut AdminConfig) {
        if let Some((control, _)) = self.control {
            admin.control = control;
        }
        if let Some((http, _)) = self.http {
            admin.http = http;
        }
        if let Some((hosts, _)) = self.http_hosts {
            admin.http_hosts = hosts;
        }
        if let Some((format, _)) = self.format {
            admin.format = format;
        }
    }
}

fn control(text: &str) -> Result<Control, PlaceError> {
    if text == "none" {
        return Ok(Control::Off);
    }
    match endpoint::listen(text) {
        Ok(Listen::Open { address: address @ ListenAddress::Unix(_), options }) => {
            Ok(Control::At { address, options })
        }
        Ok(Listen::Open { address: ListenAddress::Abstract(_), .. }) => Err(PlaceError::Abstract),
        Err(error) if text.starts_with(['/', '@']) || text.starts_with("unix:") => {
            Err(PlaceError::Path(error))
        }
        _ => Err(PlaceError::Control),
    }
}

fn http(text: &str) -> Result<Option<SocketAddr>, PlaceError> {
    if text == "none" {
        return Ok(None);
    }
    match ListenAddress::parse(text) {
        Ok(ListenAddress::Tcp(address)) => Ok(Some(address)),
        _ => Err(PlaceError::Http),
    }
}

fn http_host(text: &str) -> Result<Host, &'static str> {
    // An IPv6 address may stand without brackets.
    let bare = || text.parse().map(Host::Ip).ok();
    match Host::parse_with_port(text) {
        Ok((host @ (Host::Ip(_) | Host::Name(_)), None)) => Ok(host),
        _ => {
            bare().ok_or("not a host; write a name or an address without a port, such as status.example.org")
        }
    }
}

/// Why an address is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PlaceError {
    Control,
    /// The path or its options are not valid.
    Path(ListenError),
    /// An abstract socket has no permissions.
    Abstract,
    Http,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(error) => return error.fmt(f),
            Self::Abstract => {
                "an abstract socket is open to all users of this machine; write a path, such as \
                 unix:/run/dormouse/control.sock?mode=0600, or none"
            }
            Self::Control => {
                "not the path of a UNIX socket; write unix:/run/dormouse/control.sock?mode=0600, or none"
            }
            Self::Http => "not an address with a port; write 127.0.0.1:9180, or none",
        })
    }
}
