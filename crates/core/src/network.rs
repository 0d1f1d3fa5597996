//! IP networks: `10.0.0.0/8`, `::1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// The number of leading bits that all addresses of the network share.
    pub prefix_len: u8,
}

impl Network {
    /// Whether the network contains an address. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.address.is_ipv4() == canonical.is_ipv4()
            && network_address(canonical, self.prefix_len) == network_address(self.address, self.prefix_len)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Parses `ADDRESS` or `ADDRESS/BITS`. An IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`) becomes an IPv4 network.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let bits = address_bits(address);
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(NetworkError::Prefix { bits });
            }
            Some(digits) => {
                digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or(NetworkError::Prefix { bits })?
            }
        };
        let network = match (address, address.to_canonical()) {
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if prefix >= 96 => {
                Self { address: v4, prefix_len: prefix - 96 }
            }
            _ => Self { address, prefix_len: prefix },
        };
        let start = network_address(network.address, network.prefix_len);
        if start == network.address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits(Self { address: start, ..network }))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_len == address_bits(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix_len)
        }
    }
}

/// The number of bits of an address.
fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits after the prefix cleared.
fn network_address(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkError {
    /// The part before the `/` is not an IP address.
    Address,
    /// The part after the `/` is not a number of bits.
    Prefix {
        /// The largest number of bits.
        bits: u8,
    },
    /// The address has bits after the prefix. This is the network without them.
    HostBits(Network),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an IP address or range (write for example 10.0.0.0/8 or ::1)"),
            Self::Prefix { bits } => write!(f, "the prefix length after / must be 0 to {bits}"),
            Self::HostBits(network) => {
                write!(f, "the address has bits set after the prefix (write {network})")
            }
        }
    }
}

impl std::error::Error for NetworkError {}
