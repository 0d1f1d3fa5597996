//! Questions to the spawner about the owners of sockets.

use std::io;

use dormouse_core::sock_diag::InetSocket;
use dormouse_sys::credentials::Credentials;
use serde::{Deserialize, Serialize};

use super::{Listener, Owner, Socket, Verdict, control_group, proc};
use crate::spawner::{Question, ask};

impl Owner {
    /// Returns whether TCP sockets certainly belong to the workload, without a long search: one of its first processes has
    /// each among its first descriptors. So it is for programs that have just started.
    pub async fn is_evident_for(&self, sockets: &[InetSocket]) -> bool {
        let sockets = sockets.iter().map(Socket::from).collect();
        ask(EvidentQuestion { owner: self.clone(), sockets }).await.unwrap_or_default()
    }

    /// Judges TCP sockets until one belongs to a stranger. Returns the verdict, and the identity of the last socket.
    /// `None`: a limit of the system prevents it.
    pub async fn judge_all(&self, sockets: &[InetSocket]) -> Option<(Verdict, u64)> {
        let dormouse = std::process::id();
        let sockets = sockets.iter().map(Socket::from).collect();
        match ask(JudgeQuestion { owner: self.clone(), sockets, dormouse }).await {
            Ok(judged) => Some(judged),
            Err(error) => without_spawner(&error).map(|verdict| (verdict, 0)),
        }
    }

    /// Returns whose the listener of a UNIX socket is, by the credentials that it had when it began to listen. Only the
    /// processes that dormouse starts itself are judged: other workloads have directories of their own. `None`: a limit of
    /// the system prevents it.
    pub async fn judge_listener(&self, listener: Credentials) -> Option<Verdict> {
        let listener = Listener { uid: listener.uid, pid: listener.pid };
        match ask(JudgeUnixQuestion { owner: self.clone(), listener }).await {
            Ok(verdict) => Some(verdict),
            Err(error) => without_spawner(&error),
        }
    }
}

/// Returns the control group of a container with this main process and this ID.
pub(super) async fn container_group(pid: u32, id: String) -> Option<String> {
    ask(GroupQuestion { pid, id }).await.ok().flatten()
}

/// Returns the verdict if there is no spawner any more. Other errors may be over at the next try.
fn without_spawner(error: &io::Error) -> Option<Verdict> {
    (error.kind() == io::ErrorKind::BrokenPipe).then(|| Verdict::Unknown(error.to_string()))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EvidentQuestion {
    owner: Owner,
    sockets: Vec<Socket>,
}

impl Question for EvidentQuestion {
    const KIND: &'static str = "evident";
    const IS_LONG: bool = false;
    type Answer = bool;

    fn answer(self) -> bool {
        self.sockets.iter().all(|socket| self.owner.is_evident(socket))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JudgeQuestion {
    owner: Owner,
    sockets: Vec<Socket>,
    /// The number of dormouse, whose own listeners are not those of strangers.
    dormouse: u32,
}

impl Question for JudgeQuestion {
    const KIND: &'static str = "owner";
    const IS_LONG: bool = true;
    type Answer = (Verdict, u64);

    fn answer(self) -> (Verdict, u64) {
        let mut result = (Verdict::Own, 0);
        for socket in &self.sockets {
            match self.owner.judge(socket, self.dormouse) {
                Verdict::Own => {}
                verdict @ Verdict::Unknown(_) => result = (verdict, socket.cookie),
                verdict @ Verdict::Stranger(_) => return (verdict, socket.cookie),
            }
        }
        result
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JudgeUnixQuestion {
    owner: Owner,
    listener: Listener,
}

impl Question for JudgeUnixQuestion {
    const KIND: &'static str = "listener";
    const IS_LONG: bool = true;
    type Answer = Verdict;

    fn answer(self) -> Verdict {
        self.owner.judge_unix(self.listener)
    }
}

/// A restricted process does not see others where /proc hides what it may not trace (`ProtectProc=`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroupQuestion {
    pid: u32,
    id: String,
}

impl Question for GroupQuestion {
    const KIND: &'static str = "group";
    const IS_LONG: bool = false;
    type Answer = Option<String>;

    fn answer(self) -> Option<String> {
        proc::control_group(self.pid).and_then(|group| control_group::up_to(&group, &self.id))
    }
}
