//! `dormouse top` without a terminal.

use super::rig::Rig;

#[test]
fn top_needs_a_terminal_and_a_valid_interval() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let (fine, output) = rig.dormouse(&["top"]).unwrap();
    assert!(!fine && output.contains("needs a terminal") && output.contains("status --watch"), "{output}");
    let (fine, output) = rig.dormouse(&["top", "--interval=1ms"]).unwrap();
    assert!(!fine && output.contains("--interval=1ms is not a time span from 100ms to 1h"), "{output}");
}
