//! Gets everything that a new configuration needs and that can fail, before anything is changed.

use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_proxy::server::OpenListener;
use dormouse_proxy::upstream::Routes;

use super::RunError;
use super::credentials;
use super::open::{PreparedListener, PreparedService, accept_socket};
use super::plan::{Origin, Plan, Step};
use super::state::Supervisor;
use crate::admin::Reconfigure;

impl Supervisor {
    /// Resolves addresses and opens listeners. Returns one entry for each service, `None` for a service that is kept.
    ///
    /// # Errors
    /// When an address cannot be resolved or a listener cannot be opened. Then nothing has changed.
    pub(super) async fn prepare(
        &mut self,
        config: &Config,
        plan: &Plan,
        admin_changes: &mut Reconfigure,
    ) -> Result<Vec<Option<PreparedService>>, RunError> {
        self.open_admin_listeners(admin_changes).await?;
        let mut prepared = Vec::with_capacity(config.services.len());
        for (service, step) in config.services.iter().zip(&plan.steps) {
            match step {
                Step::Keep(_) => prepared.push(None),
                Step::SetUp { listeners, .. } => match self.prepare_service(service, listeners).await {
                    Ok(one) => prepared.push(Some(one)),
                    Err(error) => {
                        self.put_back_all(config, prepared);
                        return Err(error);
                    }
                },
            }
        }
        if let Err(error) = self.open_conflicting(config, plan, &mut prepared, admin_changes).await {
            self.put_back_all(config, prepared);
            return Err(error);
        }
        Ok(prepared)
    }

    async fn prepare_service(
        &mut self,
        service: &ServiceConfig,
        origins: &[Origin],
    ) -> Result<PreparedService, RunError> {
        credentials::may_pass(service)?;
        credentials::may_change_user(service)?;
        let routes = Routes::prepare(service)
            .map_err(|error| RunError::Target { service: service.name.clone(), error })?;
        let mut listeners: Vec<PreparedListener> = Vec::with_capacity(origins.len());
        for (listen, origin) in service.listen.iter().zip(origins) {
            let listener = match *origin {
                Origin::Moved { service: from, listener } => {
                    self.prepare_moved(service, listen, (from, listener))
                }
                Origin::Opened => self.open_listener(service, listen).await,
                Origin::OpenedAfter => Ok(PreparedListener { opened: None, accept_sockets: Vec::new() }),
            };
            match listener {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    self.put_back(service, PreparedService { routes, listeners });
                    return Err(error);
                }
            }
        }
        Ok(PreparedService { routes, listeners })
    }

    fn prepare_moved(
        &self,
        service: &ServiceConfig,
        listen: &Listen,
        (from, listener): (usize, usize),
    ) -> Result<PreparedListener, RunError> {
        let listeners = self.active.get(from).and_then(|active| active.listeners.get(listener));
        let listeners = || listeners.into_iter().flatten().filter_map(OpenListener::listener);
        credentials::check_passed(service, listen, listeners(), &self.log)?;
        let accept_sockets = listeners().map(accept_socket).collect::<Result<_, _>>()?;
        Ok(PreparedListener { opened: None, accept_sockets })
    }

    fn put_back_all(&mut self, config: &Config, prepared: Vec<Option<PreparedService>>) {
        for (service, prepared) in config.services.iter().zip(prepared) {
            if let Some(prepared) = prepared {
                self.put_back(service, prepared);
            }
        }
    }

    /// Keeps passed sockets for the next attempt and closes the others.
    fn put_back(&mut self, service: &ServiceConfig, prepared: PreparedService) {
        for (listen, listener) in service.listen.iter().zip(prepared.listeners) {
            self.sockets.put_back(listen, listener.opened.into_iter().flatten());
        }
    }
}
