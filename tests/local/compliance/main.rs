//! The behaviour of systemd-socket-proxyd, row by row, tested on dormouse from outside.
//!
//! A case does something to a subject and returns a line of text about what happened; the case's expectation contains
//! that line for each of the two subjects (and for each release of the original). Every expectation that differs on
//! purpose names a row of `docs/differences.md`; `differences` checks that they agree. The system suite runs the same
//! cases on the installed original.

#![forbid(unsafe_code)]

/// Makes a test of a case: of dormouse, in this suite. Cases that need root are tested in the system suite.
macro_rules! row {
    ($id:ident root) => {};
    ($id:ident $($mode:ident)?) => {
        mod $id {
            #[test]
            fn ours() {
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
