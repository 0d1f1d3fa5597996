//! What new services need that can fail to be had: found out before anything is changed.

use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_log::Level;
use dormouse_proxy::listener::{AcceptSocket, Listener};
use dormouse_proxy::server::OpenListener;
use dormouse_proxy::upstream::Routes;
use tokio::task::yield_now;

use super::RunError;
use super::plan::{Origin, Plan, Step};
use super::serving::Serving;
use super::standing::Standing;
use super::store;
use crate::admin::Reconfigure;

/// What a service needs.
pub(super) struct Prepared {
    pub(super) routes: Routes,
    /// For each listener.
    pub(super) sockets: Vec<Ready>,
}

/// One of its listeners.
pub(super) struct Ready {
    /// `None`: they are open already, for another service or an older one.
    pub(super) opened: Option<Vec<Listener>>,
    /// For each socket.
    pub(super) waiting: Vec<AcceptSocket>,
}

impl Serving {
    /// Gets all that is needed. `None` stands for a service that stays.
    pub(super) async fn prepare(
        &mut self,
        config: &Config,
        plan: &Plan,
        reconfigure: &mut Reconfigure,
    ) -> Result<Vec<Option<Prepared>>, RunError> {
        self.open_windows(reconfigure).await?;
        let mut prepared = Vec::with_capacity(config.services.len());
        for (service, step) in config.services.iter().zip(&plan.steps) {
            match step {
                Step::Keep(_) => prepared.push(None),
                Step::SetUp { listeners, .. } => match self.prepare_one(service, listeners).await {
                    Ok(one) => prepared.push(Some(one)),
                    Err(error) => {
                        self.give_back(config, prepared);
                        return Err(error);
                    }
                },
            }
        }
        if let Err(error) = self.open_after(config, plan, &mut prepared, reconfigure).await {
            self.give_back(config, prepared);
            return Err(error);
        }
        Ok(prepared)
    }

    async fn prepare_one(
        &mut self,
        service: &ServiceConfig,
        origins: &[Origin],
    ) -> Result<Prepared, RunError> {
        let routes = Routes::prepare(service)
            .map_err(|error| RunError::Target { service: service.name.clone(), error })?;
        let mut sockets: Vec<Ready> = Vec::with_capacity(origins.len());
        for (listen, origin) in service.listen.iter().zip(origins) {
            let ready = match *origin {
                Origin::Moved { service, listener } => self.moved(service, listener),
                Origin::Opened => self.opened(service, listen).await,
                Origin::OpenedAfter => Ok(Ready { opened: None, waiting: Vec::new() }),
            };
            match ready {
                Ok(ready) => sockets.push(ready),
                Err(error) => {
                    self.give_back_one(service, Prepared { routes, sockets });
                    return Err(error);
                }
            }
        }
        Ok(Prepared { routes, sockets })
    }

    fn moved(&self, service: usize, listener: usize) -> Result<Ready, RunError> {
        let listeners = self.standing.get(service).and_then(|standing| standing.listeners.get(listener));
        let listeners = listeners.into_iter().flatten().filter_map(OpenListener::listener);
        Ok(Ready { opened: None, waiting: listeners.map(waiting).collect::<Result<_, _>>()? })
    }

    async fn opened(&mut self, service: &ServiceConfig, listen: &Listen) -> Result<Ready, RunError> {
        let opened = self.sockets.take(service, listen, &self.log).await?;
        match opened.iter().map(waiting).collect() {
            Ok(waiting) => Ok(Ready { opened: Some(opened), waiting }),
            Err(error) => {
                self.sockets.put_back(listen, opened);
                Err(error)
            }
        }
    }

    /// Opens what others, which nobody wants any more, are in the way of: these are closed first, and opened again if
    /// something fails.
    async fn open_after(
        &mut self,
        config: &Config,
        plan: &Plan,
        prepared: &mut [Option<Prepared>],
        reconfigure: &mut Reconfigure,
    ) -> Result<(), RunError> {
        let mut late = Vec::new();
        for ((service, step), prepared) in config.services.iter().zip(&plan.steps).zip(prepared) {
            let (Step::SetUp { listeners, .. }, Some(prepared)) = (step, prepared) else { continue };
            let all = service.listen.iter().zip(listeners).zip(&mut prepared.sockets);
            late.extend(
                all.filter(|((_, origin), _)| **origin == Origin::OpenedAfter)
                    .map(|((listen, _), ready)| (service, listen, ready)),
            );
        }
        let wanted: Vec<_> =
            late.iter().map(|(_, listen, _)| *listen).cloned().chain(reconfigure.late()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let shut = self.windows.close_in_the_way(&wanted, reconfigure);
        let (closed, stored) = self.close_in_the_way(plan, &wanted);
        // The tasks that accepted on them have them, too, until they had their turn.
        yield_now().await;
        yield_now().await;
        self.let_go(stored).await;
        self.sockets.expect_room();
        let mut opened = Vec::new();
        let failed = loop {
            let Some((service, listen, _)) = late.get(opened.len()) else {
                reconfigure.undefer();
                break self.open_windows(reconfigure).await.err();
            };
            match self.opened(service, listen).await {
                Ok(ready) => opened.push(ready),
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = failed {
            // They would be in the way of the old ones.
            drop(opened);
            reconfigure.abandon();
            self.open_again(closed).await;
            self.open_windows_again(shut).await;
            return Err(error);
        }
        for ((_, _, place), ready) in late.into_iter().zip(opened) {
            *place = ready;
        }
        Ok(())
    }

    async fn open_windows(&self, reconfigure: &mut Reconfigure) -> Result<(), RunError> {
        while let Some((address, options)) = reconfigure.next_wanted() {
            let opened = self.sockets.open(&address, &options).await;
            reconfigure.opened(opened, &self.log).map_err(RunError::Open)?;
        }
        Ok(())
    }

    async fn open_windows_again(&mut self, mut shut: Reconfigure) {
        while let Some((address, options)) = shut.next_wanted() {
            let opened = self.sockets.open(&address, &options).await;
            if let Err(error) = shut.opened(opened, &self.log) {
                self.log.line(
                    Level::Err,
                    format_args!("{error} Nobody looks there any more, until a reload can open it again."),
                );
            }
        }
        self.windows.apply(shut, &self.window);
    }

    /// Gives which ones these are, and the names by which the service manager keeps them.
    fn close_in_the_way(&mut self, plan: &Plan, wanted: &[Listen]) -> (Vec<(usize, usize)>, Vec<String>) {
        let (mut closed, mut stored) = (Vec::new(), Vec::new());
        for (service, Standing { config, listeners, .. }) in self.standing.iter_mut().enumerate() {
            for (listener, (listen, listeners)) in config.listen.iter().zip(listeners).enumerate() {
                let in_the_way = wanted.iter().any(|wanted| wanted.is_in_the_way_of(listen));
                if in_the_way && !plan.keeps(service, listener) {
                    let open = listeners.iter().filter_map(OpenListener::listener);
                    stored.extend(open.filter_map(|open| store::name(&config.name, listen, open)));
                    listeners.clear();
                    closed.push((service, listener));
                }
            }
        }
        (closed, stored)
    }

    /// Has the service manager close what it keeps under these names, for what is opened next.
    pub(super) async fn let_go(&mut self, stored: Vec<String>) {
        if let Some(store) = &mut self.store {
            if store.let_go(stored, &self.log).await {
                self.sockets.expect_room();
            }
        }
    }

    async fn open_again(&mut self, closed: Vec<(usize, usize)>) {
        // From the last on, so that what is left out does not move those before it.
        for (service, listener) in closed.into_iter().rev() {
            let Some(standing) = self.standing.get(service) else { continue };
            let (config, admission, shared) =
                (standing.config.clone(), standing.admission.clone(), standing.shared.clone());
            let Some(listen) = config.listen.get(listener) else { continue };
            let ready = match self.opened(&config, listen).await {
                Ok(ready) => ready,
                Err(error) => {
                    self.log.line(
                        Level::Err,
                        format_args!(
                            "{}: {error} Nobody is let in there any more, until a reload can open it again.",
                            config.name
                        ),
                    );
                    self.leave_out(service, listener);
                    continue;
                }
            };
            let sockets = ready.opened.unwrap_or_default().into_iter().zip(ready.waiting);
            let open: Vec<OpenListener> = sockets
                .map(|(listener, waiting)| {
                    self.accepting.open(listener, waiting, admission.clone(), shared.clone())
                })
                .collect();
            let listeners =
                self.standing.get_mut(service).and_then(|standing| standing.listeners.get_mut(listener));
            if let Some(listeners) = listeners {
                *listeners = open;
            }
        }
        if let Some(store) = &mut self.store {
            store.keep_listeners(&self.standing, &self.log);
        }
    }

    /// Knows of the listeners whose files somebody has removed. Nobody finds them any more, so they are opened anew.
    pub(super) fn leave_out_lost(&mut self) {
        let services = self.standing.iter().enumerate();
        let listeners = services.flat_map(|(service, standing)| {
            let open = standing.listeners.iter().enumerate();
            open.map(move |(number, open)| ((service, number), open))
        });
        let lost = listeners
            .filter(|(_, open)| open.iter().filter_map(OpenListener::listener).any(Listener::is_file_gone));
        let mut lost: Vec<(usize, usize)> = lost.map(|(place, _)| place).collect();
        // From the last on, so that what is left out does not move those before it.
        while let Some((service, listener)) = lost.pop() {
            self.leave_out(service, listener);
        }
    }

    /// Knows that it does not listen there, so that the next reload opens it.
    fn leave_out(&mut self, service: usize, listener: usize) {
        let configured = self.config.services.get_mut(service).map(|config| &mut config.listen);
        if let Some(Standing { config, listeners, .. }) = self.standing.get_mut(service) {
            take_out(&mut config.listen, listener);
            take_out(listeners, listener);
        }
        if let Some(listen) = configured {
            take_out(listen, listener);
        }
    }

    fn give_back(&mut self, config: &Config, prepared: Vec<Option<Prepared>>) {
        for (service, prepared) in config.services.iter().zip(prepared) {
            if let Some(prepared) = prepared {
                self.give_back_one(service, prepared);
            }
        }
    }

    fn give_back_one(&mut self, service: &ServiceConfig, prepared: Prepared) {
        for (listen, ready) in service.listen.iter().zip(prepared.sockets) {
            self.sockets.put_back(listen, ready.opened.into_iter().flatten());
        }
    }
}

fn take_out<T>(list: &mut Vec<T>, index: usize) {
    if index < list.len() {
        list.remove(index);
    }
}

fn waiting(listener: &Listener) -> Result<AcceptSocket, RunError> {
    listener.accept_socket().map_err(|error| RunError::Listener { name: listener.to_string(), error })
}
