//! A place among the tokens of a text.

use crate::pipeline::firewall::reason::shown;

use super::stop::{Result, Stop};
use super::token::{Kind, Token};

/// How deep braces and brackets may be nested. nft has no such bound of its own; nobody writes more than four.
const DEPTH_MAX: u32 = 64;

/// Reads tokens one after the other.
pub(super) struct Cursor<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: Vec<Token<'a>>) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.peek_behind(0)
    }

    /// The token that stands `skipped` tokens behind the next one.
    pub(super) fn peek_behind(&self, skipped: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at.saturating_add(skipped)).copied()
    }

    pub(super) fn take(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn is_at(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.is(text))
    }

    /// Whether the next token is one of these.
    pub(super) fn is_at_any(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.is_at(text))
    }

    /// Takes the next token if it is this one.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let is_at = self.is_at(text);
        self.at += usize::from(is_at);
        is_at
    }

    /// Takes the next token if it is one of these.
    pub(super) fn eat_any<'t>(&mut self, texts: &[&'t str]) -> Option<&'t str> {
        let found = texts.iter().find(|text| self.is_at(text))?;
        self.at += 1;
        Some(found)
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<()> {
        if self.eat(text) {
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// A name: a word that is not reserved.
    pub(super) fn name(&mut self) -> Result<&'a [u8]> {
        match self.peek() {
            Some(token) if matches!(token.kind, Kind::Word | Kind::Literal) => {
                self.at += 1;
                Ok(token.text)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A text with or without quotes.
    pub(super) fn string(&mut self) -> Result<&'a [u8]> {
        match self.peek() {
            Some(token) if matches!(token.kind, Kind::Quoted | Kind::Wildcard) => {
                self.at += 1;
                Ok(token.text)
            }
            _ => self.name(),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        match self.peek().map(|token| token.kind) {
            Some(Kind::Number(value)) => {
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn eat_newlines(&mut self) {
        while self.peek().is_some_and(|token| token.kind == Kind::Newline) {
            self.at += 1;
        }
    }

    /// Takes a separator. None is needed at the end, and before a brace that closes (nftables 1.0.6 wants one
    /// there, later ones do not).
    pub(super) fn end_statement(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(token) if token.is("}") => Ok(()),
            Some(token) if token.is_separator() => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.unexpected()),
        }
    }

    /// Whether nothing of the statement is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.peek()
            .is_none_or(|token| token.is_separator() || token.is("}"))
    }

    /// Skips what is left of the statement, with the braces in it.
    pub(super) fn skip_statement(&mut self) -> Result<()> {
        let mut depth = 0_u32;
        while let Some(token) = self.peek() {
            if depth == 0 && self.is_at_end() {
                return Ok(());
            }
            if token.is("{") {
                depth = depth.saturating_add(1);
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
            }
            self.at += 1;
        }
        if depth > 0 {
            return Err(self.unexpected());
        }
        Ok(())
    }

    /// Runs `read` one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Beyond("nested deeper than is followed"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The place, for [`text_since`](Self::text_since).
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// What was taken since `place`, as one text.
    pub(super) fn text_since(&self, place: usize) -> Vec<u8> {
        text_of(self.tokens.get(place..self.at).unwrap_or_default())
    }

    /// nft would say the same of the next token.
    pub(super) fn unexpected(&self) -> Stop {
        match self.peek() {
            Some(token) => {
                Stop::refused(format_args!("`{}` is not expected here", shown(token.text)))
            }
            None => Stop::refused(format_args!("the text ends too early")),
        }
    }
}

/// Tokens as one text: a space between two, none around `:`, `-` and `/`, before a comma and behind `@`.
fn text_of(tokens: &[Token<'_>]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut is_tight = true;
    for token in tokens.iter().filter(|token| !token.is_separator()) {
        let joins = token.is(":") || token.is("-") || token.is("/");
        if !is_tight && !joins && !token.is(",") {
            text.push(b' ');
        }
        if token.kind == Kind::Quoted {
            text.push(b'"');
            text.extend_from_slice(token.text);
            text.push(b'"');
        } else {
            text.extend_from_slice(token.text);
        }
        is_tight = joins || token.is("@");
    }
    text
}
