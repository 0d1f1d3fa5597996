//! The program dormouse, as a thin shell around the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    // Before anything else opens a descriptor: those of the service manager begin at 3.
    let passed = dormouse_sys::listen_fds::take();
    dormouse::cli::run(std::env::args_os(), passed)
}
