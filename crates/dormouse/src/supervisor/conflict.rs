//! Opens listeners whose address is still in use by a listener that the new configuration closes. Only here is an old
//! listener closed before the new configuration is known to work, so only here is one opened again after a failure.

use dormouse_config::model::{Config, Listen};
use dormouse_config::socket_index::SocketIndex;
use dormouse_log::Level;
use dormouse_proxy::server::OpenListener;
use tokio::task::yield_now;

use super::RunError;
use super::fd_store;
use super::open::PreparedService;
use super::plan::{Origin, Plan, Step};
use super::service::ActiveService;
use super::state::Supervisor;
use crate::admin::Reconfigure;

impl Supervisor {
    /// Closes the old listeners that are in the way of new ones, then opens the new ones. If one of them fails, it opens
    /// the old ones again.
    pub(super) async fn open_conflicting(
        &mut self,
        config: &Config,
        plan: &Plan,
        prepared: &mut [Option<PreparedService>],
        admin_changes: &mut Reconfigure,
    ) -> Result<(), RunError> {
        let mut late = Vec::new();
        for ((service, step), prepared) in config.services.iter().zip(&plan.steps).zip(prepared) {
            let (Step::SetUp { listeners, .. }, Some(prepared)) = (step, prepared) else { continue };
            let all = service.listen.iter().zip(listeners).zip(&mut prepared.listeners);
            late.extend(
                all.filter(|((_, origin), _)| **origin == Origin::OpenedAfter)
                    .map(|((listen, _), listener)| (service, listen, listener)),
            );
        }
        let wanted: Vec<_> =
            late.iter().map(|(_, listen, _)| *listen).cloned().chain(admin_changes.late()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let closed_admin = self.admin_listeners.close_conflicting(&wanted, admin_changes);
        let (closed, stored) = self.close_conflicting(plan, &wanted);
        // The accept tasks hold the sockets, too. They drop them when they run next.
        yield_now().await;
        yield_now().await;
        self.release_stored(stored).await;
        self.sockets.expect_addresses_to_become_free();
        let mut opened = Vec::new();
        let failed = loop {
            let Some((service, listen, _)) = late.get(opened.len()) else {
                admin_changes.undefer();
                break self.open_admin_listeners(admin_changes).await.err();
            };
            match self.open_listener(service, listen).await {
                Ok(listener) => opened.push(listener),
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = failed {
            // The new listeners would be in the way of the old ones.
            drop(opened);
            admin_changes.abandon();
            self.reopen(closed).await;
            self.reopen_admin(closed_admin).await;
            return Err(error);
        }
        for ((_, _, place), listener) in late.into_iter().zip(opened) {
            *place = listener;
        }
        Ok(())
    }

    /// Closes old listeners that are in the way. Returns their places, and their names in the descriptor store.
    fn close_conflicting(&mut self, plan: &Plan, wanted: &[Listen]) -> (Vec<(usize, usize)>, Vec<String>) {
        let (mut closed, mut stored) = (Vec::new(), Vec::new());
        let kept = plan.kept();
        let mut index = SocketIndex::default();
        for (number, listen) in wanted.iter().enumerate() {
            index.insert(number, listen);
        }
        for (service, ActiveService { config, listeners, .. }) in self.active.iter_mut().enumerate() {
            for (listener, (listen, listeners)) in config.listen.iter().zip(listeners).enumerate() {
                let conflicts =
                    |number: usize| wanted.get(number).is_some_and(|one| one.conflicts_with(listen));
                if !kept.has_listener(service, listener) && index.first(listen, conflicts).is_some() {
                    let open = listeners.iter().filter_map(OpenListener::listener);
                    stored.extend(open.filter_map(|open| fd_store::name(&config.name, listen, open)));
                    listeners.clear();
                    closed.push((service, listener));
                }
            }
        }
        (closed, stored)
    }

    async fn reopen(&mut self, closed: Vec<(usize, usize)>) {
        // From the last one on: forgetting a listener then leaves the numbers of those before it valid.
        for (service, listener) in closed.into_iter().rev() {
            let Some(active) = self.active.get(service) else { continue };
            let (config, admission, context) =
                (active.config.clone(), active.admission.clone(), active.context.clone());
            let Some(listen) = config.listen.get(listener) else { continue };
            let prepared = match self.open_listener(&config, listen).await {
                Ok(prepared) => prepared,
                Err(error) => {
                    self.log.line(
                        Level::Err,
                        format_args!("{error}. This listener stays closed until a reload can open it."),
                    );
                    self.forget_listener(service, listener);
                    continue;
                }
            };
            let sockets = prepared.opened.unwrap_or_default().into_iter().zip(prepared.accept_sockets);
            let open: Vec<OpenListener> = sockets
                .map(|(listener, accept_socket)| {
                    self.accepting.open(listener, accept_socket, admission.clone(), context.clone())
                })
                .collect();
            let listeners =
                self.active.get_mut(service).and_then(|active| active.listeners.get_mut(listener));
            if let Some(listeners) = listeners {
                *listeners = open;
            }
        }
        if let Some(store) = &mut self.fd_store {
            store.keep_listeners(&self.active, &self.log);
        }
    }

    async fn reopen_admin(&mut self, mut closed: Reconfigure) {
        while let Some((address, options)) = closed.next_to_open() {
            let opened = self.sockets.open(&address, &options).await;
            if let Err(error) = closed.opened(opened, &self.log) {
                self.log.line(
                    Level::Err,
                    format_args!("{error}. This admin listener stays closed until a reload can open it."),
                );
            }
        }
        self.admin_listeners.apply(closed, &self.running);
    }
}
