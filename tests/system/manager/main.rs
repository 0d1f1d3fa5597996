//! The program under a real service manager: a socket unit, the program, and a real nginx behind it by `Requires=`,
//! without a sleep, an `ExecStartPost=` or a polling loop in any unit.
//!
//! Each test makes namespaces of its own with a user manager (as an unprivileged user) or a system manager in them (see
//! `ns/`), and runs itself again inside. It needs root, and what `scripts/test-deps.sh` installs.

use dormouse_tests::nginx;

mod machine;
mod man_page;
mod private_network;
mod protocol;
mod rounds;
mod stop;
mod visitor;
mod wake;
