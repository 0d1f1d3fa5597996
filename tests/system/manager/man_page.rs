//! The examples of the manual page systemd-socket-proxyd(8), unchanged except for the path of the program.
//!
//! nginx.service is Debian's. The requirements of the manual page for nginx (its address, its private network) are
//! in its configuration and in a drop-in.

use std::{path::Path, time::Duration};

use dormouse_tests::Result;

use super::{
    client::curl,
    machine::{DORMOUSE, DORMOUSE_AS_SOCKET_PROXYD, Machine, SETTLE, case, ensure, write},
};

const LIMIT: Duration = Duration::from_secs(120);

case!(System, simple_example_as_socket_proxyd, LIMIT, |machine| simple(machine, DORMOUSE_AS_SOCKET_PROXYD));

case!(System, simple_example_as_dormouse_proxy, LIMIT, |machine| simple(
    machine,
    &format!("{DORMOUSE} proxy")
));

case!(System, namespace_example_as_socket_proxyd, LIMIT, |machine| namespace(
    machine,
    DORMOUSE_AS_SOCKET_PROXYD
));

case!(System, namespace_example_as_dormouse_proxy, LIMIT, |machine| namespace(
    machine,
    &format!("{DORMOUSE} proxy")
));

case!(System, both_stop_when_idle, LIMIT, |machine| {
    let example = SIMPLE_SERVICE.replace("proxyd /run", "proxyd --exit-idle-time=300ms /run");
    set_up(machine, &example, DORMOUSE_AS_SOCKET_PROXYD, "unix:/run/nginx/socket", NGINX_IDLE)?;
    for _ in 0..3 {
        serves(machine)?;
        machine.wait_inactive(&["proxy-to-nginx.service", "nginx.service"])?;
        machine.expect("nginx.service", "Result", "success")?;
        machine.expect("proxy-to-nginx.service", "Result", "success")?;
        machine.wait("proxy-to-nginx.socket", "SubState", "listening", SETTLE)?;
    }
    Ok(())
});

const SOCKET: &str = "\
[Socket]
ListenStream=80

[Install]
WantedBy=sockets.target
";

const SIMPLE_SERVICE: &str = "\
[Unit]
Requires=nginx.service
After=nginx.service
Requires=proxy-to-nginx.socket
After=proxy-to-nginx.socket

[Service]
Type=notify
ExecStart=/usr/lib/systemd/systemd-socket-proxyd /run/nginx/socket
PrivateTmp=yes
PrivateNetwork=yes
";

const NAMESPACE_SERVICE: &str = "\
[Unit]
Requires=nginx.service
After=nginx.service
Requires=proxy-to-nginx.socket
After=proxy-to-nginx.socket
JoinsNamespaceOf=nginx.service

[Service]
Type=notify
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:8080
PrivateTmp=yes
PrivateNetwork=yes
";

/// The path of the program in the examples.
const SOCKET_PROXYD: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// Creates /run/nginx.
const NGINX_PLAIN: &str = "[Service]\nRuntimeDirectory=nginx\n";

const NGINX_IDLE: &str = "[Unit]\nStopWhenUnneeded=yes\n[Service]\nRuntimeDirectory=nginx\n";

const NGINX_PRIVATE: &str = "[Service]\nPrivateTmp=yes\nPrivateNetwork=yes\n";

fn simple(machine: &Machine, program: &str) -> Result<()> {
    set_up(machine, SIMPLE_SERVICE, program, "unix:/run/nginx/socket", NGINX_PLAIN)?;
    serves(machine)?;
    stays(machine)
}

fn namespace(machine: &Machine, program: &str) -> Result<()> {
    set_up(machine, NAMESPACE_SERVICE, program, "8080", NGINX_PRIVATE)?;
    serves(machine)?;
    stays(machine)
}

/// Installs the units of an example and runs the first command of "Enabling the proxy".
fn set_up(machine: &Machine, service: &str, program: &str, listen: &str, drop_in: &str) -> Result<()> {
    let nginx = format!(
        "\
user www-data;
pid /run/nginx.pid;
events {{ worker_connections 64; }}
http {{
    server {{
        listen {listen};
        location / {{ return 200 \"hello from nginx\\n\"; }}
    }}
}}
"
    );
    write(Path::new("/etc/nginx/nginx.conf"), &nginx)?;
    machine.install(&[
        ("nginx.service.d/example.conf", drop_in),
        ("proxy-to-nginx.socket", SOCKET),
        ("proxy-to-nginx.service", &service.replace(SOCKET_PROXYD, program)),
    ])?;
    machine.systemctl(&["enable", "--now", "proxy-to-nginx.socket"]).map(drop)
}

/// Runs the remaining commands of "Enabling the proxy".
fn serves(machine: &Machine) -> Result<()> {
    machine.expect("proxy-to-nginx.service", "ActiveState", "inactive")?;
    machine.expect("nginx.service", "ActiveState", "inactive")?;
    let answer = curl("http://localhost:80/")?;
    ensure(answer == "hello from nginx\n", || format!("the answer is {answer:?}"))
}

fn stays(machine: &Machine) -> Result<()> {
    machine.expect("proxy-to-nginx.service", "ActiveState", "active")?;
    machine.expect("nginx.service", "ActiveState", "active")
}
