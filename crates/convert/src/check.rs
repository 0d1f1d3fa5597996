//! Health checks: `option tcp-check` with its rules, and `option redis-check`.

use crate::report::{Report, Statement};
use crate::values::{TomlTable, quoted};

/// How servers are checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum CheckMethod {
    /// The server accepts a connection.
    #[default]
    Connect,
    /// The server answers a Redis PING.
    Redis,
    /// The `tcp-check` rules.
    TcpCheck,
}

/// The rules of `option tcp-check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TcpCheckRules(Vec<(Statement, TcpCheckRule)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TcpCheckRule {
    Connect,
    Send(String),
    Expect(String),
    /// A rule that cannot be converted, and the reason.
    Unsupported(&'static str),
}

impl TcpCheckRules {
    /// Reads `tcp-check …`.
    pub(crate) fn read(&mut self, statement: &Statement) {
        let argument = statement.word(2);
        let rule = match (statement.word(1), argument) {
            ("comment", _) => return,
            ("connect", _) if is_default_connect(statement.from(2)) => TcpCheckRule::Connect,
            ("connect", _) => {
                TcpCheckRule::Unsupported("a check connects to the address of the server, without TLS")
            }
            ("send", _) => TcpCheckRule::Send(argument.to_owned()),
            ("send-binary", _) => {
                from_hex(argument).map_or(TcpCheckRule::Unsupported(BINARY), TcpCheckRule::Send)
            }
            ("expect", _) => expectation(statement),
            ("set-var" | "unset-var" | "set-var-fmt", _) => {
                TcpCheckRule::Unsupported("dormouse has no variables")
            }
            _ => TcpCheckRule::Unsupported("a check can only send and expect a text"),
        };
        self.0.push((statement.clone(), rule));
    }

    /// Returns the keys of the table `check`.
    fn table(&self, report: &mut Report) -> TomlTable {
        let mut table = TomlTable::default();
        let unsupported = self.0.iter().filter_map(|(statement, rule)| match rule {
            TcpCheckRule::Unsupported(reason) => Some((statement, *reason)),
            _ => None,
        });
        let mut is_complete = true;
        for (statement, reason) in unsupported {
            report.omit(statement, format!("{reason}; servers are checked by a connection"));
            is_complete = false;
        }
        let exchange: Vec<_> = self.0.iter().filter(|(_, rule)| *rule != TcpCheckRule::Connect).collect();
        let is_send_then_expect =
            exchange.iter().rev().skip(1).all(|(_, rule)| matches!(rule, TcpCheckRule::Send(_)));
        if !is_complete {
            return table;
        }
        if !is_send_then_expect {
            let reason = "a check can send once and expect once, so servers are checked by a connection; write the most important \
                       step: check = { send = \"…\", expect = \"…\" }";
            for (statement, _) in exchange {
                report.omit(statement, reason);
            }
            return table;
        }
        let sent: String = exchange
            .iter()
            .filter_map(
                |(_, rule)| if let TcpCheckRule::Send(text) = rule { Some(text.as_str()) } else { None },
            )
            .collect();
        match exchange.last() {
            Some((_, TcpCheckRule::Expect(expected))) => {
                if !sent.is_empty() {
                    table.put("send", quoted(&sent));
                }
                table.put("expect", quoted(expected));
            }
            Some((statement, _)) => {
                report.omit(
                    statement,
                    "a check that sends must also expect a response; add check.expect, or remove this line",
                );
            }
            None => {}
        }
        table
    }
}

/// Returns whether the words of `tcp-check connect` leave the connection at its defaults.
fn is_default_connect(mut words: &[String]) -> bool {
    loop {
        words = match words {
            [] => return true,
            [word, rest @ ..] if word == "default" => rest,
            [word, _, rest @ ..] if word == "comment" => rest,
            _ => return false,
        };
    }
}

const BINARY: &str = "a check can only send and expect UTF-8 text";

fn expectation(statement: &Statement) -> TcpCheckRule {
    let mut words = statement.from(2).iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "min-recv" | "comment" | "on-success" | "on-error" | "error-status" | "ok-status"
            | "tout-status" | "status-code" => {
                words.next();
            }
            "string" => {
                return words
                    .next()
                    .map_or(TcpCheckRule::Unsupported(BINARY), |text| TcpCheckRule::Expect(text.to_owned()));
            }
            "binary" => {
                return words
                    .next()
                    .and_then(from_hex)
                    .map_or(TcpCheckRule::Unsupported(BINARY), TcpCheckRule::Expect);
            }
            _ => {
                return TcpCheckRule::Unsupported(
                    "a check can only expect a text, not a pattern and not the absence of a text",
                );
            }
        }
    }
    TcpCheckRule::Unsupported("a check can only expect a text")
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

impl CheckMethod {
    /// Returns the keys of the table `check`.
    pub(crate) fn table(&self, rules: &TcpCheckRules, report: &mut Report) -> TomlTable {
        match self {
            Self::Connect => TomlTable::default(),
            Self::Redis => {
                let mut table = TomlTable::default();
                table.put("send", quoted("*1\r\n$4\r\nPING\r\n"));
                table.put("expect", quoted("+PONG\r\n"));
                table
            }
            Self::TcpCheck => rules.table(report),
        }
    }
}
