//! The places of settings, for problems that are found after the configuration was read: in the file system.

use std::collections::BTreeMap;

use super::report::Place;
use super::tree::{Node, Value};

/// The places of the settings of a configuration.
#[derive(Debug, Default)]
pub struct Places {
    /// The places of the keys at the top of the files.
    general: BTreeMap<String, Place>,
    services: BTreeMap<String, ServicePlaces>,
}

/// The places of the settings of a service.
#[derive(Debug)]
pub struct ServicePlaces {
    node: Node,
    /// The places of the listeners, in the order of the configuration.
    listen: Vec<Place>,
}

impl Places {
    /// Adds the keys at the top of a file.
    pub(super) fn add_general(&mut self, node: &Node) {
        let Value::Table(entries) = &node.value else { return };
        for (name, node) in entries {
            self.general.entry(name.clone()).or_insert_with(|| node.place.clone());
        }
    }

    /// Adds a service with the places of its listeners.
    pub(super) fn add_service(&mut self, name: &str, node: &Node, listen: &[Place]) {
        let places = ServicePlaces { node: node.clone(), listen: listen.to_vec() };
        self.services.insert(name.to_owned(), places);
    }

    /// Returns the place of a key at the top of a file, if it is set there.
    pub fn general(&self, key: &str) -> Option<Place> {
        self.general.get(key).cloned()
    }

    /// Returns the places of the service with this name.
    pub fn service(&self, name: &str) -> Option<&ServicePlaces> {
        self.services.get(name)
    }
}

impl ServicePlaces {
    /// Returns the place of a listener, by its number in the configuration.
    pub fn listener(&self, number: usize) -> Place {
        self.listen.get(number).unwrap_or(&self.node.place).clone()
    }

    /// Returns the place of a key of the service, such as `ready`, or that of the innermost table around it.
    pub fn key(&self, path: &str) -> Place {
        innermost(&self.node, path)
    }

    /// Returns the place of a key that the server with this name has, such as `wake.exec`: in the table of the server, or
    /// else in that of the service.
    pub fn of_server(&self, server: &str, path: &str) -> Place {
        let Some(Value::List(servers)) = child(&self.node, "servers").map(|node| &node.value) else {
            return self.key(path);
        };
        let is_meant = |(number, node): &(usize, &Node)| match child(node, "name").map(|name| &name.value) {
            Some(Value::Text(name)) => name == server,
            _ => server == format!("server{}", number + 1),
        };
        match servers.iter().enumerate().find(is_meant) {
            Some((_, node)) => innermost(node, path),
            None => self.key(path),
        }
    }
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Table(entries) = &node.value else { return None };
    entries.iter().find(|(found, _)| found == name).map(|(_, node)| node)
}

fn innermost(node: &Node, path: &str) -> Place {
    let mut found = node;
    for name in path.split('.') {
        let Some(next) = child(found, name) else { break };
        found = next;
    }
    found.place.clone()
}
