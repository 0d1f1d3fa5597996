//! Connections in a network namespace, where the kernel has few ports to choose from.

use std::time::Duration;

use dormouse_tests::network::{connect_from, inside};
use dormouse_tests::process::Launch;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Family, Listener, Stream};

#[test]
fn a_tcp_self_connect_is_detected() {
    inside(concat!(module_path!(), "::a_tcp_self_connect_is_detected"), Duration::from_secs(60), || {
        let front = Listener::bind(Family::Tcp4)?;
        let _dormouse =
            Launch::dormouse().args(["proxy", "--wait=2s", "127.0.0.1:40000"]).pass(&front).start()?;
        // Each attempt has a chance of one in ten that its source port is its destination port.
        connect_from(40000..=40009)?;
        let client = Stream::connect(front.address(), SOON)?;
        client.send(b"any data", SOON)?;
        let received = client.receive_to_end(SOON)?;
        assert!(received.bytes.is_empty(), "{received:?}");
        // No connection remains on the server's port.
        Listener::bind_at(&Address::Tcp("127.0.0.1:40000".parse().unwrap()))?;
        Ok(())
    });
}
