//! The ports of TCP targets.

use std::fmt;
use std::num::NonZeroU16;

use super::AddressError;

/// The port of a TCP target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Port {
    /// A port number.
    Number(NonZeroU16),
    /// The name of a service for the resolver (`http` in `/etc/services`).
    Service(ServiceName),
}

impl Port {
    /// The port of a target without one.
    pub const HTTP: Self = Self::Number(match NonZeroU16::new(80) {
        Some(port) => port,
        None => NonZeroU16::MIN,
    });

    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::PortMissing);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().and_then(NonZeroU16::new);
            return number.map(Self::Number).ok_or_else(|| AddressError::PortOutOfRange(text.to_owned()));
        }
        ServiceName::parse(text).map(Self::Service)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

/// A valid name of a service: letters, digits and `-._+`, at least one letter. The service may not exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
        if text.bytes().all(allowed) && text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError::PortInvalid(text.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
