//! The probes of a workload: one for each of its ports that is not ready yet.

use std::future::poll_fn;
use std::task::Poll;

use dormouse_core::activation::Port;
use dormouse_relay::Stream;

use super::readiness::{Probe, Urgency};

/// The probes that run.
#[derive(Default)]
pub(super) struct Probes(Vec<PortProbe>);

struct PortProbe {
    port: Port,
    urgency: Urgency,
    probe: Probe,
}

impl Probes {
    /// Adds the probe of a port, in the place of the one before.
    pub(super) fn add(&mut self, port: Port, urgency: Urgency, probe: Probe) {
        self.0.retain(|other| other.port != port);
        self.0.push(PortProbe { port, urgency, probe });
    }

    /// Ends all probes.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Ends the probes of the ports that are not wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(Port) -> bool) {
        self.0.retain(|probe| wanted(probe.port));
    }

    /// Returns whether a port is tried.
    pub(super) fn has(&self, port: Port) -> bool {
        self.0.iter().any(|probe| probe.port == port)
    }

    /// Returns the ports that are tried in the background.
    pub(super) fn in_background(&self) -> Vec<Port> {
        let patient = self.0.iter().filter(|probe| probe.urgency == Urgency::Background);
        patient.map(|probe| probe.port).collect()
    }

    /// Waits until a port is ready. Returns it with the connection that showed it, if there is one. Cancel safe.
    pub(super) async fn next_ready(&mut self) -> (Port, Option<Stream>) {
        poll_fn(|cx| {
            for (index, PortProbe { port, probe, .. }) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(conn) = probe.as_mut().poll(cx) {
                    let port = *port;
                    self.0.swap_remove(index);
                    return Poll::Ready((port, conn));
                }
            }
            Poll::Pending
        })
        .await
    }
}
