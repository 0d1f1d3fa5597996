//! What a check says and expects: `option tcp-check` with its rules, `option redis-check`.

use super::report::{Report, Statement};
use super::values::{Table, quoted};

/// How servers are checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Probe {
    /// They take a connection.
    #[default]
    Connect,
    /// Redis answers.
    Redis,
    /// As the `tcp-check` rules say.
    Rules,
}

/// The rules of `option tcp-check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules(Vec<(Statement, Rule)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Connect,
    Send(String),
    Expect(String),
    /// With a reason.
    Unknown(&'static str),
}

impl Rules {
    /// Reads `tcp-check …`.
    pub(super) fn read(&mut self, statement: &Statement) {
        let argument = statement.word(2);
        let rule = match (statement.word(1), argument) {
            ("comment", _) => return,
            ("connect", _) if is_plain(statement.from(2)) => Rule::Connect,
            ("connect", _) => Rule::Unknown("a check connects to where the server is, in the clear"),
            ("send", _) => Rule::Send(argument.to_owned()),
            ("send-binary", _) => from_hex(argument).map_or(Rule::Unknown(BINARY), Rule::Send),
            ("expect", _) => expectation(statement),
            ("set-var" | "unset-var" | "set-var-fmt", _) => Rule::Unknown("there are no variables here"),
            _ => Rule::Unknown("a check sends a text and expects a text"),
        };
        self.0.push((statement.clone(), rule));
    }

    /// What of it goes into the table `check`.
    fn table(&self, report: &mut Report) -> Table {
        let mut table = Table::default();
        let unknown = self.0.iter().filter_map(|(statement, rule)| match rule {
            Rule::Unknown(why) => Some((statement, *why)),
            _ => None,
        });
        let mut broken = false;
        for (statement, why) in unknown {
            report.left(statement, format!("{why}; servers are checked by a connection"));
            broken = true;
        }
        let spoken: Vec<_> = self.0.iter().filter(|(_, rule)| *rule != Rule::Connect).collect();
        let plain = spoken.iter().rev().skip(1).all(|(_, rule)| matches!(rule, Rule::Send(_)));
        if broken {
            return table;
        }
        if !plain {
            let why = "a check sends once and expects once; this one is longer, so servers are checked by a connection. \
                       Write what tells most: check = { send = \"…\", expect = \"…\" }";
            for (statement, _) in spoken {
                report.left(statement, why);
            }
            return table;
        }
        let said: String = spoken
            .iter()
            .filter_map(|(_, rule)| if let Rule::Send(text) = rule { Some(text.as_str()) } else { None })
            .collect();
        match spoken.last() {
            Some((_, Rule::Expect(expected))) => {
                if !said.is_empty() {
                    table.put("send", quoted(&said));
                }
                table.put("expect", quoted(expected));
            }
            Some((statement, _)) => {
                report.left(
                    statement,
                    "what a check sends has to be answered; add check.expect, or take this out",
                );
            }
            None => {}
        }
        table
    }
}

/// Whether a check connects as it always does, whatever is said beside it.
fn is_plain(mut words: &[String]) -> bool {
    loop {
        words = match words {
            [] => return true,
            [word, rest @ ..] if word == "default" => rest,
            [word, _, rest @ ..] if word == "comment" => rest,
            _ => return false,
        };
    }
}

const BINARY: &str = "what is sent and expected is text";

fn expectation(statement: &Statement) -> Rule {
    let mut words = statement.from(2).iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "min-recv" | "comment" | "on-success" | "on-error" | "error-status" | "ok-status"
            | "tout-status" | "status-code" => {
                words.next();
            }
            "string" => {
                return words.next().map_or(Rule::Unknown(BINARY), |text| Rule::Expect(text.to_owned()));
            }
            "binary" => return words.next().and_then(from_hex).map_or(Rule::Unknown(BINARY), Rule::Expect),
            _ => return Rule::Unknown("a check expects a text, not a pattern and not its absence"),
        }
    }
    Rule::Unknown("a check expects a text")
}

fn from_hex(text: &str) -> Option<String> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let bytes: Option<Vec<u8>> = digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect();
    String::from_utf8(bytes?).ok()
}

impl Probe {
    /// What of it goes into the table `check`.
    pub(super) fn table(&self, rules: &Rules, report: &mut Report) -> Table {
        match self {
            Self::Connect => Table::default(),
            Self::Redis => {
                let mut table = Table::default();
                table.put("send", quoted("*1\r\n$4\r\nPING\r\n"));
                table.put("expect", quoted("+PONG\r\n"));
                table
            }
            Self::Rules => rules.table(report),
        }
    }
}
