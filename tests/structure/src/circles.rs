//! Finds circles among the modules that have the same parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::read::Source;

/// Modules that need each other, directly or through others. A folder stands for all that is in it.
#[derive(Debug)]
pub struct Circle {
    /// The path of the module that they are in, such as `crate::service`.
    pub parent: String,
    /// Their names.
    pub members: BTreeSet<String>,
    needs: BTreeMap<(String, String), Vec<Need>>,
}

#[derive(Debug)]
struct Need {
    file: PathBuf,
    line: usize,
    name: String,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        write!(f, "{}: {} form a circle", self.parent, members.join(", "))?;
        for ((from, to), needs) in &self.needs {
            write!(f, "\n  {from} → {to}")?;
            for Need { file, line, name } in needs {
                write!(f, "\n    {}:{line}: {name}", file.display())?;
            }
        }
        Ok(())
    }
}

/// Returns all circles between siblings, at every level of the tree of modules.
///
/// What a parent and its children need of each other is no circle here.
pub fn circles(source: &Source) -> Vec<Circle> {
    let mut levels: BTreeMap<usize, BTreeMap<(usize, usize), Vec<Need>>> = BTreeMap::new();
    for edge in source.edges() {
        let (from, to) = (source.ancestry(edge.from), source.ancestry(edge.to));
        let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        let (Some(parent), Some(from), Some(to)) =
            (common.checked_sub(1).and_then(|last| from.get(last)), from.get(common), to.get(common))
        else {
            continue;
        };
        let file = source.modules.get(edge.from).map(|module| module.file.clone()).unwrap_or_default();
        let needs = levels.entry(*parent).or_default().entry((*from, *to)).or_default();
        if !needs.iter().any(|need| need.name == edge.name && need.file == file) {
            needs.push(Need { file, line: edge.line, name: edge.name });
        }
    }
    levels.into_iter().flat_map(|(parent, needs)| level(source, parent, needs)).collect()
}

fn level(source: &Source, parent: usize, mut needs: BTreeMap<(usize, usize), Vec<Need>>) -> Vec<Circle> {
    let mut reach: BTreeSet<(usize, usize)> = needs.keys().copied().collect();
    let nodes: BTreeSet<usize> = reach.iter().flat_map(|(from, to)| [*from, *to]).collect();
    for through in &nodes {
        for from in &nodes {
            for to in &nodes {
                if reach.contains(&(*from, *through)) && reach.contains(&(*through, *to)) {
                    reach.insert((*from, *to));
                }
            }
        }
    }
    let together = |a: usize, b: usize| reach.contains(&(a, b)) && reach.contains(&(b, a));
    let name = |number: usize| source.modules.get(number).map(|one| one.name.clone()).unwrap_or_default();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for first in &nodes {
        if !together(*first, *first) || seen.contains(first) {
            continue;
        }
        let members: BTreeSet<usize> =
            nodes.iter().copied().filter(|other| together(*first, *other)).collect();
        seen.extend(members.iter().copied());
        let inside: Vec<_> = needs
            .keys()
            .copied()
            .filter(|(from, to)| members.contains(from) && members.contains(to))
            .collect();
        let needs = inside.into_iter().filter_map(|key| {
            let needs = needs.remove(&key)?;
            Some(((name(key.0), name(key.1)), needs))
        });
        circles.push(Circle {
            parent: source.path(parent),
            needs: needs.collect(),
            members: members.into_iter().map(name).collect(),
        });
    }
    circles
}

impl Source {
    /// Returns the numbers of a module's ancestors from the root on, and its own.
    fn ancestry(&self, number: usize) -> Vec<usize> {
        let mut line = vec![number];
        let mut at = number;
        while let Some(parent) = self.modules.get(at).and_then(|module| module.parent) {
            line.push(parent);
            at = parent;
        }
        line.reverse();
        line
    }

    fn path(&self, number: usize) -> String {
        let names = self.ancestry(number).into_iter().skip(1).filter_map(|one| self.modules.get(one));
        names.fold("crate".to_owned(), |path, module| format!("{path}::{}", module.name))
    }
}
