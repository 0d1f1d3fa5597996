//! `show stat`: the first 103 columns of `HAProxy` 2.6. The columns after them belong to optional modules.

mod backend;
mod columns;
mod frontend;
mod row;
mod server;
mod totals;

use dormouse_core::control::{AdminState, ProxyId, StatFilter};

use self::row::Row;
use super::running::RunningService;
use super::server_status::status;

pub(super) use self::columns::header;

/// The number of the first proxy in `HAProxy`, which uses 1 itself.
const FIRST_ID: u32 = 2;

/// Returns the selected rows of a service; `number`: its index among the services.
pub(super) fn service(service: &RunningService, number: usize, wanted: &StatFilter) -> Vec<Row> {
    let iid = FIRST_ID.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
    let matches = match &wanted.proxy {
        None => true,
        Some(ProxyId::Number(number)) => *number == iid,
        Some(ProxyId::Name(name)) => *name == service.name,
    };
    if !matches {
        return Vec::new();
    }
    let kind = |bit: u8| wanted.kinds.is_none_or(|kinds| kinds & bit != 0);
    let whole = wanted.server.is_none_or(|server| server == 0);
    let mut rows = Vec::new();
    if kind(1) && whole {
        rows.push(frontend::frontend(service, iid));
    }
    if kind(4) {
        let servers = service.servers().filter(|server| {
            let sid = u32::try_from(server.index + 1).unwrap_or(u32::MAX);
            let maint = wanted.no_maint && server.admin() == AdminState::Maint;
            let down = wanted.up && !status(server).is_up();
            wanted.server.is_none_or(|server| server == sid) && !maint && !down
        });
        rows.extend(servers.map(|server| server::server(service, iid, &server)));
    }
    if kind(2) && whole {
        rows.push(backend::backend(service, iid));
    }
    rows
}
