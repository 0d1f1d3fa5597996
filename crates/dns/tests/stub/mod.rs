//! A small DNS server over UDP and TCP, with the interface of `dormouse_tests::dns::Dns`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::dns::free;
use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// The size of a datagram that every DNS client accepts (RFC 1035). Longer answers are truncated.
const DATAGRAM: usize = 512;
/// A client that sends a question over TCP sends it completely within this time.
const TCP_TIMEOUT: Duration = Duration::from_secs(20);

/// A server with records for `example.test`.
pub(crate) struct Dns {
    address: SocketAddr,
    zone: Arc<Zone>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Zone {
    records: Mutex<Vec<ResourceRecord<'static>>>,
    srv_queries: AtomicU64,
    stopping: AtomicBool,
}

impl Dns {
    /// Starts a server without records on a free port.
    pub(crate) fn start() -> Self {
        // Another process may take the port between `free` and `bind`.
        let (udp, tcp) = (0..20)
            .find_map(|_| {
                let address = free().unwrap();
                Some((UdpSocket::bind(address).ok()?, TcpListener::bind(address).ok()?))
            })
            .expect("a free port");
        let (address, zone) = (udp.local_addr().unwrap(), Arc::<Zone>::default());
        let (over_udp, over_tcp) = (Arc::clone(&zone), Arc::clone(&zone));
        let threads = vec![
            thread::spawn(move || serve_datagrams(&udp, &over_udp)),
            thread::spawn(move || serve_streams(&tcp, &over_tcp)),
        ];
        Self { address, zone, threads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a record in the notation of a zone file.
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the real server")]
    pub(crate) fn add(&self, record: &str) -> Result<()> {
        self.zone.records.lock().unwrap().push(parse(record));
        Ok(())
    }

    /// Removes all records of a name.
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the real server")]
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let name = parse_name(name);
        self.zone.records.lock().unwrap().retain(|record| record.name != name);
        Ok(())
    }

    /// Returns the number of questions for service records.
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the real server")]
    pub(crate) fn srv_queries(&self) -> Result<u64> {
        Ok(self.zone.srv_queries.load(Ordering::SeqCst))
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.zone.stopping.store(true, Ordering::SeqCst);
        // Each thread checks the flag after its next client.
        let datagram = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[0], self.address));
        if datagram.is_err() || TcpStream::connect(self.address).is_err() {
            return;
        }
        for thread in self.threads.drain(..) {
            // A panic of the thread is visible in the output of the test, which has failed because of it.
            let _ = thread.join();
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, zone: &Zone) {
    let mut bytes = [0; 1500];
    while !zone.stopping.load(Ordering::SeqCst) {
        let (length, client) = socket.recv_from(&mut bytes).unwrap();
        let Some(answer) = zone.answer(&bytes[..length], DATAGRAM) else { continue };
        // The client may have ended.
        let _ = socket.send_to(&answer, client);
    }
}

fn serve_streams(listener: &TcpListener, zone: &Zone) {
    while !zone.stopping.load(Ordering::SeqCst) {
        let (mut client, _) = listener.accept().unwrap();
        // A client that ends early gets no answer.
        let _ = serve_stream(&mut client, zone);
    }
}

/// Answers one question. Each message begins with its length in two bytes.
fn serve_stream(client: &mut TcpStream, zone: &Zone) -> std::io::Result<()> {
    client.set_read_timeout(Some(TCP_TIMEOUT))?;
    let mut length = [0; 2];
    client.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    client.read_exact(&mut question)?;
    let Some(answer) = zone.answer(&question, usize::from(u16::MAX)) else { return Ok(()) };
    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
    client.write_all(&[&length, &*answer].concat())
}

impl Zone {
    /// Returns the answer to a question, without records and marked as truncated if it is longer than `limit` bytes.
    fn answer(&self, question: &[u8], limit: usize) -> Option<Vec<u8>> {
        let packet = Packet::parse(question).ok()?;
        let asked = packet.questions.first()?;
        let (name, kind) = (parse_name(&asked.qname.to_string()), asked.qtype);
        if kind == QTYPE::TYPE(TYPE::SRV) {
            self.srv_queries.fetch_add(1, Ordering::SeqCst);
        }
        let mut reply = packet.into_reply();
        let records = self.records.lock().unwrap();
        let mut of_name = records.iter().filter(|record| record.name == name).peekable();
        if of_name.peek().is_none() {
            *reply.rcode_mut() = RCODE::NameError;
        }
        reply.answers.extend(of_name.filter(|record| QTYPE::TYPE(record.rdata.type_code()) == kind).cloned());
        let answer = reply.build_bytes_vec_compressed().unwrap();
        if answer.len() <= limit {
            return Some(answer);
        }
        reply.answers.clear();
        reply.set_flags(PacketFlag::TRUNCATION);
        Some(reply.build_bytes_vec_compressed().unwrap())
    }
}

/// Returns a name in lower case, because names are compared without regard to case.
fn parse_name(text: &str) -> Name<'static> {
    Name::new(&text.trim_end_matches('.').to_ascii_lowercase()).unwrap().into_owned()
}

/// Parses `NAME TTL IN TYPE DATA`.
fn parse(record: &str) -> ResourceRecord<'static> {
    let words: Vec<_> = record.split_whitespace().collect();
    let number = |index: usize| words[index].parse::<u16>().unwrap();
    let data = match words[3] {
        "A" => RData::A(A { address: words[4].parse::<Ipv4Addr>().unwrap().into() }),
        "AAAA" => RData::AAAA(AAAA { address: words[4].parse::<Ipv6Addr>().unwrap().into() }),
        "SRV" => RData::SRV(SRV {
            priority: number(4),
            weight: number(5),
            port: number(6),
            target: parse_name(words[7]),
        }),
        other => panic!("the stub has no records of type {other}"),
    };
    ResourceRecord::new(parse_name(words[0]), CLASS::IN, words[1].parse().unwrap(), data)
}
