//! Opens listeners for a new configuration, and asks the service manager to close stored ones.

use dormouse_config::model::{Listen, ServiceConfig};
use dormouse_proxy::listener::{AcceptSocket, Listener};
use dormouse_proxy::upstream::Routes;

use super::RunError;
use super::credentials;
use super::state::Supervisor;
use crate::admin::Reconfigure;

/// What a service needs before it can be set up.
pub(super) struct PreparedService {
    pub(super) routes: Routes,
    /// One entry for each configured listener.
    pub(super) listeners: Vec<PreparedListener>,
}

/// What a configured listener needs before it can accept.
pub(super) struct PreparedListener {
    /// The new sockets, or `None` if the sockets of an active service are taken over.
    pub(super) opened: Option<Vec<Listener>>,
    /// A second handle on each socket, on which a task waits for clients.
    pub(super) accept_sockets: Vec<AcceptSocket>,
}

impl Supervisor {
    /// Takes a passed or stored socket for this listener, or opens one.
    pub(super) async fn open_listener(
        &mut self,
        service: &ServiceConfig,
        listen: &Listen,
    ) -> Result<PreparedListener, RunError> {
        let opened = self.sockets.take(service, listen, &self.log).await?;
        if let Err(error) = credentials::check_passed(service, listen, &opened, &self.log) {
            self.sockets.put_back(listen, opened);
            return Err(error);
        }
        match opened.iter().map(accept_socket).collect() {
            Ok(accept_sockets) => Ok(PreparedListener { opened: Some(opened), accept_sockets }),
            Err(error) => {
                self.sockets.put_back(listen, opened);
                Err(error)
            }
        }
    }

    /// Opens the admin listeners that nothing blocks.
    pub(super) async fn open_admin_listeners(&self, changes: &mut Reconfigure) -> Result<(), RunError> {
        while let Some((address, options)) = changes.next_to_open() {
            let opened = self.sockets.open(&address, &options).await;
            changes.opened(opened, &self.log).map_err(|error| RunError::Open { service: None, error })?;
        }
        Ok(())
    }

    /// Asks the service manager to close the descriptors that it stores under these names, and waits until it has.
    pub(super) async fn release_stored(&mut self, names: Vec<String>) {
        if let Some(store) = &mut self.fd_store {
            if store.release(names, &self.log).await {
                self.sockets.expect_addresses_to_become_free();
            }
        }
    }
}

/// Returns the handle with which a task waits for clients.
///
/// # Errors
/// When the system cannot duplicate the descriptor.
pub(super) fn accept_socket(listener: &Listener) -> Result<AcceptSocket, RunError> {
    listener.accept_socket().map_err(|error| RunError::Listener { name: listener.to_string(), error })
}
