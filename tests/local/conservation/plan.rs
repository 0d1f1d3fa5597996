//! What the two peers of a session do, all of it out of one seed.

use std::time::Duration;

use dormouse_tests::rng::Rng;

use super::content::HEADER;

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that connects.
    Client,
    /// The one that is connected to.
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

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The client's first bytes are a header by which the server knows whose session it is. A session without can be
    /// one in which the server speaks first, or nobody at all; it has to be alone, to be known.
    pub(crate) has_header: bool,
    pub(crate) client: Habits,
    pub(crate) server: Habits,
    pub(crate) reset: Option<Reset>,
}

/// What one peer does as long as nothing is in its way.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// How much it sends.
    pub(crate) bytes: u64,
    /// Where its content begins in the table.
    pub(crate) offset: u64,
    /// Whether it sends nothing but the header before it has seen the other's end.
    pub(crate) replies_to_end: bool,
    /// Whether it keeps its own side open until it has seen the other's end.
    pub(crate) finishes_last: bool,
    /// Whether its socket's buffers are small.
    pub(crate) narrow: bool,
    pub(crate) writing: Pace,
    pub(crate) reading: Pace,
}

/// How one direction of one peer goes.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Before the first byte.
    pub(crate) delay: Duration,
    /// The largest number of bytes at once; each time any number up to it.
    pub(crate) chunk: usize,
    /// How often in a hundred a chunk is tiny, whatever the largest is.
    pub(crate) tiny_chance: u64,
    /// How often it pauses at most.
    pub(crate) pauses: u32,
    /// How often in a hundred a chunk is followed by a pause.
    pub(crate) pause_chance: u64,
    /// Where the sequence of its own choices begins.
    pub(crate) seed: u64,
}

/// A peer that breaks the session off.
#[derive(Clone, Debug)]
pub(crate) struct Reset {
    pub(crate) by: Role,
    pub(crate) when: When,
    /// Whether it says that it has sent everything, if it gets that far before it breaks off.
    pub(crate) finishes_first: bool,
    /// Whether a client waits until the server knows it: one that does not may be gone before the server hears of it.
    /// Without a header it has to, since it is known by being the next to come.
    pub(crate) once_known: bool,
}

/// When the peer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After having sent so many bytes.
    Sent(u64),
    /// After having received so many bytes.
    Received(u64),
}

/// A pause is shorter than this.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(3);

const MOST_BYTES: u64 = 6 << 20;
const LARGEST_CHUNK: u64 = 256 << 10;
/// More than so many calls for one direction would test patience and not the program.
const MOST_CHUNKS: u64 = 3000;

impl Plan {
    /// The session that `seed` stands for.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let has_header = !rng.chance(6);
        let (up, down) = (volume(&mut rng), volume(&mut rng));
        let up = if has_header { up + HEADER as u64 } else { up };
        let mut client = habits(&mut rng, up, down);
        let mut server = habits(&mut rng, down, up);
        let reset = rng.chance(30).then(|| reset(&mut rng, has_header, up, down));
        if reset.is_none() {
            // At most one of the two may wait for the other's end.
            let waits = if rng.chance(50) { &mut server } else { &mut client };
            match rng.below(3) {
                0 => waits.finishes_last = true,
                1 => (waits.finishes_last, waits.replies_to_end) = (true, true),
                _ => {}
            }
        }
        Self { has_header, client, server, reset }
    }

    pub(crate) fn of(&self, role: Role) -> &Habits {
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

fn habits(rng: &mut Rng, bytes: u64, others_bytes: u64) -> Habits {
    Habits {
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
    let once_known = !has_header || (by == Role::Client && rng.chance(60));
    let header = HEADER as u64;
    let when = match (by, when) {
        // Who waits to be known has to have said who it is; any byte from the server shows that it knows.
        (Role::Client, When::Sent(bytes)) if has_header && once_known => When::Sent(bytes.max(header)),
        (Role::Client, When::Received(0)) if has_header && once_known => When::Sent(header),
        // The server knows what to do once it has read the header.
        (Role::Server, When::Received(bytes)) if has_header => When::Received(bytes.max(header)),
        (_, when) => when,
    };
    Reset { by, when, finishes_first: rng.chance(20), once_known }
}

#[test]
fn a_seed_always_stands_for_the_same_session() {
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
