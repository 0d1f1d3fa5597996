//! The tasks that accept clients, one for each listener, which can be closed one by one.

use std::io;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::ListenerFailed;
use super::accept::accept_all;
use crate::admission::Admission;
use crate::listener::{AcceptSocket, Listener};
use crate::session::ServiceContext;

/// All that accept.
#[derive(Debug, Default)]
pub struct AcceptTasks(JoinSet<(String, io::Result<()>)>);

/// A listener that clients are accepted on. Dropping it closes both.
#[derive(Debug)]
pub struct OpenListener {
    /// `None` only while it is taken apart.
    listener: Option<Listener>,
    accepting: AbortHandle,
}

impl AcceptTasks {
    /// Lets clients in. `accept_socket` is of the same listener.
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

    /// Waits until a listener cannot be used any more.
    pub async fn failed(&mut self) -> ListenerFailed {
        loop {
            match self.0.join_next().await {
                Some(Ok((name, Err(error)))) => return ListenerFailed { name, error },
                Some(Ok((name, Ok(())))) => {
                    return ListenerFailed { name, error: io::ErrorKind::Other.into() };
                }
                // It was closed.
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => {
                    return ListenerFailed { name: "a listener".to_owned(), error: error.into() };
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Closes what is still open, and waits until nobody accepts any more.
    pub async fn shutdown(mut self) {
        self.0.shutdown().await;
    }
}

impl OpenListener {
    /// The listener.
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Lets nobody in any more; who comes now waits in the listener's backlog.
    pub fn close(mut self) -> Option<Listener> {
        self.listener.take()
    }
}

impl Drop for OpenListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
