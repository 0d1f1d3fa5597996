//! Completion for bash, made from the definitions of the flags.

use std::fmt::Write as _;

use super::COMMANDS;
use super::flags::PROXY;

/// The script. docs/completions/dormouse.bash is this text.
pub(super) fn bash() -> String {
    let mut flags = Vec::new();
    let mut choices = String::new();
    for definition in PROXY {
        let long = definition.spec.long;
        flags.push(if definition.value.is_empty() { format!("--{long}") } else { format!("--{long}=") });
        let words: Vec<_> = definition.choices().collect();
        if !words.is_empty() {
            // A String takes whatever is written to it.
            let _ = writeln!(choices, "        --{long}) words='{}' ;;", words.join(" "));
        }
    }
    format!(
        r#"# bash completion for dormouse
_dormouse() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
    [ "$word" = = ] && word=
    [ "$before" = = ] && before=${{COMP_WORDS[COMP_CWORD-2]}}
    if [ "$COMP_CWORD" = 1 ]; then
        words='{commands}'
    else
        case $before in
{choices}        *) words='{flags}' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace
    return 0
}}
complete -o default -F _dormouse dormouse
"#,
        commands = COMMANDS.join(" "),
        flags = flags.join(" "),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_script_is_in_step() {
        let shipped = include_str!("../../../../docs/completions/dormouse.bash");
        assert!(shipped == super::bash(), "run: cargo run -- completion > docs/completions/dormouse.bash");
    }
}
