//! The rules by which services are woken, hold their clients and sleep, each from outside: `dormouse run` with real
//! little servers behind it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: what fails fails it")]

mod end;
mod exclusive;
mod hold;
mod idle;
mod ready;
mod replay;
mod scale;
mod scene;
mod several;
mod who;
