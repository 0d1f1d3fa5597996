//! Completion for bash, made from the definitions of the flags.

use std::fmt::Write as _;

use super::check::CHECK;
use super::convert::CONVERT;
use super::flags::{Definition, PROXY};
use super::reload::RELOAD;
use super::run_flags::RUN;
use super::status::STATUS;
use super::steer::{STEER, VERBS};
use super::top::TOP;
use super::{COMMANDS, manual};

/// The script. docs/completions/dormouse.bash is this text.
pub(super) fn bash() -> String {
    let mut commands = String::new();
    let branches = [
        branch("run", RUN),
        branch("reload", RELOAD),
        branch("check", CHECK),
        branch("convert", CONVERT),
        branch("proxy", PROXY),
        branch("status", STATUS),
        branch("top", TOP),
    ];
    for branch in branches {
        commands.push_str(&branch);
    }
    for verb in VERBS {
        commands.push_str(&branch(verb, STEER));
    }
    let pages: Vec<_> = manual::names().collect();
    // A String takes whatever is written to it.
    let _ = writeln!(commands, "        manual:*) words='{}' ;;", pages.join(" "));
    let names: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
    format!(
        r#"# bash completion for dormouse
_dormouse() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
    [ "$word" = = ] && word=
    [ "$before" = = ] && before=${{COMP_WORDS[COMP_CWORD-2]}}
    if [ "$COMP_CWORD" = 1 ]; then
        words='{names}'
    else
        case ${{COMP_WORDS[1]}}:$before in
{commands}        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace
    return 0
}}
complete -o default -F _dormouse dormouse
"#,
        names = names.join(" "),
    )
}

/// What follows a command: the words that a flag takes, else its flags.
fn branch<F>(command: &str, definitions: &[Definition<F>]) -> String {
    let mut flags = Vec::new();
    let mut text = String::new();
    for definition in definitions {
        let long = definition.spec.long;
        flags.push(if definition.value.is_empty() { format!("--{long}") } else { format!("--{long}=") });
        let words: Vec<_> = definition.choices().collect();
        if !words.is_empty() {
            // A String takes whatever is written to it.
            let _ = writeln!(text, "        {command}:--{long}) words='{}' ;;", words.join(" "));
        }
        if matches!(definition.value, "FILE" | "PATH") {
            let _ = writeln!(text, "        {command}:--{long}) ;;");
        }
    }
    let _ = writeln!(text, "        {command}:*) words='{}' ;;", flags.join(" "));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_script_is_in_step() {
        let shipped = include_str!("../../../../docs/completions/dormouse.bash");
        assert!(shipped == super::bash(), "run: cargo run -- completion > docs/completions/dormouse.bash");
    }
}
