//! The behaviour of systemd-socket-proxyd, row by row, tested on dormouse.
//!
//! A case performs an action on the program under test and returns a line of text about the result. Its expectation
//! contains that line for each of the two programs and for each release of systemd-socket-proxyd. Every intended
//! difference names a row of `docs/differences.md`; `differences` checks that the suite and the document agree. The
//! system suite runs the same cases on the installed systemd-socket-proxyd.

#![forbid(unsafe_code)]

/// Defines the test of a case with dormouse. The system suite runs the cases that need root.
macro_rules! row {
    ($id:ident root) => {};
    ($id:ident $($mode:ident)?) => {
        mod $id {
            #[test]
            fn dormouse() {
                let verdict =
                    $crate::case::judge(super::CASES, stringify!($id), dormouse_tests::Subject::Dormouse);
                assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
            }
        }
    };
}
pub(crate) use row;

mod case;
mod rig;

mod accept;
mod command_line;
mod differences;
mod extras;
mod forwarding;
mod idle;
mod lifecycle;
mod notifications;
mod proxy_header;
mod sockets;
mod target;
mod weaknesses;
