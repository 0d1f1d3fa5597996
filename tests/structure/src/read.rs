//! Reads the files of a crate into a tree of modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use proc_macro2::{LineColumn, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Item, ItemImpl, UseTree};

use crate::paths::{Mention, mentions};

/// The source of one crate.
#[derive(Debug)]
pub struct Source {
    pub(crate) modules: Vec<Module>,
    /// The number of lines, without those of tests.
    pub lines: usize,
}

/// One module. Its place in [`Source::modules`] is its number; the root is number 0.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) parent: Option<usize>,
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) children: BTreeMap<String, usize>,
    /// The names that `use` brings in, each with the path behind it.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
    /// The paths of `use …::*`.
    pub(crate) globs: Vec<Vec<String>>,
    /// What is defined here.
    pub(crate) items: BTreeSet<String>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) impls: Vec<Impl>,
}

/// One `impl TYPE` or `impl TRAIT for TYPE`.
#[derive(Debug)]
pub(crate) struct Impl {
    pub(crate) target: Vec<String>,
    /// Empty for the implementation of a trait: its methods are found through the trait.
    pub(crate) methods: BTreeSet<String>,
    /// The methods that the bodies call on `self`, and the lines of these calls.
    pub(crate) calls: Vec<(String, usize)>,
}

/// Why a crate cannot be read.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Io(PathBuf, io::Error),
    /// A file is not Rust.
    Syntax(PathBuf, syn::Error),
    /// The file of this module is missing.
    Missing(PathBuf, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Syntax(file, error) => write!(f, "cannot parse {}: {error}", file.display()),
            Self::Missing(file, name) => {
                write!(f, "{}: the file of the module {name} is missing", file.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// Reads the crate with this root file (`lib.rs` or `main.rs`).
///
/// # Errors
/// When a file is missing or is not Rust.
pub fn read(root: &Path) -> Result<Source, Error> {
    let mut source = Source { modules: Vec::new(), lines: 0 };
    let directory = root.parent().unwrap_or(Path::new(""));
    source.file(None, String::new(), root, directory)?;
    Ok(source)
}

impl Source {
    /// Reads one file. The files of its child modules are in `directory`.
    fn file(
        &mut self,
        parent: Option<usize>,
        name: String,
        file: &Path,
        directory: &Path,
    ) -> Result<usize, Error> {
        let text = fs::read_to_string(file).map_err(|error| Error::Io(file.to_owned(), error))?;
        let parsed = syn::parse_file(&text).map_err(|error| Error::Syntax(file.to_owned(), error))?;
        self.lines += text.lines().count();
        self.module(parent, name, file, directory, parsed.items)
    }

    fn module(
        &mut self,
        parent: Option<usize>,
        name: String,
        file: &Path,
        directory: &Path,
        items: Vec<Item>,
    ) -> Result<usize, Error> {
        let number = self.modules.len();
        self.modules.push(Module {
            parent,
            name,
            file: file.to_owned(),
            children: BTreeMap::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            items: BTreeSet::new(),
            mentions: Vec::new(),
            impls: Vec::new(),
        });
        for item in items {
            if attributes(&item).iter().any(is_test) {
                self.lines -= item_lines(&item);
                continue;
            }
            let Item::Mod(module) = item else {
                if let Some(here) = self.modules.get_mut(number) {
                    here.item(item);
                }
                continue;
            };
            let name = module.ident.to_string();
            let inner = directory.join(&name);
            let child = if let Some((_, items)) = module.content {
                self.module(Some(number), name.clone(), file, &inner, items)?
            } else {
                let places = [directory.join(format!("{name}.rs")), inner.join("mod.rs")];
                let found = places.iter().find(|place| place.is_file());
                let found = found.ok_or_else(|| Error::Missing(file.to_owned(), name.clone()))?;
                self.file(Some(number), name.clone(), found, &inner)?
            };
            if let Some(here) = self.modules.get_mut(number) {
                here.children.insert(name, child);
            }
        }
        Ok(number)
    }
}

impl Module {
    fn item(&mut self, item: Item) {
        match item {
            Item::Use(item) => {
                let line = item.span().start().line;
                self.import(&item.tree, &mut Vec::new(), line);
            }
            Item::Impl(item) => self.implementation(item),
            item => {
                self.items.extend(defined(&item));
                self.mentions.extend(mentions(item.into_token_stream()));
            }
        }
    }

    fn import(&mut self, tree: &UseTree, prefix: &mut Vec<String>, line: usize) {
        let mut add = |name: String, path: Vec<String>| {
            self.mentions.push(Mention { path: path.clone(), line });
            self.imports.insert(name, path);
        };
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(&path.tree, prefix, line);
                prefix.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix, line);
                }
            }
            UseTree::Glob(_) => {
                self.mentions.push(Mention { path: prefix.clone(), line });
                self.globs.push(prefix.clone());
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = prefix.last().cloned().unwrap_or_default();
                add(last, prefix.clone());
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                add(name.clone(), [prefix.as_slice(), &[name]].concat());
            }
            UseTree::Rename(rename) => {
                let mut path = prefix.clone();
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                add(rename.rename.to_string(), path);
            }
        }
    }

    fn implementation(&mut self, mut item: ItemImpl) {
        item.items.retain(|item| !member_attributes(item).iter().any(is_test));
        let mut target = Vec::new();
        if let syn::Type::Path(path) = &*item.self_ty {
            target = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        }
        let functions = item.items.iter().filter_map(|item| match item {
            syn::ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
            _ => None,
        });
        let methods = if item.trait_.is_some() { BTreeSet::new() } else { functions.collect() };
        let tokens = item.into_token_stream();
        let calls = crate::paths::calls_on_self(tokens.clone());
        self.mentions.extend(mentions(tokens));
        self.impls.push(Impl { target, methods, calls });
    }
}

/// The names that an item defines.
fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn member_attributes(item: &syn::ImplItem) -> &[Attribute] {
    match item {
        syn::ImplItem::Const(item) => &item.attrs,
        syn::ImplItem::Fn(item) => &item.attrs,
        syn::ImplItem::Type(item) => &item.attrs,
        _ => &[],
    }
}

/// Reports whether this is `#[cfg(test)]` or a `cfg` that needs `test` among others.
fn is_test(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && needs_test(&list.tokens)
}

fn needs_test(condition: &TokenStream) -> bool {
    let words = condition.to_string();
    let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
    let first = words.clone().next();
    matches!(first, Some("test" | "all")) && words.any(|word| word == "test")
}

fn item_lines(item: &Item) -> usize {
    let LineColumn { line: start, .. } = item.span().start();
    item.span().end().line + 1 - start
}
