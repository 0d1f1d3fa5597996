//! The actions of the two peers of a session, derived from one seed.

use std::time::Duration;

use dormouse_tests::rng::Rng;

use super::content::HEADER;

/// The role of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The peer that connects.
    Client,
    /// The peer that accepts.
    Server,
}

impl Role {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The plan of a session.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Whether the client's first bytes are a header that identifies the session to the server. In a session
    /// without a header the server may send first, or neither peer sends; such a session must run alone to be
    /// identified.
    pub(crate) has_header: bool,
    pub(crate) client: PeerPlan,
    pub(crate) server: PeerPlan,
    pub(crate) reset: Option<Reset>,
}

/// The actions of one peer if the session is not aborted.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlan {
    /// The number of bytes that the peer sends.
    pub(crate) bytes: u64,
    /// The offset of its content in the table.
    pub(crate) offset: u64,
    /// Whether it sends only the header before the other peer's end of stream.
    pub(crate) replies_to_end: bool,
    /// Whether it ends its stream only after the other peer's end of stream.
    pub(crate) finishes_last: bool,
    /// Whether its socket's buffers are small.
    pub(crate) narrow: bool,
    pub(crate) writing: Pace,
    pub(crate) reading: Pace,
}

/// The pace of one direction of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The delay before the first byte.
    pub(crate) delay: Duration,
    /// The largest chunk; each chunk has a random size up to it.
    pub(crate) chunk: usize,
    /// The probability of a tiny chunk, in percent.
    pub(crate) tiny_chance: u64,
    /// The most pauses.
    pub(crate) pauses: u32,
    /// The probability of a pause after a chunk, in percent.
    pub(crate) pause_chance: u64,
    /// The seed of the random choices in this direction.
    pub(crate) seed: u64,
}

/// An abort of the session by one peer.
#[derive(Clone, Debug)]
pub(crate) struct Reset {
    pub(crate) by: Role,
    pub(crate) when: When,
    /// Whether it shuts down its sending side if it has sent everything before it aborts.
    pub(crate) finishes_first: bool,
    /// Whether the client waits until the server has identified it. Otherwise the client may be gone before the
    /// server accepts it. A client without a header must wait, because the server identifies it as the next
    /// connection.
    pub(crate) after_identified: bool,
}

/// The moment of the abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After this number of sent bytes.
    Sent(u64),
    /// After this number of received bytes.
    Received(u64),
}

/// The upper bound of a pause.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(3);

const MOST_BYTES: u64 = 6 << 20;
const LARGEST_CHUNK: u64 = 256 << 10;
/// The most chunks of one direction, to limit the duration of a session.
const MOST_CHUNKS: u64 = 3000;

impl Plan {
    /// Derives the plan from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let has_header = !rng.chance(6);
        let (up, down) = (volume(&mut rng), volume(&mut rng));
        let up = if has_header { up + HEADER as u64 } else { up };
        let mut client = peer_plan(&mut rng, up, down);
        let mut server = peer_plan(&mut rng, down, up);
        let reset = rng.chance(30).then(|| reset(&mut rng, has_header, up, down));
        if reset.is_none() {
            // At most one of the two may wait for the other's end of stream.
            let waits = if rng.chance(50) { &mut server } else { &mut client };
            match rng.below(3) {
                0 => waits.finishes_last = true,
                1 => (waits.finishes_last, waits.replies_to_end) = (true, true),
                _ => {}
            }
        }
        Self { has_header, client, server, reset }
    }

    pub(crate) fn of(&self, role: Role) -> &PeerPlan {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }
}

fn volume(rng: &mut Rng) -> u64 {
    let limit = if rng.chance(5) { MOST_BYTES } else { 256 << 10 };
    if rng.chance(3) { 0 } else { rng.size(limit) }
}

fn peer_plan(rng: &mut Rng, bytes: u64, others_bytes: u64) -> PeerPlan {
    PeerPlan {
        bytes,
        offset: rng.number(),
        replies_to_end: false,
        finishes_last: false,
        narrow: rng.chance(15),
        writing: pace(rng, bytes),
        reading: pace(rng, others_bytes),
    }
}

fn pace(rng: &mut Rng, bytes: u64) -> Pace {
    let delay = if rng.chance(10) { rng.duration(Duration::from_millis(40)) } else { Duration::ZERO };
    let chunk = 1 + rng.size(LARGEST_CHUNK - 1);
    Pace {
        delay,
        chunk: usize::try_from(chunk.max(bytes / MOST_CHUNKS)).unwrap_or(usize::MAX),
        tiny_chance: if rng.chance(30) { rng.below(70) } else { 0 },
        pauses: u32::try_from(rng.size(30)).unwrap_or(0),
        pause_chance: rng.below(30),
        seed: rng.number(),
    }
}

fn reset(rng: &mut Rng, has_header: bool, client_bytes: u64, server_bytes: u64) -> Reset {
    let by = if rng.chance(50) { Role::Client } else { Role::Server };
    let (own, others) = match by {
        Role::Client => (client_bytes, server_bytes),
        Role::Server => (server_bytes, client_bytes),
    };
    let when =
        if rng.chance(50) { When::Sent(rng.below(own + 1)) } else { When::Received(rng.below(others + 1)) };
    let after_identified = !has_header || (by == Role::Client && rng.chance(60));
    let header = HEADER as u64;
    let when = match (by, when) {
        // A client that waits for its identification must have sent its header; a byte from the server shows the
        // identification.
        (Role::Client, When::Sent(bytes)) if has_header && after_identified => When::Sent(bytes.max(header)),
        (Role::Client, When::Received(0)) if has_header && after_identified => When::Sent(header),
        // The server knows its plan once it has read the header.
        (Role::Server, When::Received(bytes)) if has_header => When::Received(bytes.max(header)),
        (_, when) => when,
    };
    Reset { by, when, finishes_first: rng.chance(20), after_identified }
}

#[test]
fn a_seed_always_gives_the_same_plan() {
    for seed in 0..1000 {
        assert_eq!(format!("{:?}", Plan::new(seed)), format!("{:?}", Plan::new(seed)));
    }
}

#[test]
fn every_kind_of_session_occurs() {
    let plans: Vec<Plan> = (0..3000).map(|seed| Plan::new(seed * 0x9e37_79b9)).collect();
    let some = |what: &str, kind: &dyn Fn(&Plan) -> bool| {
        assert!(plans.iter().filter(|p| kind(p)).count() >= 10, "{what}");
    };
    some("silent server", &|p| p.server.bytes == 0);
    some("more than a pipe holds", &|p| p.client.bytes > 1 << 20);
    some("server ends first", &|p| p.client.finishes_last);
    some("client ends first", &|p| p.server.finishes_last);
    some("answer after the end", &|p| p.server.replies_to_end);
    some("reset by the client", &|p| p.reset.as_ref().is_some_and(|reset| reset.by == Role::Client));
    some("reset by the server", &|p| p.reset.as_ref().is_some_and(|reset| reset.by == Role::Server));
    some("no header", &|p| !p.has_header);
    some("bytes one by one", &|p| p.client.writing.chunk == 1);
}
