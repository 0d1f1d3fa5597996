//! Any text is answered, and a span that is printed is read back as itself. Numbers are fed the same texts.
#![no_main]

use dormouse_core::number::parse_u32;
use dormouse_core::timespan::TimeSpan;
use libfuzzer_sys::fuzz_target;

/// Spans from here on, those of the last year that 64 bits have room for, are not read back: as with systemd.
const LAST_YEAR: TimeSpan = TimeSpan::from_secs(584_542 * 31_557_600);

fuzz_target!(|text: &str| {
    if let Ok(span) = text.parse::<TimeSpan>() {
        let printed = span.to_string();
        if span < LAST_YEAR || span == TimeSpan::Infinite {
            assert_eq!(printed.parse(), Ok(span));
        }
    }
    if let Ok(number) = parse_u32(text) {
        assert_eq!(parse_u32(&number.to_string()), Ok(number));
    }
});
