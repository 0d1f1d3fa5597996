//! The rows of the compliance suite on the installed systemd-socket-proxyd.
//!
//! The cases are those of tests/local/compliance.

#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the local suite uses the rest of the cases")]

/// Defines the tests of a case: with systemd-socket-proxyd, and with dormouse if the case needs root.
macro_rules! row {
    ($id:ident root) => {
        mod $id {
            $crate::test!(socket_proxyd, $id, SocketProxyd);
            $crate::test!(dormouse, $id, Dormouse);
        }
    };
    ($id:ident $($mode:ident)?) => {
        mod $id {
            $crate::test!(socket_proxyd, $id, SocketProxyd);
        }
    };
}
macro_rules! test {
    ($name:ident, $id:ident, $subject:ident) => {
        #[test]
        fn $name() {
            let verdict =
                $crate::case::judge(super::CASES, stringify!($id), dormouse_tests::Subject::$subject);
            assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
        }
    };
}
pub(crate) use row;
pub(crate) use test;

#[path = "../../local/compliance/accept.rs"]
mod accept;
#[path = "../../local/compliance/case.rs"]
mod case;
#[path = "../../local/compliance/command_line.rs"]
mod command_line;
#[path = "../../local/compliance/extras.rs"]
mod extras;
#[path = "../../local/compliance/forwarding.rs"]
mod forwarding;
#[path = "../../local/compliance/idle.rs"]
mod idle;
#[path = "../../local/compliance/lifecycle.rs"]
mod lifecycle;
#[path = "../../local/compliance/notifications.rs"]
mod notifications;
#[path = "../../local/compliance/proxy_header.rs"]
mod proxy_header;
#[path = "../../local/compliance/rig.rs"]
mod rig;
#[path = "../../local/compliance/sockets.rs"]
mod sockets;
#[path = "../../local/compliance/target.rs"]
mod target;
#[path = "../../local/compliance/weaknesses.rs"]
mod weaknesses;
