//! A configuration that changes while clients come and sessions last, and a program that is restarted under them.

mod change;
mod load;
mod scene;
mod storm;
mod windows;
