//! `dormouse top` without a terminal.

use super::rig::Rig;

#[test]
fn top_needs_a_terminal_and_a_valid_interval() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let (fine, said) = rig.dormouse(&["top"]).unwrap();
    assert!(!fine && said.contains("needs a terminal") && said.contains("status --watch"), "{said}");
    let (fine, said) = rig.dormouse(&["top", "--interval=1ms"]).unwrap();
    assert!(!fine && said.contains("--interval=1ms is not a time span from 100ms to 1h"), "{said}");
}
