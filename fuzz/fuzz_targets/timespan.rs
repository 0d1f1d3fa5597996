//! Any text is answered, and a span that is printed is read back as itself. Numbers are fed the same texts.
#![no_main]

use dormouse_core::number::parse_u32;
use dormouse_core::timespan::TimeSpan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(span) = text.parse::<TimeSpan>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    if let Ok(number) = parse_u32(text) {
        assert_eq!(parse_u32(&number.to_string()), Ok(number));
    }
});
