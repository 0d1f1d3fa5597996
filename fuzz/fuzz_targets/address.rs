//! Any bytes are answered, and an address that is printed is read back as itself.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use dormouse_core::address::{ListenAddress, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let target = Target::parse(OsStr::from_bytes(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match target {
        Ok(target) => assert_eq!(Target::parse(OsStr::new(&target.to_string())), Ok(target)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match ListenAddress::parse(text) {
        Ok(address) => assert_eq!(ListenAddress::parse(&address.to_string()), Ok(address)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
