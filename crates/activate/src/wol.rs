//! A machine in the network that a Wake-on-LAN packet wakes.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use crate::{ActivationError, ActivatorContext, Event, LogLine, Operation, Request};

/// A machine in the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    /// The hardware address of its network card.
    pub mac: [u8; 6],
    /// The address that the packet is sent to: a broadcast address and a port.
    pub broadcast: SocketAddr,
}

/// The pauses between the first packets. A packet may get lost, and a machine that is just falling asleep ignores it.
const FIRST_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
/// The pause between later packets.
const LATER_PAUSE: Duration = Duration::from_secs(10);

/// Parses a hardware address: six bytes in hexadecimal, separated by colons or hyphens.
#[must_use]
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut mac = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// Formats a hardware address, with colons.
pub(crate) fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine {}", format_mac(self.mac))
    }
}

/// Carries out requests until the channel of requests is closed.
pub(crate) async fn run(
    machine: Machine,
    context: ActivatorContext,
    mut requests: Receiver<Request>,
    events: Sender<Event>,
) {
    let mut packets: Option<Packets> = None;
    let mut stop_explained = false;
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            result = send_next(packets.as_mut(), &machine) => {
                if let (Err(error), Some(packets)) = (result, &mut packets) {
                    packets.warn(&machine, &context, &error);
                }
                continue;
            }
        };
        let event = match request {
            Some(Request::Start) => match Packets::start(&machine).await {
                Ok(started) => {
                    packets = Some(started);
                    Event::Launched { foreign: false }
                }
                Err(error) => Event::StartFailed(failure(&machine, Operation::Start, reason(&error))),
            },
            Some(Request::Stop) => {
                packets = None;
                if !stop_explained {
                    stop_explained = true;
                    (context.log)(LogLine::Notice(&format!(
                        "{machine} cannot be stopped over the network and must suspend itself"
                    )));
                }
                Event::Stopped
            }
            Some(Request::Freeze) => Event::FreezeFailed(failure(
                &machine,
                Operation::Freeze,
                "a machine cannot be frozen over the network; remove idle.freeze".to_owned(),
            )),
            Some(Request::Thaw) => Event::Thawed,
            None => return,
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// A series of packets, which continues until the machine is to be stopped.
struct Packets {
    socket: UdpSocket,
    pauses: std::array::IntoIter<Duration, 3>,
    next: Instant,
    /// A failure to send was logged already.
    warned: bool,
}

impl Packets {
    async fn start(machine: &Machine) -> io::Result<Self> {
        let unspecified: SocketAddr = match machine.broadcast {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(unspecified).await?;
        socket.set_broadcast(true)?;
        let mut packets =
            Self { socket, pauses: FIRST_PAUSES.into_iter(), next: Instant::now(), warned: false };
        packets.send(machine).await?;
        Ok(packets)
    }

    async fn send(&mut self, machine: &Machine) -> io::Result<()> {
        self.next = Instant::now() + self.pauses.next().unwrap_or(LATER_PAUSE);
        self.socket.send_to(&packet(machine.mac), machine.broadcast).await.map(drop)
    }

    fn warn(&mut self, machine: &Machine, context: &ActivatorContext, error: &io::Error) {
        if !self.warned {
            self.warned = true;
            (context.log)(LogLine::Warning(&format!("Cannot send a packet to {machine}: {}", reason(error))));
        }
    }
}

async fn send_next(packets: Option<&mut Packets>, machine: &Machine) -> io::Result<()> {
    let Some(packets) = packets else { return std::future::pending().await };
    sleep_until(packets.next).await;
    packets.send(machine).await
}

/// Returns a magic packet: six bytes of 255, then the hardware address sixteen times.
fn packet(mac: [u8; 6]) -> Vec<u8> {
    let mut packet = vec![0xff; 6];
    packet.extend(mac.repeat(16));
    packet
}

fn reason(error: &io::Error) -> String {
    format!("{error}; use the broadcast address of a network of this machine")
}

fn failure(machine: &Machine, operation: Operation, reason: String) -> ActivationError {
    ActivationError { workload: machine.to_string(), operation, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunProcesses;
    use std::sync::Arc;

    #[test]
    fn hardware_addresses_are_parsed() {
        let mac = [0xaa, 0xbb, 0xcc, 0x00, 0x11, 0x22];
        assert_eq!(parse_mac("aa:bb:cc:00:11:22"), Some(mac));
        assert_eq!(parse_mac("AA-BB-CC-00-11-22"), Some(mac));
        let junk = ["", "aa:bb:cc:00:11", "aa:bb:cc:00:11:22:33", "aa:bb:cc:00:11:2", "+a:bb:cc:00:11:22"];
        for text in junk.into_iter().chain(["aa:bb-cc:00:11:22", "aabbcc001122", "gg:bb:cc:00:11:22"]) {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn packets_are_sent_until_the_stop() {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let machine = Machine { mac: [1, 2, 3, 4, 5, 6], broadcast: receiver.local_addr().unwrap() };
        let context = ActivatorContext {
            name: "m".to_owned(),
            stop_timeout: Duration::from_secs(1),
            started_by_dormouse: false,
            processes: RunProcesses::default(),
            log: Arc::new(|_: LogLine<'_>| {}),
        };
        let mut activator = crate::spawn(crate::ActivatorConfig::WakeOnLan(machine), context);
        activator.requests.send(Request::Start).await.unwrap();
        assert!(matches!(activator.events.recv().await, Some(Event::Launched { foreign: false })));
        let mut buffer = [0; 200];
        for _ in 0..5 {
            let length = receiver.recv(&mut buffer).await.unwrap();
            assert_eq!(buffer[..6], [0xff; 6]);
            assert_eq!(buffer[6..length], [1, 2, 3, 4, 5, 6].repeat(16));
        }
        activator.requests.send(Request::Freeze).await.unwrap();
        assert!(matches!(activator.events.recv().await, Some(Event::FreezeFailed(_))));
        activator.requests.send(Request::Stop).await.unwrap();
        assert!(matches!(activator.events.recv().await, Some(Event::Stopped)));
        let further = tokio::time::timeout(Duration::from_secs(60), receiver.recv(&mut buffer)).await;
        assert!(further.is_err(), "a packet after the stop");
        drop(activator.requests);
        activator.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_network_without_a_route_fails_the_start() {
        // A link-local address without an interface leads nowhere.
        let machine = Machine { mac: [0; 6], broadcast: "[ff02::1]:0".parse().unwrap() };
        assert!(Packets::start(&machine).await.is_err());
    }
}
