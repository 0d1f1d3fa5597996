//! The machine support of these tests.

pub(crate) use dormouse_tests::machine::{
    DORMOUSE, DORMOUSE_AS_SOCKET_PROXYD, Machine, SETTLE, case, ensure, write,
};
