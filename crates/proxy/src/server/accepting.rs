//! The tasks that accept clients: one for each listener, each of which can be closed.

use std::io;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::accept::accept_all;
use crate::admission::Admission;
use crate::listener::{AcceptSocket, Listener};
use crate::session::ServiceContext;

/// The accept tasks of all listeners.
#[derive(Debug, Default)]
pub struct AcceptTasks(JoinSet<(String, io::Result<()>)>);

/// A listener and its accept task. Dropping it ends both.
#[derive(Debug)]
pub struct OpenListener {
    /// `None` only after [`Self::close`].
    listener: Option<Listener>,
    accepting: AbortHandle,
}

/// A listener that failed.
#[derive(Debug)]
pub struct ListenerFailed {
    /// The name of the listener.
    pub name: String,
    /// The error of the kernel.
    pub error: io::Error,
}

impl AcceptTasks {
    /// Starts to accept clients. `accept_socket` is of the same listener.
    pub fn open(
        &mut self,
        listener: Listener,
        accept_socket: AcceptSocket,
        admission: Arc<Admission>,
        context: Arc<ServiceContext>,
    ) -> OpenListener {
        let name = listener.to_string();
        let accepted = accept_all(accept_socket, admission, context);
        let accepting = self.0.spawn(async move { (name, accepted.await) });
        OpenListener { listener: Some(listener), accepting }
    }

    /// Waits until a listener fails.
    pub async fn failed(&mut self) -> ListenerFailed {
        loop {
            match self.0.join_next().await {
                Some(Ok((name, Err(error)))) => return ListenerFailed { name, error },
                Some(Ok((name, Ok(())))) => {
                    return ListenerFailed { name, error: io::ErrorKind::Other.into() };
                }
                // The listener was closed.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => {
                    return ListenerFailed { name: "a listener".to_owned(), error: error.into() };
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all accept tasks.
    pub async fn shutdown(mut self) {
        self.0.shutdown().await;
    }
}

impl OpenListener {
    /// The listener.
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Stops accepting. New clients wait in the backlog.
    pub fn close(mut self) -> Option<Listener> {
        self.listener.take()
    }
}

impl Drop for OpenListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
