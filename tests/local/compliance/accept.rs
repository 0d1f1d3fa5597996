//! The limit of sessions.

use dormouse_tests::process::raise_own_nofile;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Failure, Result, Subject};

use crate::case::Expect::{Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Fate, Plan, Rig, exchange, log_of};

cases! {
    hard_limit: "-c 1 and three clients" => Differs {
        difference: "hard-limit",
        socket_proxyd: "2 served",
        dormouse: "1 served",
    }, |s| Ok(format!("{} served", Plan::new(s).args(["-c", "1"]).start()?.served_of(3)?));
    default_limit: "no -c and 260 clients" => Differs {
        difference: "hard-limit",
        socket_proxyd: "257 served",
        dormouse: "256 served",
    }, |s| {
        raise_own_nofile(4096)?;
        let rig = Plan::new(s).launch(|l| l.nofile(4096, 4096)).start()?;
        Ok(format!("{} served", rig.served_of(260)?))
    };
    refused_at_limit: "the client above the limit" => Same("dropped by Fin"), |s| {
        let (rig, open) = full(s)?;
        let client = rig.client()?;
        let fate = rig.fate(&client, SOON)?;
        drop(open);
        match fate {
            Fate::Dropped(Ending::Fin) => Ok("dropped by Fin".to_owned()),
            Fate::Dropped(Ending::Reset) => Ok("dropped by Reset".to_owned()),
            Fate::Served(_) => Ok("served".to_owned()),
            Fate::Waiting => Ok("still waiting".to_owned()),
        }
    };
    refusal_logged: "the log line at the limit" => Same("Hit connection limit, refusing connection."), |s| {
        let (rig, _open) = full(s)?;
        let client = rig.client()?;
        client.receive_to_end(SOON)?;
        rig.subject.stderr().wait_for("\n", SOON)?;
        Ok(log_of(&rig.subject))
    };
    free_slot: "a session ends at the limit, and a client connects" => Same("served"), |s| {
        let (rig, mut open) = full(s)?;
        let (client, server) =
            open.pop().ok_or_else(|| Failure::Unexpected("no session is open".to_owned()))?;
        drop(client);
        server.receive_to_end(SOON)?;
        drop(server);
        // The program may receive the end of the session after this client connects; then it correctly refuses the
        // client.
        let fate = dormouse_tests::wait::until("served client", SOON, || {
            let client = rig.client()?;
            match rig.fate(&client, SOON)? {
                Fate::Served(server) => exchange(&client, &server).map(|()| Some("served".to_owned())),
                Fate::Dropped(_) => Ok(None),
                Fate::Waiting => Err(Failure::Unexpected("a client is still waiting".to_owned())),
            }
        });
        fate.map_err(|failure| rig.subject.with_log(&failure))
    };
    silent_sessions_count: "sessions without data count" => Same("the next is dropped"), |s| {
        let (rig, open) = full(s)?;
        let client = rig.client()?;
        let fate = rig.fate(&client, SOON)?;
        drop(open);
        Ok(if matches!(fate, Fate::Dropped(_)) { "the next is dropped" } else { "not dropped" }.to_owned())
    };
    sessions_continue: "sessions continue while other clients are refused" => Same("they continue"), |s| {
        let (rig, open) = full(s)?;
        for _ in 0..20 {
            rig.client()?.receive_to_end(SOON)?;
            for (client, server) in &open {
                exchange(client, server)?;
            }
        }
        Ok("they continue".to_owned())
    };
    burst: "fifty clients at once" => Same("50 served"), |s| {
        let rig = Plan::new(s).start()?;
        let clients = (0..50).map(|_| rig.client()).collect::<Result<Vec<_>>>()?;
        let servers = (0..50).map(|_| rig.back.accept(SOON)).collect::<Result<Vec<_>>>();
        let servers = servers.map_err(|failure| rig.subject.with_log(&failure))?;
        drop(clients);
        Ok(format!("{} served", servers.len()))
    };
    queued_before_start: "a client that connected before the program started" => Same("served"), |s| {
        let front = dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4)?;
        let back = dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4)?;
        let client = dormouse_tests::Stream::connect(front.address(), SOON)?;
        let rig = Plan::new(s).start_between(front, back)?;
        let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
        exchange(&client, &server)?;
        Ok("served".to_owned())
    };
    queue_at_limit: "--at-limit=queue: the client above the limit" => Differs {
        difference: "queue-at-limit",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--at-limit=queue'",
        dormouse: "waits, and is served when a session ends",
    }, queue_at_limit;
}

/// Starts the program with a limit of two sessions, which systemd-socket-proxyd treats as three, and opens them.
fn full(subject: Subject) -> Result<(Rig, Vec<(dormouse_tests::Stream, dormouse_tests::Stream)>)> {
    let rig = Plan::new(subject).args(["-c", "2"]).start()?;
    let count = match subject {
        Subject::Dormouse => 2,
        Subject::SocketProxyd => 3,
    };
    let open = (0..count).map(|_| rig.session()).collect::<Result<_>>()?;
    Ok((rig, open))
}

fn queue_at_limit(subject: Subject) -> Result<String> {
    let mut rig = Plan::new(subject).args(["-c", "1", "--at-limit=queue"]).start()?;
    if subject == Subject::SocketProxyd {
        return rig.state_after(SOON);
    }
    let (client, server) = rig.session()?;
    let next = rig.client()?;
    if !matches!(rig.fate(&next, A_WHILE)?, Fate::Waiting) {
        return Ok("does not wait".to_owned());
    }
    drop(client);
    drop(server);
    match rig.fate(&next, SOON)? {
        Fate::Served(server) => {
            exchange(&next, &server)?;
            Ok("waits, and is served when a session ends".to_owned())
        }
        Fate::Dropped(_) | Fate::Waiting => Ok("waits and is not served".to_owned()),
    }
}
