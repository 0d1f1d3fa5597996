//! A machine that a Wake-on-LAN packet wakes.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use crate::{Context, Line, News, Operation, Order, WakeError};

/// A machine in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its network card's address.
    pub mac: [u8; 6],
    /// Where the packet goes: a broadcast address and a port.
    pub broadcast: SocketAddr,
}

/// A packet may get lost, and a machine that is just going to sleep does not hear it: pauses between the first ones.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
/// …and between the others.
const LATER: Duration = Duration::from_secs(10);

/// Reads a network card's address: six bytes in hexadecimal, between colons or hyphens.
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

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine {}", self.mac.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// Carries out orders until there are no more.
pub(crate) async fn run(it: Machine, context: Context, mut orders: Receiver<Order>, news: Sender<News>) {
    let mut waking: Option<Waking> = None;
    let mut told = false;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            result = again(waking.as_mut(), &it) => {
                if let (Err(error), Some(waking)) = (result, &mut waking) {
                    waking.complain(&it, &context, &error);
                }
                continue;
            }
        };
        let answer = match order {
            Some(Order::Start) => match Waking::start(&it).await {
                Ok(started) => {
                    waking = Some(started);
                    News::Launched { foreign: false }
                }
                Err(error) => News::StartFailed(failure(&it, Operation::Start, reason(&error))),
            },
            Some(Order::Stop) => {
                waking = None;
                if !told {
                    told = true;
                    (context.tell)(Line::Notice(&format!("{it} is left to fall asleep by itself")));
                }
                News::Stopped
            }
            Some(Order::Freeze) => News::FreezeFailed(failure(
                &it,
                Operation::Freeze,
                "a machine cannot be frozen over the network; leave idle.freeze out".to_owned(),
            )),
            Some(Order::Thaw) => News::Thawed,
            None => return,
        };
        if news.send(answer).await.is_err() {
            return;
        }
    }
}

/// Packets are being sent.
struct Waking {
    socket: UdpSocket,
    pauses: std::array::IntoIter<Duration, 3>,
    next: Instant,
    /// It was told that sending fails.
    complained: bool,
}

impl Waking {
    async fn start(it: &Machine) -> io::Result<Self> {
        let any: SocketAddr = match it.broadcast {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.set_broadcast(true)?;
        let mut waking = Self { socket, pauses: PAUSES.into_iter(), next: Instant::now(), complained: false };
        waking.send(it).await?;
        Ok(waking)
    }

    async fn send(&mut self, it: &Machine) -> io::Result<()> {
        self.next = Instant::now() + self.pauses.next().unwrap_or(LATER);
        self.socket.send_to(&packet(it.mac), it.broadcast).await.map(drop)
    }

    fn complain(&mut self, it: &Machine, context: &Context, error: &io::Error) {
        if !self.complained {
            self.complained = true;
            (context.tell)(Line::Warning(&format!("No packet to {it}: {}", reason(error))));
        }
    }
}

async fn again(waking: Option<&mut Waking>, it: &Machine) -> io::Result<()> {
    let Some(waking) = waking else { return std::future::pending().await };
    sleep_until(waking.next).await;
    waking.send(it).await
}

/// Six times 255, then the address sixteen times.
fn packet(mac: [u8; 6]) -> Vec<u8> {
    let mut packet = vec![0xff; 6];
    packet.extend(mac.repeat(16));
    packet
}

fn reason(error: &io::Error) -> String {
    format!("{error}; see that the broadcast address belongs to a network that this machine is in")
}

fn failure(it: &Machine, operation: Operation, reason: String) -> WakeError {
    WakeError { what: it.to_string(), operation, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn addresses() {
        let mac = [0xaa, 0xbb, 0xcc, 0x00, 0x11, 0x22];
        assert_eq!(parse_mac("aa:bb:cc:00:11:22"), Some(mac));
        assert_eq!(parse_mac("AA-BB-CC-00-11-22"), Some(mac));
        let junk = ["", "aa:bb:cc:00:11", "aa:bb:cc:00:11:22:33", "aa:bb:cc:00:11:2", "+a:bb:cc:00:11:22"];
        for text in junk.into_iter().chain(["aa:bb-cc:00:11:22", "aabbcc001122", "gg:bb:cc:00:11:22"]) {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn several_packets_until_it_is_stopped() {
        let ear = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let machine = Machine { mac: [1, 2, 3, 4, 5, 6], broadcast: ear.local_addr().unwrap() };
        let tell = Arc::new(|_: Line<'_>| {});
        let context =
            Context { name: "m".to_owned(), stop_timeout: Duration::from_secs(1), ours: false, tell };
        let mut waker = crate::spawn(crate::Wake::Lan(machine), context);
        waker.orders.send(Order::Start).await.unwrap();
        assert!(matches!(waker.news.recv().await, Some(News::Launched { foreign: false })));
        let mut heard = [0; 200];
        for _ in 0..5 {
            let length = ear.recv(&mut heard).await.unwrap();
            assert_eq!(heard[..6], [0xff; 6]);
            assert_eq!(heard[6..length], [1, 2, 3, 4, 5, 6].repeat(16));
        }
        waker.orders.send(Order::Freeze).await.unwrap();
        assert!(matches!(waker.news.recv().await, Some(News::FreezeFailed(_))));
        waker.orders.send(Order::Stop).await.unwrap();
        assert!(matches!(waker.news.recv().await, Some(News::Stopped)));
        let silence = tokio::time::timeout(Duration::from_secs(60), ear.recv(&mut heard)).await;
        assert!(silence.is_err(), "a packet after the stop");
        drop(waker.orders);
        waker.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_network_that_is_not_there_is_told() {
        // A link-local address without an interface leads nowhere.
        let machine = Machine { mac: [0; 6], broadcast: "[ff02::1]:0".parse().unwrap() };
        assert!(Waking::start(&machine).await.is_err());
    }
}
