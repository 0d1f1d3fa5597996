//! The ports of a workload: for each server the driver judges the listeners, and tries whether it is ready.

use std::sync::Arc;

use dormouse_activate::{ActivatorContext, ListenerRule};
use dormouse_core::activation::Port;

use super::{Launched, RunningDriver};
use crate::upstream::activation::listener_check::{ListenerCheck, ListenersBefore};
use crate::upstream::activation::readiness::Urgency;
use crate::upstream::activation::settings::{PortSettings, WorkloadSettings};
use crate::upstream::wakeable::WakeableServer;

impl RunningDriver {
    /// Applies the servers of new settings. A server that comes to a running workload is tried.
    pub(super) fn apply_ports(&mut self, before: &WorkloadSettings) {
        let had = |port| before.ports.iter().any(|(server, _)| server.port() == port);
        let settings = Arc::clone(&self.settings);
        let new: Vec<_> = settings.ports.iter().filter(|(server, _)| !had(server.port())).collect();
        self.probes.retain(|port| settings.ports.iter().any(|(server, _)| server.port() == port));
        let Some(launched) = self.launched else { return };
        for (server, port) in new {
            self.start_probe(launched, server, port);
        }
        let rule_before = |port: Port| {
            before.ports.iter().find(|(server, _)| server.port() == port).map(|(_, port)| port.listener)
        };
        for (server, port) in &settings.ports {
            let changed = rule_before(server.port()).is_some_and(|rule| rule != port.listener);
            if changed && !self.probes.has(server.port()) {
                self.renew_listener_check(launched, server, port);
            }
        }
    }

    /// Records what listens at the addresses of the servers before a start.
    pub(super) async fn look_at_listeners(&mut self) {
        self.listeners_before.clear();
        for (server, settings) in &self.settings.ports {
            if settings.listener == ListenerRule::OwnBeforeStart {
                let before = ListenersBefore::look(&settings.route).await;
                self.listeners_before.insert(server.port(), before);
            }
        }
    }

    /// Begins to try whether the servers are ready.
    pub(super) fn start_probes(&mut self, launched: Launched) {
        self.launched = Some(launched);
        let settings = Arc::clone(&self.settings);
        for (server, port) in &settings.ports {
            self.start_probe(launched, server, port);
        }
    }

    fn start_probe(&mut self, launched: Launched, server: &Arc<WakeableServer>, port: &PortSettings) {
        let listeners = self.renew_listener_check(launched, server, port);
        self.listeners.retain(|(other, _)| *other != server.port());
        self.listeners.push((server.port(), Arc::clone(&listeners)));
        let PortSettings { route, readiness, .. } = port;
        let context = self.context_of(server);
        let reported = self.ready_reported.subscribe();
        let probe = readiness.probe(route, reported, launched.urgency, context, listeners);
        self.probes.add(server.port(), launched.urgency, probe);
    }

    /// Returns the context of what concerns one server: its readiness command, and lines about its listener.
    fn context_of(&self, server: &WakeableServer) -> ActivatorContext {
        self.driver.context(server.name().to_owned(), &self.settings, false, &self.processes)
    }

    /// Has the listeners of a server judged from now on, by the present rule.
    fn renew_listener_check(
        &self,
        Launched { foreign, .. }: Launched,
        server: &Arc<WakeableServer>,
        PortSettings { route, listener, spelling, .. }: &PortSettings,
    ) -> Arc<ListenerCheck> {
        let context = self.context_of(server);
        let before = self.listeners_before.get(&server.port()).filter(|_| !foreign).cloned();
        let activator = &self.settings.activation.activator;
        let listeners = ListenerCheck::new(*listener, route, activator, context, before, (server, *spelling));
        server.set_connection_check(listeners.for_clients());
        listeners
    }

    /// Tries a server at once again that was tried in the background, if a client waits for it now.
    pub(super) fn hasten_probes(&mut self) {
        let patient = self.probes.in_background();
        let Some(launched) = self.launched.filter(|_| !patient.is_empty()) else { return };
        let settings = Arc::clone(&self.settings);
        for (server, port) in settings.ports.iter().filter(|(server, _)| patient.contains(&server.port())) {
            if server.load().1 > 0 {
                self.start_probe(Launched { urgency: Urgency::Requested, ..launched }, server, port);
            }
        }
    }

    /// Returns the ports that were ready in a run that has ended in good order: each took the connection that was to show
    /// it, and the run ended before that was found out.
    pub(super) fn ports_of_brief_run(&self) -> Vec<Port> {
        let took_connection = |port: Port| {
            self.listeners.iter().any(|(of, listeners)| *of == port && listeners.took_connection())
        };
        let ports = self.settings.ports.iter();
        let is_enough = ports.filter(|(_, port)| port.readiness.needs_only_a_connection());
        is_enough.map(|(server, _)| server.port()).filter(|port| took_connection(*port)).collect()
    }
}
