//! The balance algorithms with their words, and the values that go into and come out of a choice.

use std::num::NonZeroU32;

/// A balance algorithm: how a service chooses the server of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin: a server is not chosen twice in a row while another one is due.
    RoundRobin,
    /// The server with the fewest sessions for its weight.
    LeastConn,
    /// The first server with free capacity, so that the last servers can sleep.
    First {
        /// The number of sessions that each server takes before the next sleeping server is woken. `None`: no limit.
        soft: Option<NonZeroU32>,
    },
    /// Rendezvous hashing of the client address: a server that goes down moves only its own clients.
    Source,
    /// The less loaded of two servers that are drawn at random (power of two choices).
    Random,
}

/// Defines the table of algorithms, and the texts that are made of it at compile time.
macro_rules! algorithms {
    (
        first: $first_pattern:pat, $first:expr => $first_word:literal, $first_description:literal;
        $(next: $pattern:pat, $next:expr => $word:literal, $description:literal;)+
        last: $last_pattern:pat, $last:expr => $last_word:literal, $last_description:literal;
    ) => {
        impl Balance {
            /// The word and the description. An algorithm without a row does not compile.
            const fn texts(self) -> (&'static str, &'static str) {
                match self {
                    $first_pattern => ($first_word, $first_description),
                    $($pattern => ($word, $description),)+
                    $last_pattern => ($last_word, $last_description),
                }
            }

            /// All algorithms, in the order of the manual, with the default of their settings.
            pub const ALL: &[Self] = &[$first, $($next,)+ $last];

            /// The quoted words: `"roundrobin", "leastconn", … or "random"`.
            pub const CHOICES: &str =
                concat!("\"", $first_word, "\"", $(", \"", $word, "\"",)+ " or \"", $last_word, "\"");

            /// The paragraph of the manual: all descriptions, each with its word.
            pub const MANUAL: &str = concat!(
                "How a session gets one of several servers: ",
                $first_description, " (", $first_word, "); ",
                $($description, " (", $word, "); ",)+
                $last_description, " (", $last_word, ")."
            );
        }
    };
}

// Each word and each description stands only here. Reader, manual, `check`, `show backend` and `convert` use this table.
algorithms! {
    first: Balance::RoundRobin, Balance::RoundRobin => "roundrobin", "each server in turn, by weight";
    next: Balance::LeastConn, Balance::LeastConn => "leastconn", "the server with the fewest sessions for its weight";
    next: Balance::First { .. }, Balance::First { soft: None } => "first", "the first with free capacity, so that the last ones can stay stopped";
    next: Balance::Source, Balance::Source => "source",
        "the same for each client address, and another only while that one is unavailable or full";
    last: Balance::Random, Balance::Random => "random", "the less loaded of two random ones";
}

impl Balance {
    /// The word in the configuration, which is also `HAProxy`'s.
    pub fn word(self) -> &'static str {
        self.texts().0
    }

    /// What the algorithm chooses, as the end of a sentence: `each server in turn, by weight`.
    pub fn description(self) -> &'static str {
        self.texts().1
    }

    /// The algorithm of this word, with the default of its settings.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|balance| balance.word() == word)
    }

    /// Whether the choice depends on the address of the client.
    pub fn uses_client_address(self) -> bool {
        self == Self::Source
    }

    /// Whether a session whose server does not accept the connection tries another server without a delay, as in
    /// `HAProxy`.
    pub fn redispatches_at_once(self) -> bool {
        matches!(self, Self::RoundRobin | Self::Random)
    }
}

/// What a choice depends on, apart from the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PickContext {
    /// The [`hash`] of the client address.
    pub client_hash: u64,
    /// A uniformly distributed random number.
    pub random: u64,
}

/// The state of a server that matters for a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Whether the server may get this session.
    pub eligible: bool,
    /// Whether the server is awake.
    pub awake: bool,
    /// The share of the sessions, in a unit that is the same for all candidates. A server of weight 0 gets none.
    pub weight: u64,
    /// The number of current sessions.
    pub sessions: u32,
}

/// The chosen server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The index of the server in the list.
    pub server: usize,
    /// A further server to wake, for later sessions.
    pub wake: Option<usize>,
}

/// Hashes bytes to 64 bits. The result never changes between versions and machines, so that clients stay with their
/// server over a restart.
pub fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a, 64 bits.
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(folded)
}

/// Spreads a difference in a few bits over all bits (the finalizer of `SplitMix64`).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_word_that_is_read_back() {
        for balance in Balance::ALL {
            assert!(!balance.word().is_empty() && !balance.description().is_empty());
            assert_eq!(Balance::from_word(balance.word()), Some(*balance));
            assert!(Balance::CHOICES.contains(&format!("\"{}\"", balance.word())));
            assert!(Balance::MANUAL.contains(balance.description()));
        }
        assert_eq!(Balance::from_word("best"), None);
        assert_eq!(Balance::First { soft: NonZeroU32::new(3) }.word(), "first");
    }
}
