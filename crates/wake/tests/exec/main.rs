//! Real programs behind the waker `exec`: started, stopped, frozen, killed, forked away, left alone.

mod death;
mod freeze;
mod life;
mod limits;
mod rig;
mod stop;
