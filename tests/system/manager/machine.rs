//! A service manager, seen from inside its namespaces; and the way in.

pub(crate) use dormouse_tests::machine::{
    BY_THE_ORIGINALS_NAME, DORMOUSE, Machine, SETTLE, case, ensure, write,
};
