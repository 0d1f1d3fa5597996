//! The check of a connection that a held client gets.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dormouse_relay::Stream;

type Checked = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

/// Checks a connection, and returns it if it leads to the server.
#[derive(Clone)]
pub(in crate::upstream) struct ConnectionCheck(Arc<dyn Fn(Stream) -> Checked + Send + Sync>);

impl ConnectionCheck {
    pub(in crate::upstream) fn new(check: impl Fn(Stream) -> Checked + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    pub(super) async fn check(&self, stream: Stream) -> Option<Stream> {
        (self.0)(stream).await
    }
}

impl fmt::Debug for ConnectionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionCheck")
    }
}
