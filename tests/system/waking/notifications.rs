//! A user without any role writes to the notification socket of a program of root, which every user may write to.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, Place, configured, write};
use dormouse_tests::wait::SOON;

/// Looks for the socket, as any user can, and writes to it.
const ATTACKER: &str = r#"
import array, os, socket, struct, sys, threading, time
way = sys.argv[1]
end = time.monotonic() + 30
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def sockets():
    for line in open("/proc/net/unix"):
        words = line.split()
        if len(words) == 8 and "dormouse-notify-" in words[7]: yield words[7]
def find():
    while time.monotonic() < end:
        for path in sockets():
            # Those of other tests are not in the way.
            if path.startswith(sys.argv[2] + "/"): return path
        time.sleep(0.01)
    sys.exit("no notification socket")
path = find()
def connected():
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    while True:
        try:
            sender.connect(path)
            return sender
        except PermissionError:
            if time.monotonic() > end: raise
            time.sleep(0.01)
def flood():
    try: connected().send(b"READY=1")
    except OSError: pass
def unsent():
    """Returns a socket whose close takes ten minutes."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.socket()
    sender.connect(listener.getsockname())
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    sender.setblocking(False)
    try:
        while True: sender.send(bytes(65536))
    except BlockingIOError: pass
    return listener, sender
if way == "flood":
    # Each waits until its message is read.
    threading.stack_size(65536)
    for _ in range(900): threading.Thread(target=flood, daemon=True).start()
else:
    kept, sender = [], connected()
    for _ in range(8):
        listener, passed = unsent()
        kept.append(listener)
        sender.send(b"X=1")
        sender.sendmsg([b"X=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()]))])
        # Who closes the last copy waits.
        threading.Thread(target=os.close, args=(passed.detach(),), daemon=True).start()
print("attacks", flush=True)
time.sleep(1000)
"#;

/// Kills the attacker at the end.
struct Attacker(Child);

impl Attacker {
    fn start(place: &Place, way: &str) -> Self {
        let script = place.path("attacker.py");
        write(&script, ATTACKER).unwrap();
        let runtime = place.path("runtime");
        let mut command = Command::new("python3");
        command.args(["-S".as_ref(), "-E".as_ref(), script.as_os_str(), way.as_ref(), runtime.as_os_str()]);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until everything is sent, or all senders are busy.
    fn attacks(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "attacks\n");
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the services web, whose program of root notifies when the gate `ready` is open, and echo. Returns after the attacker
/// has begun, while a client of web waits.
fn attacked(way: &str) {
    let place = Place::new(2).unwrap();
    let runtime = place.path("runtime");
    std::fs::create_dir(&runtime).unwrap();
    for directory in [place.dir().path(), &runtime] {
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let text = format!(
        "[services.web]\nlisten = LISTEN\nto = '{}'\nready = 'notify'\n\
         wake = {{ exec = \"{}\", user = 'root' }}\n[services.echo]\nlisten = LISTEN\nECHO(echo)\n",
        place.port(0),
        place.server(0, &["ready"])
    );
    let launch = Launch::dormouse().env("RUNTIME_DIRECTORY", &runtime);
    let dormouse = Dormouse::start(configured(place.dir(), &text, launch).unwrap()).unwrap();
    let mut attacker = Attacker::start(&place, way);
    let client = dormouse.client_of("web").unwrap();
    client.send(b"hello", SOON).unwrap();
    attacker.attacks();
    // The event loop is not halted …
    dormouse.echo(&dormouse.client_of("echo").unwrap(), "well").unwrap();
    // … and the program's own message arrives.
    place.open("ready").unwrap();
    dormouse.receives(&client, "hello").unwrap();
}

#[test]
fn a_flood_of_a_user_without_a_role_keeps_no_program_from_its_start() {
    attacked("flood");
}

#[test]
fn descriptors_that_take_long_to_close_halt_nobody() {
    attacked("linger");
}
