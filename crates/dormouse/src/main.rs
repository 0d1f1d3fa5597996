//! The program. What it does is told by the library's folders.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    // Before anything else opens a descriptor: what the service manager passed stands at 3 and behind.
    let passed = dormouse_sys::listen_fds::take();
    dormouse::cli::run(std::env::args_os(), passed)
}
