//! Forwarding of bytes and of the ends of streams.

use std::thread;

use dormouse_tests::net::tcp_timer;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Family, Listener, Result, Stream, Subject, scaled, wait};

use crate::case::Expect::{Changed, ChangedAndDiffers, Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, end_limit, exchange};

/// More bytes than all buffers on the path can hold.
const BULK: usize = 24 << 20;
/// More bytes than one buffer on the path can hold.
const EACH_WAY: usize = scaled(3 << 20, BULK);

cases! {
    tcp_to_tcp: "megabytes each way at once, TCP to TCP" => Same("all arrived"),
        |s| both_ways(s, Family::Tcp4, Family::Tcp4);
    tcp_to_unix: "megabytes each way at once, TCP to UNIX" => Same("all arrived"),
        |s| both_ways(s, Family::Tcp6, Family::Unix);
    unix_to_tcp: "megabytes each way at once, UNIX to TCP" => Same("all arrived"),
        |s| both_ways(s, Family::Unix, Family::Tcp6);
    unix_to_unix: "megabytes each way at once, UNIX to UNIX" => Same("all arrived"),
        |s| both_ways(s, Family::Abstract, Family::Abstract);

    client_half_close: "the client ends its stream and reads the answer" => Changed {
        v252: "the question arrived, the answer did not",
        v261: "both arrived",
    }, client_half_close;
    server_half_close: "the server ends its stream and reads the rest from the client" => Changed {
        v252: "the answer arrived, the rest did not",
        v261: "both arrived",
    }, server_half_close;
    tail: "the server sends 24 MiB and closes; the client reads late" => Same("all arrived, then Fin"), |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        let expected = pattern(BULK);
        let sent = expected.clone();
        let sender = thread::spawn(move || server.send(&sent, SOON));
        // The first bytes show that the sender has started.
        let mut bytes = client.receive(1, SOON)?;
        let rest = client.receive_to_end(SOON)?;
        sender.join().map_err(|_| Failure::Unexpected("the sender panicked".to_owned()))??;
        bytes.extend(rest.bytes);
        let all = if bytes == expected { "all arrived" } else { "bytes are wrong" };
        Ok(format!("{all}, then {:?}", rest.ending))
    };
    upload_tail: "the client sends 24 MiB and closes; the server reads late" => Same("all arrived, then Fin"), |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        let expected = pattern(BULK);
        let sent = expected.clone();
        let sender = thread::spawn(move || client.send(&sent, SOON));
        let mut bytes = server.receive(1, SOON)?;
        let rest = server.receive_to_end(SOON)?;
        sender.join().map_err(|_| Failure::Unexpected("the sender panicked".to_owned()))??;
        bytes.extend(rest.bytes);
        let all = if bytes == expected { "all arrived" } else { "bytes are wrong" };
        Ok(format!("{all}, then {:?}", rest.ending))
    };
    close_by_client: "the client closes" => Same("Fin at the server"), |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        drop(client);
        Ok(format!("{:?} at the server", server.receive_to_end(SOON)?.ending))
    };
    close_by_server: "the server closes" => Same("Fin at the client"), |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        drop(server);
        Ok(format!("{:?} at the client", client.receive_to_end(SOON)?.ending))
    };
    server_sends_first: "the server sends before the client" => Same("greeted"), |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        server.send(b"220 hello", SOON)?;
        client.receive(9, SOON)?;
        Ok("greeted".to_owned())
    };
    sent_before_accept: "data that the client sends before the backend accepts" => Same("arrives"), |s| {
        let rig = Plan::new(s).start()?;
        let client = rig.client()?;
        client.send(b"early", SOON)?;
        rig.back.accept(SOON)?.receive(5, SOON)?;
        Ok("arrives".to_owned())
    };
    sent_and_closed_before_accept: "a client that sends and closes before the backend accepts" => Same("arrives"),
        |s| {
            let rig = Plan::new(s).start()?;
            let client = rig.client()?;
            client.send(b"early", SOON)?;
            drop(client);
            let got = rig.back.accept(SOON)?.receive_to_end(SOON)?;
            Ok(if got.bytes == b"early" { "arrives" } else { "is lost" }.to_owned())
        };

    reset_by_client: "the client resets" => Differs {
        difference: "resets",
        socket_proxyd: "Fin at the server",
        dormouse: "Reset at the server",
    }, |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        client.reset()?;
        Ok(format!("{:?} at the server", server.receive_to_end(SOON)?.ending))
    };
    reset_by_server: "the server resets" => Differs {
        difference: "resets",
        socket_proxyd: "Fin at the client",
        dormouse: "Reset at the client",
    }, |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        server.reset()?;
        Ok(format!("{:?} at the client", client.receive_to_end(SOON)?.ending))
    };
    reset_at_once_by_server: "the server resets immediately after its accept" => Differs {
        difference: "resets",
        socket_proxyd: "Fin at the client",
        dormouse: "Reset at the client",
    }, |s| {
        let rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        server.reset()?;
        Ok(format!("{:?} at the client", client.receive_to_end(SOON)?.ending))
    };
    reset_at_once_by_client: "the client resets immediately after its connect" => Same("gone"), |s| {
        let rig = Plan::new(s).start()?;
        rig.client()?.reset()?;
        // The backend may receive a connection that ends at once, or none.
        if rig.back.has_pending(A_WHILE / 4)? {
            rig.back.accept(SOON)?.receive_to_end(SOON)?;
        }
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        Ok("gone".to_owned())
    };

    descriptors: "descriptors for each idle session" => ChangedAndDiffers {
        difference: "descriptors",
        v252: "6",
        v261: "8",
        dormouse: "2",
    }, descriptors;
    keepalive: "keepalive on the two sockets of a session" => Differs {
        difference: "socket-options",
        socket_proxyd: "client side: off, server side: off",
        dormouse: "client side: on, server side: on",
    }, |s| {
        let rig = Plan::new(s).start()?;
        // A first session shows that the program has started.
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        let (client, server) = rig.session()?;
        keepalive(s, &client, &server)
    };
    keepalive_early: "the same for a client that connected before the program started" => Differs {
        difference: "socket-options",
        socket_proxyd: "client side: off, server side: off",
        dormouse: "client side: on, server side: on",
    }, |s| {
        let front = Listener::bind(Family::Tcp4)?;
        let back = Listener::bind(Family::Tcp4)?;
        let client = Stream::connect(front.address(), SOON)?;
        let rig = Plan::new(s).start_between(front, back)?;
        let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
        keepalive(s, &client, &server)
    };
}

/// Returns bytes in which a loss, duplication or exchange is detectable.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn both_ways(subject: Subject, front: Family, back: Family) -> Result<String> {
    let rig = Plan::new(subject).between(front, back).start()?;
    let (client, server) = rig.session()?;
    let bytes = pattern(EACH_WAY);
    let limit = SOON * 3;
    let arrived = thread::scope(|scope| {
        let senders = [&client, &server].map(|from| scope.spawn(|| from.send(&bytes, limit)));
        let readers = [&client, &server].map(|to| scope.spawn(|| Ok(to.receive(EACH_WAY, limit)? == bytes)));
        let sent = senders.map(|sender| sender.join().unwrap_or_else(|_| Err(panicked())));
        let read = readers.map(|reader| reader.join().unwrap_or_else(|_| Err(panicked())));
        sent.into_iter().collect::<Result<()>>()?;
        read.into_iter().collect::<Result<Vec<bool>>>()
    });
    let arrived = arrived.map_err(|failure| rig.subject.with_log(&failure))?;
    Ok(if arrived.iter().all(|whole| *whole) { "all arrived" } else { "bytes are wrong" }.to_owned())
}

fn panicked() -> Failure {
    Failure::Unexpected("a thread of the test panicked".to_owned())
}

fn client_half_close(subject: Subject) -> Result<String> {
    let rig = Plan::new(subject).start()?;
    let (client, server) = rig.session()?;
    client.send(b"question", SOON)?;
    client.finish()?;
    let question = server.receive_to_end(SOON)?;
    let answer = answered(&server, &client)?;
    Ok(match (question.bytes == b"question", answer) {
        (true, true) => "both arrived",
        (true, false) => "the question arrived, the answer did not",
        (false, _) => "the question did not arrive",
    }
    .to_owned())
}

fn server_half_close(subject: Subject) -> Result<String> {
    let rig = Plan::new(subject).start()?;
    let (client, server) = rig.session()?;
    server.send(b"answer", SOON)?;
    server.finish()?;
    let answer = client.receive_to_end(SOON)?;
    let rest = answered(&client, &server)?;
    Ok(match (answer.bytes == b"answer", rest) {
        (true, true) => "both arrived",
        (true, false) => "the answer arrived, the rest did not",
        (false, _) => "the answer did not arrive",
    }
    .to_owned())
}

/// Whether data that `from` sends in the remaining direction arrives at `to`.
fn answered(from: &Stream, to: &Stream) -> Result<bool> {
    // If the program has closed both directions, the close may arrive now or later.
    if from.send(b"in the other direction", SOON).is_err() || from.finish().is_err() {
        return Ok(false);
    }
    Ok(to.receive_to_end(SOON)?.bytes == b"in the other direction")
}

fn descriptors(subject: Subject) -> Result<String> {
    const SESSIONS: usize = 20;
    let rig = Plan::new(subject).start()?;
    // Descriptors that are opened once for the first session do not count.
    let first = rig.session()?;
    exchange(&first.0, &first.1)?;
    let before = rig.subject.descriptors()?.len();
    let sessions = (0..SESSIONS).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    for (client, server) in &sessions {
        exchange(client, server)?;
    }
    let more = rig.subject.descriptors()?.len() - before;
    if more % SESSIONS == 0 {
        Ok((more / SESSIONS).to_string())
    } else {
        Ok(format!("{more} for {SESSIONS} sessions"))
    }
}

fn keepalive(subject: Subject, client: &Stream, server: &Stream) -> Result<String> {
    exchange(client, server)?;
    let sides = [("client", client), ("server", server)].map(|(side, stream)| {
        // The table shows the retransmission timer until the last bytes are acknowledged.
        let limit = end_limit(subject);
        let on =
            wait::until("keepalive timer", limit, || Ok(tcp_timer(stream)?.is_keepalive().then_some(())));
        match on {
            Ok(()) => Ok(format!("{side} side: on")),
            Err(failure) if failure.is_timeout() => Ok(format!("{side} side: off")),
            Err(failure) => Err(failure),
        }
    });
    Ok(sides.into_iter().collect::<Result<Vec<_>>>()?.join(", "))
}
