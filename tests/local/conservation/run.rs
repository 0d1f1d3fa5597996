//! A run: many sessions through each way.

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
    content::HEADER,
    judge::judge,
    link::{Door, Link},
    plan::{Plan, Role},
    registry::{Registry, Session},
    side::take_part,
    under_test::{Course, Through, Way},
};

/// A run to be made.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) through: Through,
    pub(crate) ways: Vec<Way>,
    pub(crate) sessions: Sessions,
    /// How long a session may stand still.
    pub(crate) patience: Duration,
}

/// Which sessions go each way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sessions {
    /// So many different ones.
    Random { seed: u64, count: u64 },
    /// One, again and again.
    Repeated { seed: u64, times: u64 },
}

/// What a run has shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) failures: Vec<String>,
    lines: Vec<String>,
}

/// How many sessions are under way at a time, each way.
const AT_A_TIME: usize = 20;

/// How many failures are shown. One fault is seen by many sessions.
const SHOWN: usize = 30;

/// Makes the run.
///
/// # Errors
/// When it cannot be made; what the sessions have shown is in the report.
pub(crate) fn run(run: &Run) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "start a runtime".to_owned())?;
    runtime.block_on(LocalSet::new().run_until(async {
        let ways = run.ways.iter().enumerate().map(|(index, way)| {
            let (way, index) = (*way, index as u64);
            let (through, sessions, patience) = (run.through, run.sessions, run.patience);
            tokio::task::spawn_local(async move { go(through, way, sessions.seeds(index), patience).await })
        });
        let mut report = Report::default();
        for way in ways.collect::<Vec<_>>() {
            let part =
                way.await.map_err(|error| Failure::Unexpected(format!("a way panicked: {error}")))??;
            report.failures.extend(part.failures);
            report.lines.extend(part.lines);
        }
        Ok(report)
    }))
}

impl Sessions {
    fn seeds(self, way: u64) -> Vec<u64> {
        match self {
            Self::Random { seed, count } => {
                let mut rng = Rng::new(Rng::new(seed ^ way).number());
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

/// Lets all sessions of one way go through: first those that can be told apart, some at a time, then the others, one by
/// one.
async fn go(through: Through, way: Way, seeds: Vec<u64>, patience: Duration) -> Result<Report> {
    let begun = Instant::now();
    let (course, door) = Course::set_up(through, way)?;
    let registry = Rc::new(Registry::default());
    let server = tokio::task::spawn_local(serve(door, way, Rc::clone(&registry), patience));

    let (named, lone): (Vec<_>, Vec<_>) =
        (0..).zip(seeds).partition(|(_, seed): &(u64, u64)| Plan::new(*seed).has_header);
    let gate = Arc::new(Semaphore::new(AT_A_TIME));
    let mut visits = Vec::new();
    for (number, seed) in named {
        let Ok(ticket) = Arc::clone(&gate).acquire_owned().await else { break };
        let (registry, front) = (Rc::clone(&registry), course.front.clone());
        visits.push(tokio::task::spawn_local(async move {
            visit(&registry, &front, way, Session::new(number, seed), patience).await;
            drop(ticket);
        }));
    }
    let total = visits.len() + lone.len();
    for done in visits {
        done.await.map_err(|error| Failure::Unexpected(format!("a client panicked: {error}")))?;
    }
    settle(&course, &registry, patience).await;
    for (number, seed) in lone {
        visit(&registry, &course.front, way, Session::new(number, seed), patience).await;
    }
    settle(&course, &registry, patience).await;
    server.abort();

    let mut report = Report { failures: registry.failures(), lines: Vec::new() };
    let left = course.check_what_is_left().unwrap_or_else(|failure| {
        report.failures.push(format!("{way}: {failure}"));
        String::new()
    });
    let orphans = registry.orphans.get();
    report.lines.push(format!(
        "{way}: {total} sessions, {orphans} clients gone at once, {:.1} s; {left}",
        begun.elapsed().as_secs_f64()
    ));
    if !report.failures.is_empty() {
        report.lines.push(format!("{way}: the program wrote {:?}", tail(&course.log())));
    }
    Ok(report)
}

fn tail(log: &str) -> String {
    let mut last: Vec<_> = log.lines().rev().take(10).collect();
    last.reverse();
    last.join("\n")
}

/// Waits until nothing of the sessions is left, neither in the program nor here.
async fn settle(course: &Course, registry: &Registry, patience: Duration) {
    let quiet = async {
        // A connection may be between the program and our accept: what is quiet has to stay it.
        let mut quiet = 0;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let at_rest = course.is_at_rest()? && registry.busy.get() == 0;
            quiet = if at_rest { quiet + 1 } else { 0 };
        }
        Ok::<_, Failure>(())
    };
    match timeout(patience, quiet).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => registry.fail(failure),
        Err(_) => registry.fail(format!(
            "after all sessions the server is busy with {} connections, and {:?}",
            registry.busy.get(),
            course.check_what_is_left()
        )),
    }
}

/// The client of a session.
async fn visit(registry: &Rc<Registry>, front: &Address, way: Way, session: Rc<Session>, patience: Duration) {
    registry.expect(&session);
    session.client.begin();
    let whole = async {
        let link = Link::connect(front).await?;
        let seen = take_part(&session, Role::Client, link).await?;
        judge(&session, Role::Client, way, seen).map_err(Failure::Unexpected)?;
        // A client that broke off before it was known may never have got through to the server.
        if session.plan.reset.as_ref().is_none_or(|reset| reset.by == Role::Server || reset.once_known) {
            session.server.is_over().await;
        }
        Ok(())
    };
    let outcome = unless_stuck(&session, patience, whole).await;
    if let Err(failure) = outcome {
        registry.fail(describe(&session, way, Role::Client, &failure));
    }
}

/// The server of all sessions.
async fn serve(door: Door, way: Way, registry: Rc<Registry>, patience: Duration) {
    loop {
        let link = match door.accept().await {
            Ok(link) => link,
            Err(failure) => {
                registry.fail(failure);
                return;
            }
        };
        registry.busy.set(registry.busy.get() + 1);
        let registry = Rc::clone(&registry);
        tokio::task::spawn_local(async move {
            receive(&registry, way, link, patience).await;
            registry.busy.set(registry.busy.get() - 1);
        });
    }
}

async fn receive(registry: &Rc<Registry>, way: Way, link: Link, patience: Duration) {
    let have = Cell::new(0);
    let session = match timeout(patience, identify(registry, &link, &have)).await {
        Ok(Ok(Some(session))) => session,
        Ok(Ok(None)) => {
            registry.orphans.set(registry.orphans.get() + 1);
            return;
        }
        Ok(Err(failure)) => return registry.fail(format!("{way}: {failure}")),
        Err(_) => {
            let (have, secs) = (have.get(), patience.as_secs());
            return registry.fail(format!("{way}: a connection stayed open for {secs} s with {have} bytes"));
        }
    };
    session.server.begin();
    let whole = async {
        let seen = take_part(&session, Role::Server, link).await?;
        judge(&session, Role::Server, way, seen).map_err(Failure::Unexpected)
    };
    let outcome = unless_stuck(&session, patience, whole).await;
    if let Err(failure) = outcome {
        registry.fail(describe(&session, way, Role::Server, &failure));
    }
    session.server.end();
}

/// Finds out whose connection this is; nobody's when it ended before it said so.
async fn identify(registry: &Registry, link: &Link, have: &Cell<usize>) -> Result<Option<Rc<Session>>> {
    if let Some(session) = registry.next_without_header() {
        return Ok(Some(session));
    }
    let mut header = [0; HEADER];
    while have.get() < HEADER {
        match link.read(header.get_mut(have.get()..).unwrap_or_default()).await {
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

/// Gives up when no byte of the session has moved for as long as `patience`. How long the whole may take depends on what
/// else the machine does.
async fn unless_stuck(
    session: &Session,
    patience: Duration,
    whole: impl Future<Output = Result<()>>,
) -> Result<()> {
    let stuck = async {
        let mut last = session.bytes_moved();
        loop {
            tokio::time::sleep(patience).await;
            let now = session.bytes_moved();
            if now == last {
                return;
            }
            last = now;
        }
    };
    tokio::select! {
        outcome = whole => outcome,
        () = stuck => Err(hung(session, patience)),
    }
}

fn hung(session: &Session, patience: Duration) -> Failure {
    let state = |role| {
        let peer = session.of(role);
        let (sent, received) = (peer.sent.get(), peer.received.get());
        format!("{role:?} sent {sent}, received {received}, finished: {}", peer.finished.get())
    };
    Failure::Unexpected(format!(
        "nothing has moved for {} s: {}; {}",
        patience.as_secs(),
        state(Role::Client),
        state(Role::Server)
    ))
}

fn describe(session: &Session, way: Way, role: Role, failure: &Failure) -> String {
    let plan = &session.plan;
    let what = match &plan.reset {
        Some(reset) => format!("reset by the {:?}, {:?}", reset.by, reset.when),
        None => format!(
            "client waits: {}, server waits: {}",
            plan.client.finishes_last, plan.server.finishes_last
        ),
    };
    format!(
        "DORMOUSE_SESSION={way}:{:#x} {role:?}: {failure} (up {} bytes, down {} bytes, {what})",
        session.seed, plan.client.bytes, plan.server.bytes
    )
}
