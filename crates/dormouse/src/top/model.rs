//! What is selected and in which order, and what a key does.

use std::cmp::Reverse;
use std::time::Duration;

use super::keys::Key;
use super::snapshot::{Rates, Service, Session, Snapshot};
use crate::client::escaped;

/// Which of the two lists the keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    Services,
    Sessions,
}

/// What comes first.
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

/// What is to be done about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    /// Say this line to the control socket.
    Say(String),
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: Snapshot,
    /// What the rates are measured from.
    base: Snapshot,
    pub(super) rates: Rates,
    interval: Duration,
    pub(super) focus: Focus,
    pub(super) sort: Sort,
    service: Option<String>,
    session: Option<u64>,
    /// The session whose end is to be confirmed.
    doomed: Option<u64>,
    pub(super) message: String,
    /// Why what is shown is old.
    pub(super) trouble: Option<String>,
    pub(super) help: bool,
}

impl Model {
    pub(super) fn new(now: Snapshot, interval: Duration) -> Self {
        let mut model = Self {
            base: now.clone(),
            now,
            rates: Rates::default(),
            interval,
            focus: Focus::Services,
            sort: Sort::Name,
            service: None,
            session: None,
            doomed: None,
            message: String::new(),
            trouble: None,
            help: false,
        };
        model.settle();
        model
    }

    /// Shows a newer snapshot.
    pub(super) fn take(&mut self, snapshot: Snapshot) {
        // One that comes right after another says little of a second.
        let far = snapshot.at.saturating_duration_since(self.now.at) >= self.interval / 2;
        let before = std::mem::replace(&mut self.now, snapshot);
        if far {
            self.base = before;
        }
        self.rates = Rates::between(&self.base, &self.now);
        self.trouble = None;
        self.settle();
    }

    /// Shows what a command was answered.
    pub(super) fn told(&mut self, answer: &str) {
        let lines: Vec<&str> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
        self.message = if lines.is_empty() { "Done.".to_owned() } else { lines.join("; ") };
    }

    /// The services, in their order.
    pub(super) fn services(&self) -> Vec<&Service> {
        let mut services: Vec<&Service> = self.now.services.iter().collect();
        let rate = |service: &Service| self.rates.services.get(&service.name).map_or(0, |flow| flow.both());
        match self.sort {
            Sort::Name => services.sort_by(|one, other| one.name.cmp(&other.name)),
            Sort::Sessions => services.sort_by_key(|service| (Reverse(service.sessions), &service.name)),
            Sort::Rate => services.sort_by_key(|service| (Reverse(rate(service)), &service.name)),
        }
        services
    }

    /// The sessions of the selected service, in their order: the oldest first, or the busiest.
    pub(super) fn sessions(&self) -> Vec<&Session> {
        let mut sessions: Vec<&Session> = self
            .now
            .listed()
            .iter()
            .filter(|session| Some(&session.service) == self.service.as_ref())
            .collect();
        let rate = |session: &Session| self.rates.sessions.get(&session.id).map_or(0, |flow| flow.both());
        match self.sort {
            Sort::Rate => sessions.sort_by_key(|session| (Reverse(rate(session)), session.id)),
            Sort::Name | Sort::Sessions => sessions.sort_by_key(|session| session.id),
        }
        sessions
    }

    /// The place of the selected service.
    pub(super) fn service_at(&self) -> Option<usize> {
        self.services().iter().position(|service| Some(&service.name) == self.service.as_ref())
    }

    /// The place of the selected session.
    pub(super) fn session_at(&self) -> Option<usize> {
        self.sessions().iter().position(|session| Some(session.id) == self.session)
    }

    /// The name of the selected service.
    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Selects something that is there.
    fn settle(&mut self) {
        if self.service_at().is_none() {
            self.service = self.services().first().map(|service| service.name.clone());
        }
        if self.session_at().is_none() {
            self.session = self.sessions().first().map(|session| session.id);
        }
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key) -> Action {
        self.message.clear();
        if let Some(id) = self.doomed.take() {
            return match key {
                Key::Letter('y') => Action::Say(format!("shutdown session 0x{id:x}")),
                Key::Interrupt => Action::Quit,
                _ => {
                    "The session goes on.".clone_into(&mut self.message);
                    Action::None
                }
            };
        }
        // Whatever is pressed at the help ends it.
        if std::mem::take(&mut self.help) && !matches!(key, Key::Interrupt | Key::Letter('q')) {
            return Action::None;
        }
        match key {
            Key::Interrupt | Key::Letter('q') => return Action::Quit,
            Key::Up => self.step(|at| at.saturating_sub(1)),
            Key::Down => self.step(|at| at.saturating_add(1)),
            Key::Switch => {
                self.focus = match self.focus {
                    Focus::Services => Focus::Sessions,
                    Focus::Sessions => Focus::Services,
                }
            }
            Key::Letter('h' | '?') => self.help = true,
            Key::Letter('s') => self.sort = self.sort.next(),
            Key::Letter('x') => self.doom(),
            Key::Letter(letter) => {
                let verbs = [('w', "wake"), ('z', "sleep"), ('f', "freeze"), ('t', "thaw"), ('d', "drain")];
                let verb = verbs.iter().find(|(key, _)| *key == letter);
                if let (Some((_, verb)), Some(service)) = (verb, &self.service) {
                    return Action::Say(format!("{verb} {}", escaped(service)));
                }
            }
        }
        Action::None
    }

    fn step(&mut self, step: impl Fn(usize) -> usize) {
        match self.focus {
            Focus::Services => {
                let at = self.service_at().map_or(0, step);
                if let Some(name) = self.services().get(at).map(|service| service.name.clone()) {
                    self.service = Some(name);
                }
            }
            Focus::Sessions => {
                let at = self.session_at().map_or(0, step);
                if let Some(id) = self.sessions().get(at).map(|session| session.id) {
                    self.session = Some(id);
                }
            }
        }
        self.settle();
    }

    fn doom(&mut self) {
        let session = match self.focus {
            Focus::Services => None,
            Focus::Sessions => self.session_at().and_then(|at| self.sessions().get(at).copied().cloned()),
        };
        self.message = match &session {
            Some(session) => format!("End the session of {}? y ends it.", session.client),
            None => "No session is selected: Enter goes to the sessions.".to_owned(),
        };
        self.doomed = session.map(|session| session.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::snapshot::tests::told;
    use super::*;

    fn model() -> Model {
        let began = Instant::now();
        let mut model = Model::new(told(began, 5), Duration::from_secs(1));
        model.take(told(began, 6));
        model
    }

    fn say(line: &str) -> Action {
        Action::Say(line.to_owned())
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
        // What goes is not selected any more.
        let mut snapshot = model.now.clone();
        snapshot.services.retain(|service| service.name == "db");
        model.take(snapshot);
        assert_eq!((model.service(), model.session_at()), (Some("db"), None));
    }

    #[test]
    fn keys_steer_the_selected_service() {
        let mut model = model();
        assert_eq!(model.key(Key::Letter('w')), say("wake db"));
        model.key(Key::Down);
        for (key, line) in [('z', "sleep web"), ('f', "freeze web"), ('t', "thaw web"), ('d', "drain web")] {
            assert_eq!(model.key(Key::Letter(key)), say(line));
        }
        assert_eq!(model.key(Key::Letter('p')), Action::None);
        model.key(Key::Letter('h'));
        assert!(model.help);
        assert_eq!(model.key(Key::Letter('w')), Action::None);
        assert!(!model.help);
        assert_eq!(model.key(Key::Letter('q')), Action::Quit);
        model.told("\n");
        assert_eq!(model.message, "Done.");
    }

    #[test]
    fn a_session_ends_only_after_a_yes() {
        let mut model = model();
        model.key(Key::Down);
        assert_eq!(model.key(Key::Letter('x')), Action::None);
        assert!(model.message.starts_with("No session is selected"), "{}", model.message);
        model.key(Key::Switch);
        model.key(Key::Down);
        for (answer, action) in [('n', Action::None), ('y', say("shutdown session 0x2f"))] {
            assert_eq!(model.key(Key::Letter('x')), Action::None);
            assert!(model.message.contains("127.0.0.1"), "{}", model.message);
            assert_eq!(model.key(Key::Letter(answer)), action);
        }
        assert_eq!(model.key(Key::Letter('y')), Action::None);
        // With nothing there, nothing is done.
        let mut empty = model.now.clone();
        (empty.services, empty.sessions) = (Vec::new(), None);
        model.take(empty);
        for key in [Key::Up, Key::Down, Key::Letter('w'), Key::Letter('x'), Key::Letter('y')] {
            assert_eq!(model.key(key), Action::None);
        }
    }

    #[test]
    fn a_snapshot_right_after_another_is_measured_from_the_one_before() {
        let began = Instant::now();
        let mut model = Model::new(told(began, 5), Duration::from_secs(10));
        model.take(told(began, 11));
        let rates = model.rates.clone();
        model.take(told(began, 12));
        assert_eq!(rates, model.rates);
        assert_eq!(model.base, told(began, 5));
    }
}
