//! The web page in a real browser, controlled through the `WebDriver` protocol.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::wait;
use dormouse_tests::{Address, Failure, Family, Listener, Result};

use super::rig::Rig;

/// A browser starts slowly on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// The start of Chromium hangs now and then, which says nothing about the page.
const STARTS: usize = 3;

/// A headless Chromium.
struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    fn start() -> Result<Self> {
        let mut failures = Vec::new();
        while failures.len() < STARTS {
            match Self::start_once() {
                Ok(browser) => return Ok(browser),
                Err(failure @ Failure::Missing { .. }) => return Err(failure),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        Err(Failure::Unexpected(format!("no browser after {STARTS} starts: {}", failures.join("; "))))
    }

    fn start_once() -> Result<Self> {
        let version = Command::new("chromedriver").arg("--version").output();
        version.map_err(|_| Failure::missing("chromedriver", "run scripts/test-deps.sh"))?;
        // Bound without listening, so that nobody else gets the port. The driver sets SO_REUSEADDR, too.
        let reserved = Listener::bound(Family::Tcp4)?;
        let Address::Tcp(address) = *reserved.address() else {
            return Err(Failure::Unexpected("a TCP socket without a port".to_owned()));
        };
        // A browser that hangs outlives its driver, but not the first process of its PID namespace.
        let driver = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--kill-child", "chromedriver"])
            .arg(format!("--port={}", address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .doing(|| "unshare".to_owned())?;
        let mut browser = Self { driver, address, session: String::new() };
        wait::until("chromedriver", LIMIT, || Ok(TcpStream::connect(address).ok()))?;
        let wanted = r#"{"capabilities":{"alwaysMatch":{"goog:loggingPrefs":{"browser":"ALL"},"goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage"]}}}}"#;
        let answer = browser.request("POST", "/session", wanted)?;
        let id = answer.split_once("\"sessionId\":\"").and_then(|(_, rest)| rest.split('"').next());
        id.ok_or_else(|| Failure::Unexpected(answer.clone()))?.clone_into(&mut browser.session);
        // Make the viewport as small as a telephone's.
        browser.of_session(
            "POST",
            "/goog/cdp/execute",
            r#"{"cmd":"Emulation.setDeviceMetricsOverride","params":{"width":360,"height":740,"deviceScaleFactor":1,"mobile":true}}"#,
        )?;
        Ok(browser)
    }

    fn of_session(&self, method: &str, path: &str, body: &str) -> Result<String> {
        self.request(method, &format!("/session/{}{path}", self.session), body)
    }

    /// Runs a script and returns its result as JSON.
    fn run(&self, script: &str) -> Result<String> {
        let script = script.replace('\\', "\\\\").replace('"', "\\\"");
        self.of_session("POST", "/execute/sync", &format!(r#"{{"script":"{script}","args":[]}}"#))
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let doing = || format!("{method} {path}");
        let mut socket = TcpStream::connect(self.address).doing(doing)?;
        socket.set_read_timeout(Some(LIMIT)).doing(doing)?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).doing(doing)?;
        let answer = read_answer(&mut socket).doing(doing)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if answer.starts_with("HTTP/1.1 200") {
            Ok(body.to_owned())
        } else {
            Err(Failure::Unexpected(answer))
        }
    }
}

/// Reads an answer of the length in its header; chromedriver leaves connections open.
fn read_answer(socket: &mut TcpStream) -> std::io::Result<String> {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.split_whitespace().next());
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Ok(text.into_owned());
            }
        }
        match socket.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend(piece.iter().take(count)),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; without a session only the driver runs.
        if !self.session.is_empty() {
            let _ = self.of_session("DELETE", "", "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_updates_itself_in_a_small_browser() {
    let rig = Rig::new(
        "",
        "[services.main]\nlisten = LISTEN\nECHO(main)\n[services.other]\nlisten = LISTEN\nECHO(other)\n",
    )
    .unwrap();
    let browser = Browser::start().unwrap();
    let url = format!(r#"{{"url":"http://{}/"}}"#, rig.http().unwrap());
    browser.of_session("POST", "/url", &url).unwrap();
    let state = |service: &str| {
        let script =
            format!("return document.querySelector('[data-service={service}] .state')?.textContent ?? ''");
        browser.run(&script)
    };
    let shows = |service: &str, wanted: &str| {
        let found = wait::until(&format!("{service} {wanted} on the page"), LIMIT, || {
            Ok(state(service)?.contains(&format!("\"{wanted}\"")).then_some(()))
        });
        found.unwrap_or_else(|failure| {
            panic!("{failure}: {:?}", browser.run("return document.body.innerText"))
        });
    };
    shows("main", "stopped");
    // The service wakes, and the page shows the new state without a reload.
    let client = rig.client("main").unwrap();
    shows("main", "ready");
    drop(client);
    shows("main", "idle");
    shows("other", "stopped");
    // No element is wider than the viewport, and the text is large enough to read.
    let width = browser.run("return [innerWidth, document.documentElement.scrollWidth]").unwrap();
    assert!(width.contains("[360,360]"), "{width}");
    let size = browser.run("return [...document.querySelectorAll('dd,dt,h2,p')].every(e => parseFloat(getComputedStyle(e).fontSize) >= 14)");
    assert!(size.as_ref().unwrap().contains("true"), "{size:?}");
    // The page loaded no resource from another origin and reported no error.
    let elsewhere = browser
        .run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).length")
        .unwrap();
    assert!(elsewhere.contains(":0"), "{elsewhere}");
    let console = browser.of_session("POST", "/se/log", r#"{"type":"browser"}"#).unwrap();
    assert_eq!(console, r#"{"value":[]}"#);
}
