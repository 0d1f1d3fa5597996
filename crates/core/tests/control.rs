//! The commands of the control socket.

use std::time::Duration;

use dormouse_core::control::{
    AdminState, Command, CommandError, HELP, Line, LineBuffer, MAX_LINE, OutputFormat, ProxyId, Selector,
    ServerName, SessionQuery, StatFilter, Weight, WorkloadCommand, parse,
};
use proptest::prelude::*;

fn one(line: &str) -> Result<Command, CommandError> {
    let mut commands = parse(line.as_bytes());
    assert_eq!(commands.len(), 1, "{line:?}");
    commands.remove(0)
}

fn server(backend: &str, server: &str) -> ServerName {
    ServerName { backend: backend.to_owned(), server: server.to_owned() }
}

#[test]
fn haproxys_commands_are_parsed() {
    let filter =
        StatFilter { proxy: Some(ProxyId::Number(2)), kinds: Some(4), server: None, ..StatFilter::default() };
    for (line, command) in [
        ("show info", Command::ShowInfo(OutputFormat::Plain)),
        ("show info typed", Command::ShowInfo(OutputFormat::Typed)),
        ("show stat", Command::ShowStat(OutputFormat::Plain, StatFilter::default())),
        ("show stat json", Command::ShowStat(OutputFormat::Json, StatFilter::default())),
        ("show stat typed 2 4 -1", Command::ShowStat(OutputFormat::Typed, filter.clone())),
        ("show stat 2 4 -1 typed", Command::ShowStat(OutputFormat::Typed, filter)),
        ("show stat -1 -1 -1", Command::ShowStat(OutputFormat::Plain, StatFilter::default())),
        ("show sess", Command::ShowSessions(SessionQuery::Summary)),
        ("show sess 0x1f", Command::ShowSessions(SessionQuery::One(0x1f))),
        ("show servers state web", Command::ShowServersState(Some("web".to_owned()))),
        ("disable server web/a", Command::SetState(server("web", "a"), AdminState::Maint)),
        ("enable server web/a", Command::SetState(server("web", "a"), AdminState::Ready)),
        ("set server web/a state drain", Command::SetState(server("web", "a"), AdminState::Drain)),
        ("set server web/a weight 50%", Command::SetWeight(server("web", "a"), Weight::Percent(50))),
        ("set weight web/a 256", Command::SetWeight(server("web", "a"), Weight::Absolute(256))),
        ("set maxconn frontend web 7", Command::SetMaxconnFrontend("web".to_owned(), 7)),
        ("set timeout cli 1m", Command::SetTimeout(Duration::from_secs(60))),
        ("set timeout cli 10us", Command::SetTimeout(Duration::from_millis(1))),
        ("shutdown session 0xA", Command::ShutdownSession(10)),
        ("shutdown sessions server web/a", Command::ShutdownSessions(server("web", "a"))),
        (" \tprompt  ", Command::Prompt),
    ] {
        assert_eq!(one(line), Ok(command), "{line}");
    }
}

#[test]
fn our_commands_are_parsed() {
    let service = || Selector::Service("web".to_owned());
    for (verb, command) in [
        ("wake", WorkloadCommand::Wake),
        ("sleep", WorkloadCommand::Sleep),
        ("freeze", WorkloadCommand::Freeze),
        ("thaw", WorkloadCommand::Thaw),
        ("drain", WorkloadCommand::Drain),
        ("undrain", WorkloadCommand::Undrain),
    ] {
        assert_eq!(command.to_string(), verb);
        assert_eq!(one(&format!("{verb} web")), Ok(Command::Workload(command, service())));
        let selector = Selector::Server(server("web", "a"));
        assert_eq!(one(&format!("{verb} web/a")), Ok(Command::Workload(command, selector)));
        assert!(one(verb).is_err());
        assert_eq!(one(&format!("{verb} web/")), Err(CommandError::NoServerName));
    }
    assert_eq!(one("show services json"), Ok(Command::ShowServices { json: true }));
    assert_eq!(one("explain web"), Ok(Command::Explain(service())));
    assert_eq!(one("explain web/a"), Ok(Command::Explain(Selector::Server(server("web", "a")))));
    assert_eq!(one("explain"), Err(CommandError::NoService("explain")));
}

#[test]
fn errors_are_those_of_haproxy() {
    for (line, message) in [
        ("disable server web", "Require 'backend/server'."),
        ("disable server web/", "Require 'backend/server'."),
        ("disable server", "Require 'backend/server'."),
        ("set server web/a state foo", "'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
        ("set server web/a weight 500", "Absolute weight can only be between 0 and 256 inclusive."),
        ("set server web/a weight", "Require <weight> or <weight%>."),
        ("shutdown session", "Session pointer expected (use 'show sess')."),
        ("shutdown session 12", "Session pointer expected (use 'show sess')."),
        ("shutdown session 0x+1", "Session pointer expected (use 'show sess')."),
        ("set maxconn frontend", "A frontend name is expected."),
        ("set timeout", "'set timeout' only supports 'cli'."),
        ("set timeout cli", "Expects an integer value."),
        ("set timeout cli 0", "Invalid timeout value."),
        ("set timeout cli 0ms", "Invalid timeout value."),
        ("set timeout cli 5x", "Invalid timeout value."),
        ("set maxconn server web/a x", "maxconn string empty or preceded by garbage"),
    ] {
        assert_eq!(one(line).unwrap_err().to_string(), message, "{line}");
    }
    assert_eq!(one("nonsense now"), Err(CommandError::Unknown("nonsense now".to_owned())));
    assert_eq!(one("show nothing"), Err(CommandError::Unknown("show nothing".to_owned())));
    assert_eq!(one(""), Err(CommandError::Unknown(String::new())));
}

#[test]
fn a_line_can_contain_several_commands() {
    let commands = parse(b"show info; show stat;quit;");
    assert_eq!(commands.len(), 3);
    assert_eq!(commands.last(), Some(&Ok(Command::Quit)));
    // A backslash removes the special meaning of the next character.
    assert_eq!(one(r"explain a\;b\ c"), Ok(Command::Explain(Selector::Service("a;b c".to_owned()))));
}

#[test]
fn the_help_only_lists_known_commands() {
    for help in HELP {
        let words: Vec<&str> =
            help.syntax.split_whitespace().take_while(|word| !word.starts_with(['<', '[', '('])).collect();
        let unknown = matches!(one(&words.join(" ")), Err(CommandError::Unknown(_)));
        assert!(!unknown || words == ["set", "timeout"], "{}", help.syntax);
    }
}

#[test]
fn an_endless_line_is_refused() {
    let mut lines = LineBuffer::default();
    let piece = vec![b'x'; MAX_LINE];
    assert_eq!(lines.push(&piece), (Some(Line::TooLong), &[][..]));
    assert_eq!(lines.push(b"quit\n"), (None, &[][..]));
    assert_eq!(lines.finish(), None);
}

proptest! {
    #[test]
    fn any_line_is_parsed_without_a_panic(line: Vec<u8>) {
        let commands = parse(&line);
        prop_assert!(!commands.is_empty() && commands.len() <= line.len() + 1);
    }

    #[test]
    fn lines_do_not_depend_on_the_pieces(
        text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b';'), Just(b'\r'), any::<u8>()], 0..400),
        cuts in proptest::collection::vec(1_usize..40, 1..50),
    ) {
        let whole = collect(text.chunks(usize::MAX));
        let mut rest = text.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, further) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = further;
        }
        prop_assert_eq!(whole, collect(pieces));
    }

    #[test]
    fn names_can_contain_any_escaped_character(name in "[^\\x00-\\x1f/]{1,20}") {
        let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
        // A backslash escapes one byte; the other bytes of a multibyte character are never special.
        prop_assert_eq!(one(&format!("explain {escaped}")), Ok(Command::Explain(Selector::Service(name))));
    }
}

fn collect<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Line> {
    let (mut lines, mut found) = (LineBuffer::default(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let (line, rest) = lines.push(piece);
            found.extend(line);
            piece = rest;
        }
    }
    found.extend(lines.finish());
    found
}
