//! The state of the screen: the data, the selection and the order, and the effect of each key.

use std::cmp::Reverse;
use std::time::Duration;

use super::keys::Key;
use super::snapshot::{Rates, Service, Session, Snapshot};
use crate::escaped;

/// The list that the keys refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    Services,
    Sessions,
}

/// The order of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Sessions,
    Rate,
}

impl Sort {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Sessions => "sessions",
            Self::Rate => "rate",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Name => Self::Sessions,
            Self::Sessions => Self::Rate,
            Self::Rate => Self::Name,
        }
    }
}

/// The effect of a key outside the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    /// Send this command to the control socket.
    Send(String),
}

/// A command that waits for a confirmation.
#[derive(Debug)]
struct Unconfirmed {
    /// The line for the control socket.
    line: String,
    /// The message if the user does not confirm it.
    declined: &'static str,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Model {
    /// The newest data.
    pub(super) current: Snapshot,
    /// The earlier data from which the rates are computed.
    rate_base: Snapshot,
    pub(super) rates: Rates,
    interval: Duration,
    pub(super) focus: Focus,
    pub(super) sort: Sort,
    /// The selected service.
    service: Option<String>,
    /// The selected session.
    session: Option<u64>,
    /// The command to send once the user confirms it.
    unconfirmed: Option<Unconfirmed>,
    pub(super) message: String,
    /// The reason why the data is out of date.
    pub(super) error: Option<String>,
    pub(super) help: bool,
}

impl Model {
    pub(super) fn new(current: Snapshot, interval: Duration) -> Self {
        let mut model = Self {
            rate_base: current.clone(),
            current,
            rates: Rates::default(),
            interval,
            focus: Focus::Services,
            sort: Sort::Name,
            service: None,
            session: None,
            unconfirmed: None,
            message: String::new(),
            error: None,
            help: false,
        };
        model.repair_selection();
        model
    }

    /// Shows a newer snapshot.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        // A snapshot right after another is too close to compute rates from it.
        let is_apart = snapshot.at.saturating_duration_since(self.current.at) >= self.interval / 2;
        let before = std::mem::replace(&mut self.current, snapshot);
        if is_apart {
            self.rate_base = before;
        }
        self.rates = Rates::between(&self.rate_base, &self.current);
        self.error = None;
        self.repair_selection();
    }

    /// Shows the answer to a command.
    pub(super) fn show_answer(&mut self, answer: &str) {
        let lines: Vec<&str> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
        self.message = if lines.is_empty() { "Done.".to_owned() } else { lines.join("; ") };
    }

    /// Returns the services in the selected order.
    pub(super) fn services(&self) -> Vec<&Service> {
        let mut services: Vec<&Service> = self.current.services.iter().collect();
        let rate = |service: &Service| self.rates.services.get(&service.name).map_or(0, |rate| rate.both());
        match self.sort {
            Sort::Name => services.sort_by(|one, other| one.name.cmp(&other.name)),
            Sort::Sessions => services.sort_by_key(|service| (Reverse(service.sessions), &service.name)),
            Sort::Rate => services.sort_by_key(|service| (Reverse(rate(service)), &service.name)),
        }
        services
    }

    /// Returns the sessions of the selected service, the oldest or the busiest first.
    pub(super) fn sessions(&self) -> Vec<&Session> {
        let mut sessions: Vec<&Session> = self
            .current
            .listed()
            .iter()
            .filter(|session| Some(&session.service) == self.service.as_ref())
            .collect();
        let rate = |session: &Session| self.rates.sessions.get(&session.id).map_or(0, |rate| rate.both());
        match self.sort {
            Sort::Rate => sessions.sort_by_key(|session| (Reverse(rate(session)), session.id)),
            Sort::Name | Sort::Sessions => sessions.sort_by_key(|session| session.id),
        }
        sessions
    }

    /// Returns the index of the selected service.
    pub(super) fn service_index(&self) -> Option<usize> {
        self.services().iter().position(|service| Some(&service.name) == self.service.as_ref())
    }

    /// Returns the index of the selected session.
    pub(super) fn session_index(&self) -> Option<usize> {
        self.sessions().iter().position(|session| Some(session.id) == self.session)
    }

    /// Returns the name of the selected service.
    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Selects the first service or session if the selected one does not exist any more.
    fn repair_selection(&mut self) {
        if self.service_index().is_none() {
            self.service = self.services().first().map(|service| service.name.clone());
        }
        if self.session_index().is_none() {
            self.session = self.sessions().first().map(|session| session.id);
        }
    }

    /// Handles a key.
    pub(super) fn key(&mut self, key: Key) -> Action {
        self.message.clear();
        if let Some(Unconfirmed { line, declined }) = self.unconfirmed.take() {
            return match key {
                Key::Letter('y') => Action::Send(line),
                Key::Interrupt => Action::Quit,
                _ => {
                    declined.clone_into(&mut self.message);
                    Action::None
                }
            };
        }
        // Any key closes the help.
        if std::mem::take(&mut self.help) && !matches!(key, Key::Interrupt | Key::Letter('q')) {
            return Action::None;
        }
        match key {
            Key::Interrupt | Key::Letter('q') => return Action::Quit,
            Key::Up => self.move_selection(|at| at.saturating_sub(1)),
            Key::Down => self.move_selection(|at| at.saturating_add(1)),
            Key::Switch => {
                self.focus = match self.focus {
                    Focus::Services => Focus::Sessions,
                    Focus::Sessions => Focus::Services,
                }
            }
            Key::Letter('h' | '?') => self.help = true,
            Key::Letter('s') => self.sort = self.sort.next(),
            Key::Letter('x') => self.ask_to_end_session(),
            Key::Letter('d') => return self.drain_or_undrain(),
            Key::Letter(letter) => {
                let verbs = [('w', "wake"), ('z', "sleep"), ('f', "freeze"), ('t', "thaw")];
                let verb = verbs.iter().find(|(key, _)| *key == letter);
                if let (Some((_, verb)), Some(service)) = (verb, &self.service) {
                    return Action::Send(format!("{verb} {}", escaped(service)));
                }
            }
        }
        Action::None
    }

    /// Moves the selection.
    fn move_selection(&mut self, step: impl Fn(usize) -> usize) {
        match self.focus {
            Focus::Services => {
                let at = self.service_index().map_or(0, step);
                if let Some(name) = self.services().get(at).map(|service| service.name.clone()) {
                    self.service = Some(name);
                }
            }
            Focus::Sessions => {
                let at = self.session_index().map_or(0, step);
                if let Some(id) = self.sessions().get(at).map(|session| session.id) {
                    self.session = Some(id);
                }
            }
        }
        self.repair_selection();
    }

    /// Asks the user to confirm the end of the selected session.
    fn ask_to_end_session(&mut self) {
        let session = match self.focus {
            Focus::Services => None,
            Focus::Sessions => self.session_index().and_then(|at| self.sessions().get(at).copied().cloned()),
        };
        self.message = match &session {
            Some(session) => format!("End the session of {}? Press y to confirm.", session.client),
            None => "No session is selected; press Enter to select one.".to_owned(),
        };
        self.unconfirmed = session.map(|session| Unconfirmed {
            line: format!("shutdown session 0x{:x}", session.id),
            declined: "The session was not ended.",
        });
    }

    /// Ends the drain of the selected service, or asks the user to confirm that it is to be drained.
    fn drain_or_undrain(&mut self) -> Action {
        let selected = self.service_index().and_then(|at| self.services().get(at).copied().cloned());
        let Some(service) = selected else { return Action::None };
        let name = escaped(&service.name);
        if service.is_drained {
            return Action::Send(format!("undrain {name}"));
        }
        self.message = format!(
            "Drain {}? It gets no new sessions until d is pressed again. Press y to confirm.",
            service.name
        );
        self.unconfirmed =
            Some(Unconfirmed { line: format!("drain {name}"), declined: "The service was not drained." });
        Action::None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::snapshot::tests::sample;
    use super::*;

    fn model() -> Model {
        let began = Instant::now();
        let mut model = Model::new(sample(began, 5), Duration::from_secs(1));
        model.update(sample(began, 6));
        model
    }

    fn send(line: &str) -> Action {
        Action::Send(line.to_owned())
    }

    #[test]
    fn the_order_changes_and_the_selection_stays() {
        let mut model = model();
        let names = |model: &Model| {
            model.services().iter().map(|service| service.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((names(&model).as_str(), model.service()), ("db web", Some("db")));
        model.key(Key::Letter('s'));
        assert_eq!((model.sort, names(&model).as_str()), (Sort::Sessions, "web db"));
        model.key(Key::Letter('s'));
        assert_eq!((model.sort, names(&model).as_str()), (Sort::Rate, "db web"));
        assert_eq!(model.service(), Some("db"));
        model.key(Key::Down);
        model.key(Key::Down);
        assert_eq!(model.service(), Some("web"));
        assert_eq!(model.sessions().iter().map(|session| session.id).collect::<Vec<_>>(), [0x2f, 1]);
        // A service that disappears is not selected any more.
        let mut snapshot = model.current.clone();
        snapshot.services.retain(|service| service.name == "db");
        model.update(snapshot);
        assert_eq!((model.service(), model.session_index()), (Some("db"), None));
    }

    #[test]
    fn keys_control_the_selected_service() {
        let mut model = model();
        assert_eq!(model.key(Key::Letter('w')), send("wake db"));
        model.key(Key::Down);
        for (key, line) in [('z', "sleep web"), ('f', "freeze web"), ('t', "thaw web")] {
            assert_eq!(model.key(Key::Letter(key)), send(line));
        }
        assert_eq!(model.key(Key::Letter('p')), Action::None);
        model.key(Key::Letter('h'));
        assert!(model.help);
        assert_eq!(model.key(Key::Letter('w')), Action::None);
        assert!(!model.help);
        assert_eq!(model.key(Key::Letter('q')), Action::Quit);
        model.show_answer("\n");
        assert_eq!(model.message, "Done.");
    }

    #[test]
    fn a_service_is_drained_after_a_confirmation_and_undrained_at_once() {
        let mut model = model();
        for (answer, action) in [('d', Action::None), ('y', send("drain db"))] {
            assert_eq!(model.key(Key::Letter('d')), Action::None);
            assert!(model.message.starts_with("Drain db? "), "{}", model.message);
            assert_eq!(model.key(Key::Letter(answer)), action);
        }
        let mut drained = model.current.clone();
        for service in &mut drained.services {
            service.is_drained = true;
        }
        model.update(drained);
        assert_eq!(model.key(Key::Letter('d')), send("undrain db"));
        assert_eq!(model.key(Key::Letter('y')), Action::None);
    }

    #[test]
    fn a_session_ends_only_after_a_confirmation() {
        let mut model = model();
        model.key(Key::Down);
        assert_eq!(model.key(Key::Letter('x')), Action::None);
        assert!(model.message.starts_with("No session is selected"), "{}", model.message);
        model.key(Key::Switch);
        model.key(Key::Down);
        for (answer, action) in [('n', Action::None), ('y', send("shutdown session 0x2f"))] {
            assert_eq!(model.key(Key::Letter('x')), Action::None);
            assert!(model.message.contains("127.0.0.1"), "{}", model.message);
            assert_eq!(model.key(Key::Letter(answer)), action);
        }
        assert_eq!(model.key(Key::Letter('y')), Action::None);
        // Without services and sessions keys have no effect.
        let mut empty = model.current.clone();
        (empty.services, empty.sessions) = (Vec::new(), None);
        model.update(empty);
        for key in [Key::Up, Key::Down, Key::Letter('w'), Key::Letter('x'), Key::Letter('y')] {
            assert_eq!(model.key(key), Action::None);
        }
    }

    #[test]
    fn a_snapshot_right_after_another_is_measured_from_the_one_before() {
        let began = Instant::now();
        let mut model = Model::new(sample(began, 5), Duration::from_secs(10));
        model.update(sample(began, 11));
        let rates = model.rates.clone();
        model.update(sample(began, 12));
        assert_eq!(rates, model.rates);
        assert_eq!(model.rate_base, sample(began, 5));
    }
}
