//! A run: many sessions through each pair of socket families.

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use dormouse_tests::{Address, Failure, Result, failure::Doing, rng::Rng};
use tokio::{sync::Semaphore, task::LocalSet, time::timeout};

use super::{
    connection::{Connection, ServerListener},
    content::HEADER,
    peer::take_part,
    plan::{Plan, Role},
    registry::{Registry, Session},
    setup::{FamilyPair, Path, Setup},
    verdict::judge,
};

/// The settings of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) path: Path,
    pub(crate) pairs: Vec<FamilyPair>,
    pub(crate) sessions: Sessions,
    /// The longest time without progress of a session.
    pub(crate) stall_limit: Duration,
}

/// The sessions of each pair of families.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sessions {
    /// `count` random sessions.
    Random { seed: u64, count: u64 },
    /// One session, repeated.
    Repeated { seed: u64, times: u64 },
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) failures: Vec<String>,
    lines: Vec<String>,
}

/// The number of concurrent sessions for each pair of families.
const AT_A_TIME: usize = 20;

/// The most failures in the report, because one fault fails many sessions.
const SHOWN: usize = 30;

/// Performs the run.
///
/// # Errors
/// When the run is impossible; failures of sessions are in the report.
pub(crate) fn run(run: &Run) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "start a runtime".to_owned())?;
    runtime.block_on(LocalSet::new().run_until(async {
        let pairs = run.pairs.iter().enumerate().map(|(index, pair)| {
            let (pair, index) = (*pair, index as u64);
            let (path, sessions, stall_limit) = (run.path, run.sessions, run.stall_limit);
            tokio::task::spawn_local(async move { go(path, pair, sessions.seeds(index), stall_limit).await })
        });
        let mut report = Report::default();
        for pair in pairs.collect::<Vec<_>>() {
            let part =
                pair.await.map_err(|error| Failure::Unexpected(format!("a pair panicked: {error}")))??;
            report.failures.extend(part.failures);
            report.lines.extend(part.lines);
        }
        Ok(report)
    }))
}

impl Sessions {
    fn seeds(self, pair: u64) -> Vec<u64> {
        match self {
            Self::Random { seed, count } => {
                let mut rng = Rng::new(Rng::new(seed ^ pair).number());
                (0..count).map(|_| rng.number()).collect()
            }
            Self::Repeated { seed, times } => (0..times).map(|_| seed).collect(),
        }
    }
}

impl Report {
    pub(crate) fn assert_clean(&self) {
        assert!(self.failures.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{} failures", self.failures.len())?;
        for failure in self.failures.iter().take(SHOWN) {
            writeln!(f, "  {failure}")?;
        }
        Ok(())
    }
}

/// Runs all sessions of one pair of families: first those with a header, concurrently, then the others, one by one.
async fn go(path: Path, pair: FamilyPair, seeds: Vec<u64>, stall_limit: Duration) -> Result<Report> {
    let begun = Instant::now();
    let (setup, listener) = Setup::start(path, pair)?;
    let registry = Rc::new(Registry::default());
    let server = tokio::task::spawn_local(serve(listener, pair, Rc::clone(&registry), stall_limit));

    let (named, lone): (Vec<_>, Vec<_>) =
        (0..).zip(seeds).partition(|(_, seed): &(u64, u64)| Plan::new(*seed).has_header);
    let gate = Arc::new(Semaphore::new(AT_A_TIME));
    let mut visits = Vec::new();
    for (number, seed) in named {
        let Ok(ticket) = Arc::clone(&gate).acquire_owned().await else { break };
        let (registry, front) = (Rc::clone(&registry), setup.front.clone());
        visits.push(tokio::task::spawn_local(async move {
            visit(&registry, &front, pair, Session::new(number, seed), stall_limit).await;
            drop(ticket);
        }));
    }
    let total = visits.len() + lone.len();
    for done in visits {
        done.await.map_err(|error| Failure::Unexpected(format!("a client panicked: {error}")))?;
    }
    settle(&setup, &registry, stall_limit).await;
    for (number, seed) in lone {
        visit(&registry, &setup.front, pair, Session::new(number, seed), stall_limit).await;
    }
    settle(&setup, &registry, stall_limit).await;
    server.abort();

    let mut report = Report { failures: registry.failures(), lines: Vec::new() };
    let left = setup.check_what_is_left().unwrap_or_else(|failure| {
        report.failures.push(format!("{pair}: {failure}"));
        String::new()
    });
    let orphans = registry.orphans.get();
    report.lines.push(format!(
        "{pair}: {total} sessions, {orphans} clients never identified, {:.1} s; {left}",
        begun.elapsed().as_secs_f64()
    ));
    if !report.failures.is_empty() {
        report.lines.push(format!("{pair}: the program wrote {:?}", tail(&setup.log())));
    }
    Ok(report)
}

fn tail(log: &str) -> String {
    let mut last: Vec<_> = log.lines().rev().take(10).collect();
    last.reverse();
    last.join("\n")
}

/// Waits until all sessions have ended in the process under test and in this process.
async fn settle(setup: &Setup, registry: &Registry, stall_limit: Duration) {
    let quiet = async {
        // A connection may wait for the accept: require the idle state several times in a row.
        let mut quiet = 0;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let at_rest = setup.is_at_rest()? && registry.busy.get() == 0;
            quiet = if at_rest { quiet + 1 } else { 0 };
        }
        Ok::<_, Failure>(())
    };
    match timeout(stall_limit, quiet).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => registry.fail(failure),
        Err(_) => registry.fail(format!(
            "after all sessions the server has {} open connections, and {:?}",
            registry.busy.get(),
            setup.check_what_is_left()
        )),
    }
}

/// Runs the client of a session.
async fn visit(
    registry: &Rc<Registry>,
    front: &Address,
    pair: FamilyPair,
    session: Rc<Session>,
    stall_limit: Duration,
) {
    registry.expect(&session);
    session.client.begin();
    let whole = async {
        let connection = Connection::connect(front).await?;
        let seen = take_part(&session, Role::Client, connection).await?;
        judge(&session, Role::Client, pair, seen).map_err(Failure::Unexpected)?;
        // The server may never see a client that aborted before its identification.
        if session.plan.reset.as_ref().is_none_or(|reset| reset.by == Role::Server || reset.after_identified)
        {
            session.server.is_over().await;
        }
        Ok(())
    };
    let outcome = unless_stuck(&session, stall_limit, whole).await;
    if let Err(failure) = outcome {
        registry.fail(describe(&session, pair, Role::Client, &failure));
    }
}

/// Runs the server of all sessions.
async fn serve(listener: ServerListener, pair: FamilyPair, registry: Rc<Registry>, stall_limit: Duration) {
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(failure) => {
                registry.fail(failure);
                return;
            }
        };
        registry.busy.set(registry.busy.get() + 1);
        let registry = Rc::clone(&registry);
        tokio::task::spawn_local(async move {
            receive(&registry, pair, connection, stall_limit).await;
            registry.busy.set(registry.busy.get() - 1);
        });
    }
}

async fn receive(registry: &Rc<Registry>, pair: FamilyPair, connection: Connection, stall_limit: Duration) {
    let have = Cell::new(0);
    let session = match timeout(stall_limit, identify(registry, &connection, &have)).await {
        Ok(Ok(Some(session))) => session,
        Ok(Ok(None)) => {
            registry.orphans.set(registry.orphans.get() + 1);
            return;
        }
        Ok(Err(failure)) => return registry.fail(format!("{pair}: {failure}")),
        Err(_) => {
            let (have, secs) = (have.get(), stall_limit.as_secs());
            return registry.fail(format!("{pair}: a connection stayed open for {secs} s with {have} bytes"));
        }
    };
    session.server.begin();
    let whole = async {
        let seen = take_part(&session, Role::Server, connection).await?;
        judge(&session, Role::Server, pair, seen).map_err(Failure::Unexpected)
    };
    let outcome = unless_stuck(&session, stall_limit, whole).await;
    if let Err(failure) = outcome {
        registry.fail(describe(&session, pair, Role::Server, &failure));
    }
    session.server.end();
}

/// Identifies the session of a connection; returns `None` if the connection ends before its header is complete.
async fn identify(
    registry: &Registry,
    connection: &Connection,
    have: &Cell<usize>,
) -> Result<Option<Rc<Session>>> {
    if let Some(session) = registry.next_without_header() {
        return Ok(Some(session));
    }
    let mut header = [0; HEADER];
    while have.get() < HEADER {
        match connection.read(header.get_mut(have.get()..).unwrap_or_default()).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => have.set(have.get() + read),
        }
    }
    let number = u64::from_be_bytes(header);
    let session = registry.by_number(number);
    let session = session.ok_or_else(|| Failure::Unexpected(format!("the header {number:#x} is wrong")))?;
    session.server.received.set(HEADER as u64);
    Ok(Some(session))
}

/// Fails when no byte of the session has moved for `stall_limit`. The total duration has no limit, because it depends
/// on the load of the machine.
async fn unless_stuck(
    session: &Session,
    stall_limit: Duration,
    whole: impl Future<Output = Result<()>>,
) -> Result<()> {
    let stuck = async {
        let mut last = session.bytes_moved();
        loop {
            tokio::time::sleep(stall_limit).await;
            let now = session.bytes_moved();
            if now == last {
                return;
            }
            last = now;
        }
    };
    tokio::select! {
        outcome = whole => outcome,
        () = stuck => Err(hung(session, stall_limit)),
    }
}

fn hung(session: &Session, stall_limit: Duration) -> Failure {
    let state = |role| {
        let peer = session.of(role);
        let (sent, received) = (peer.sent.get(), peer.received.get());
        format!("{role:?} sent {sent}, received {received}, finished: {}", peer.finished.get())
    };
    Failure::Unexpected(format!(
        "nothing has moved for {} s: {}; {}",
        stall_limit.as_secs(),
        state(Role::Client),
        state(Role::Server)
    ))
}

fn describe(session: &Session, pair: FamilyPair, role: Role, failure: &Failure) -> String {
    let plan = &session.plan;
    let what = match &plan.reset {
        Some(reset) => format!("reset by the {:?}, {:?}", reset.by, reset.when),
        None => format!(
            "client waits: {}, server waits: {}",
            plan.client.finishes_last, plan.server.finishes_last
        ),
    };
    format!(
        "DORMOUSE_SESSION={pair}:{:#x} {role:?}: {failure} (up {} bytes, down {} bytes, {what})",
        session.seed, plan.client.bytes, plan.server.bytes
    )
}
