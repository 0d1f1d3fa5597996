//! Resolves paths to modules.

use std::collections::BTreeMap;

use crate::read::{Module, Source};

/// One module needs another one.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The name that is needed.
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// Where a path leads: a module, or an item of it.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    module: usize,
    item: Option<String>,
}

/// `use` can lead in a circle, for example `pub use a::*` and `pub use b::*` that contain each other.
const DEPTH: usize = 16;

impl Source {
    /// Returns what the modules need of each other.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (from, module) in self.modules.iter().enumerate() {
            for mention in &module.mentions {
                let Some(found) = self.resolve(from, &mention.path, DEPTH) else { continue };
                // Most single words that are the name of a module are variables; imports are mentions of their own.
                if let [word] = mention.path.as_slice() {
                    if found.item.is_none() || module.imports.contains_key(word) {
                        continue;
                    }
                }
                let mut to = vec![found.module];
                to.extend(self.facade(from, &mention.path));
                for to in to {
                    edges.push(Edge { from, to, name: mention.path.join("::"), line: mention.line });
                }
            }
        }
        self.calls(&mut edges);
        edges.retain(|edge| edge.from != edge.to);
        edges
    }

    fn calls(&self, edges: &mut Vec<Edge>) {
        let mut methods: BTreeMap<(usize, String, &str), usize> = BTreeMap::new();
        let implementations = || {
            self.modules.iter().enumerate().flat_map(|(number, module)| {
                module.impls.iter().filter_map(move |one| {
                    let target = self.resolve(number, &one.target, DEPTH)?;
                    Some((number, target.module, target.item?, one))
                })
            })
        };
        for (number, module, item, one) in implementations() {
            for method in &one.methods {
                methods.insert((module, item.clone(), method), number);
            }
        }
        for (from, module, item, one) in implementations() {
            for (method, line) in &one.calls {
                if let Some(to) = methods.get(&(module, item.clone(), method)) {
                    edges.push(Edge { from, to: *to, name: format!("self.{method}()"), line: *line });
                }
            }
        }
    }

    fn at(&self, number: usize) -> Option<&Module> {
        self.modules.get(number)
    }

    /// Returns the module that a path names, where that is not the one that defines the item.
    fn facade(&self, from: usize, path: &[String]) -> Option<usize> {
        let (_, modules) = path.split_last()?;
        let found = self.resolve(from, modules, DEPTH)?;
        found.item.is_none().then_some(found.module)
    }

    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let here = Found { module: from, item: None };
        let start = match first.as_str() {
            "crate" => Found { module: 0, item: None },
            "self" => here,
            "super" => Found { module: self.at(from)?.parent?, item: None },
            _ => self.name(from, first, depth)?,
        };
        let mut found = start;
        for segment in rest {
            if found.item.is_some() {
                break;
            }
            found = match segment.as_str() {
                "super" => Found { module: self.at(found.module)?.parent?, item: None },
                // What a macro defines has no name in the source.
                _ => self
                    .name(found.module, segment, depth)
                    .unwrap_or(Found { module: found.module, item: Some(segment.clone()) }),
            };
        }
        Some(found)
    }

    /// Looks a name up in a module.
    fn name(&self, module: usize, name: &str, depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let here = self.at(module)?;
        if let Some(child) = here.children.get(name) {
            return Some(Found { module: *child, item: None });
        }
        if here.items.contains(name) {
            return Some(Found { module, item: Some(name.to_owned()) });
        }
        if let Some(path) = here.imports.get(name) {
            // `use name;` and `use name::name` of another crate lead to themselves.
            return if path.first().is_some_and(|first| first == name) {
                None
            } else {
                self.resolve(module, path, depth)
            };
        }
        here.globs.iter().find_map(|path| {
            let found = self.resolve(module, path, depth)?;
            if found.item.is_some() || found.module == module {
                None
            } else {
                self.name(found.module, name, depth)
            }
        })
    }
}
