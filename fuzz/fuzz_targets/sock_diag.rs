//! Any answer of the kernel's socket diagnostics is read or refused.
#![no_main]

use dormouse_core::sock_diag::answers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (sequence, bytes) = input;
    let _ = answers(bytes, sequence);
});
