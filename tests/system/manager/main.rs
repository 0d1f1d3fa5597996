//! `dormouse proxy` under a real service manager: a socket unit, the proxy, and a real nginx that the proxy's unit
//! names in `Requires=`. No unit contains a sleep, an `ExecStartPost=` or a polling loop.
//!
//! Each test makes new namespaces with a user manager (as an unprivileged user) or a system manager (see
//! `src/machine/ns`) and runs itself again inside. The tests need root and the packages of `scripts/test-deps.sh`.

use dormouse_tests::nginx;

mod client;
mod machine;
mod man_page;
mod private_network;
mod protocol;
mod rounds;
mod stop;
mod wake;
