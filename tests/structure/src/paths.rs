//! Finds paths in tokens, so that those in macro calls are found, too.

use std::iter::Peekable;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path somewhere in a module.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

type Tokens = Peekable<proc_macro2::token_stream::IntoIter>;

/// Returns every path in these tokens. A path of one segment is only an identifier: most of them are local variables.
pub(crate) fn mentions(tokens: TokenStream) -> Vec<Mention> {
    let mut found = Vec::new();
    scan(tokens, &[], &mut found);
    found
}

fn scan(tokens: TokenStream, prefix: &[String], found: &mut Vec<Mention>) {
    let mut tokens = tokens.into_iter().peekable();
    // After a dot there is a field or a method.
    let mut member = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => scan(group.stream(), &[], found),
            TokenTree::Ident(ident) if !member => {
                let line = ident.span().start().line;
                let mut path = prefix.to_vec();
                path.push(ident.to_string());
                follow(&mut tokens, path, line, found);
            }
            _ => {}
        }
        member = false;
        if let Some(TokenTree::Punct(punct)) = tokens.peek() {
            if punct.as_char() == '.' {
                tokens.next();
                // Two or three dots are a range.
                member = !is_punct(&mut tokens, '.');
            }
        }
    }
}

/// Reads the segments after the first one.
fn follow(tokens: &mut Tokens, mut path: Vec<String>, line: usize, found: &mut Vec<Mention>) {
    while is_punct(tokens, ':') {
        let mut ahead = tokens.clone();
        ahead.next();
        if !is_punct(&mut ahead, ':') {
            break;
        }
        ahead.next();
        match ahead.peek() {
            Some(TokenTree::Ident(ident)) => {
                path.push(ident.to_string());
                ahead.next();
                *tokens = ahead;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let group = group.stream();
                ahead.next();
                *tokens = ahead;
                scan(group, &path, found);
                return;
            }
            _ => break,
        }
    }
    found.push(Mention { path, line });
}

fn is_punct(tokens: &mut Tokens, wanted: char) -> bool {
    matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Returns the methods that are called on `self`, with their lines.
pub(crate) fn calls_on_self(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for window in tokens.windows(4) {
        if let [
            TokenTree::Ident(receiver),
            TokenTree::Punct(dot),
            TokenTree::Ident(method),
            TokenTree::Group(arguments),
        ] = window
        {
            let call =
                receiver == "self" && dot.as_char() == '.' && arguments.delimiter() == Delimiter::Parenthesis;
            if call {
                found.push((method.to_string(), method.span().start().line));
            }
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            found.extend(calls_on_self(group.stream()));
        }
    }
    found
}
