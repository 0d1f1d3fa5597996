//! The completion script for bash, made from the definitions of the flags.

use std::fmt::Write as _;

use super::check::CHECK;
use super::convert::CONVERT;
use super::flags::Definition;
use super::plain::PLAIN;
use super::proxy_flags::PROXY;
use super::reload::RELOAD;
use super::run_flags::RUN;
use super::status::STATUS;
use super::steer::{STEER, VERBS};
use super::top::TOP;
use super::{COMMANDS, manual};

/// Where a command takes the names of services, which the script reads from the control socket.
const SERVICES: &str = "$(_dormouse_services)";

/// Returns the script, which docs/completions/dormouse.bash contains.
pub(super) fn bash() -> String {
    let names = COMMANDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let pages = manual::names().collect::<Vec<_>>().join(" ");
    let mut commands: String = [
        branch("run", RUN, ""),
        branch("reload", RELOAD, ""),
        branch("check", CHECK, ""),
        branch("convert", CONVERT, ""),
        branch("proxy", PROXY, ""),
        branch("status", STATUS, SERVICES),
        branch("top", TOP, ""),
    ]
    .concat();
    commands.extend(VERBS.map(|verb| branch(verb, STEER, SERVICES)));
    for (command, words) in
        [("help", names.as_str()), ("version", ""), ("manual", &pages), ("completion", "bash"), ("demo", "")]
    {
        commands.push_str(&branch(command, PLAIN, words));
    }
    format!(
        r#"# bash completion for dormouse
_dormouse_services() {{
    local i control= line
    for ((i = 2; i < COMP_CWORD; i++)); do
        [ "${{COMP_WORDS[i]}}" = --control ] || continue
        control=${{COMP_WORDS[i+1]}}
        [ "$control" = = ] && control=${{COMP_WORDS[i+2]}}
    done
    timeout 1 "${{COMP_WORDS[0]}}" status ${{control:+"--control=$control"}} 2>/dev/null | {{
        read -r line
        while IFS= read -r line; do
            case $line in ' '*) ;; *) echo "${{line%% *}}" ;; esac
        done
    }}
}}
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
"#
    )
}

/// Returns what may follow a command: the fixed words of the flag before it, or else its flags and these words.
fn branch<F>(command: &str, definitions: &[Definition<F>], words: &str) -> String {
    let mut candidates = Vec::new();
    let mut text = String::new();
    for definition in definitions {
        let long = definition.spec.long;
        candidates.push(if definition.value.is_empty() { format!("--{long}") } else { format!("--{long}=") });
        let fixed: Vec<_> = definition.choices().collect();
        if !fixed.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "        {command}:--{long}) words='{}' ;;", fixed.join(" "));
        }
        if matches!(definition.value, "FILE" | "PATH") {
            let _ = writeln!(text, "        {command}:--{long}) ;;");
        }
    }
    candidates.extend((!words.is_empty()).then(|| words.to_owned()));
    let _ = writeln!(text, "        {command}:*) words=\"{}\" ;;", candidates.join(" "));
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
