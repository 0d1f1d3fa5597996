//! A service manager, seen from inside its namespaces; and the way in.

pub(crate) use dormouse_tests::machine::{
    DORMOUSE, DORMOUSE_AS_SOCKET_PROXYD, Machine, SETTLE, case, ensure, write,
};
