//! The rules by which services wake, hold clients and sleep: `dormouse run` with small real servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: what fails fails it")]

mod end;
mod exclusive;
mod hold;
mod idle;
mod many_services;
mod permission;
mod ready;
mod replay;
mod scale;
mod scene;
mod stranger;
