//! The program dormouse, as a thin shell around the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    // Before anything else opens a descriptor: those of the service manager begin at 3.
    let passed = dormouse_sys::listen_fds::take();
    dormouse_sys::inherited::close_on_exec();
    dormouse_sys::inherited::keep_ended_children();
    dormouse::cli::run(std::env::args_os(), passed)
}
