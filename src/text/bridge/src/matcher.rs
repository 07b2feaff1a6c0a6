// SPDX-License-Identifier: Apache-2.0
//! The place of one sequence in a grammar. llguidance knows one end token; every token that ends a
//! generation stands for it here.

use std::fmt::Display;
use std::sync::Arc;

use llguidance::{Matcher, TokenParser};

use crate::grammar::readable;
use crate::status::{Code, Failure};

pub struct SequenceMatcher {
    matcher: Matcher,
    ends: Arc<[u32]>,
    /// Tokens that `matcher` has taken.
    taken: usize,
    is_ended: bool,
    /// The end token came where nothing else could: `matcher` has not seen it.
    is_end_unseen: bool,
}

fn failure(error: &impl Display) -> Failure {
    let text = readable(error);
    Failure::new(Code::Exhausted, format!("the grammar cannot be followed any further: {text}"))
}

impl SequenceMatcher {
    pub fn new(parser: TokenParser, ends: Arc<[u32]>) -> Self {
        let matcher = Matcher::new(Ok(parser));
        Self { matcher, ends, taken: 0, is_ended: false, is_end_unseen: false }
    }

    pub fn fork(&self) -> Self {
        Self { matcher: self.matcher.deep_clone(), ends: Arc::clone(&self.ends), ..*self }
    }

    /// `bits` are as many words as the vocabulary needs.
    pub fn mask(&mut self, bits: &mut [u32]) -> Result<(), Failure> {
        bits.fill(0);
        let mut may_end = self.is_done()?;
        if !may_end {
            let mask = self.matcher.compute_mask().map_err(|error| failure(&error))?;
            let words = mask.as_slice();
            bits.copy_from_slice(&words[..bits.len()]);
            may_end = self.ends.first().is_some_and(|end| mask.is_allowed(*end));
        }
        if may_end {
            for end in self.ends.iter() {
                bits[(*end / 32) as usize] |= 1 << (*end % 32);
            }
        }
        Ok(())
    }

    /// False, and nothing changed, when the token may not come next.
    pub fn accept(&mut self, token: u32) -> Result<bool, Failure> {
        let is_end = self.ends.contains(&token);
        let is_done = self.is_done()?;
        if self.is_ended || (is_done && !is_end) {
            return Ok(false);
        }
        if is_done {
            self.is_ended = true;
            self.is_end_unseen = true;
            return Ok(true);
        }
        let token = if is_end { self.ends[0] } else { token };
        let count = self.matcher.try_consume_tokens(&[token]).map_err(|error| failure(&error))?;
        if count == 1 {
            self.taken += 1;
            self.is_ended = is_end;
        }
        Ok(count == 1)
    }

    /// Takes back the last `count` tokens, the end token among them.
    pub fn rollback(&mut self, count: usize) -> Result<(), Failure> {
        let accepted = self.taken + usize::from(self.is_end_unseen);
        if count > accepted {
            let message = format!("{count} tokens cannot be taken back, {accepted} were accepted");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        if count == 0 {
            return Ok(());
        }
        let seen = count - usize::from(self.is_end_unseen);
        self.matcher.rollback(seen).map_err(|error| failure(&error))?;
        self.taken -= seen;
        self.is_ended = false;
        self.is_end_unseen = false;
        Ok(())
    }

    /// Nothing but an end token may follow.
    pub fn is_done(&self) -> Result<bool, Failure> {
        if let Some(text) = self.matcher.get_error() {
            return Err(failure(&text));
        }
        if self.matcher.is_stopped() && !self.matcher.stop_reason().is_ok() {
            return Err(failure(&self.matcher.stop_reason()));
        }
        Ok(self.matcher.is_stopped())
    }

    /// An end token may come next.
    pub fn may_end(&mut self) -> Result<bool, Failure> {
        Ok(self.is_done()? || self.matcher.is_accepting().map_err(|error| failure(&error))?)
    }

    /// The only tokens that may come next, as far as there is no choice.
    pub fn forced(&mut self) -> Result<Vec<i32>, Failure> {
        if self.is_done()? {
            return Ok(Vec::new());
        }
        Ok(self.matcher.compute_ff_tokens().into_iter().map(|id| id as i32).collect())
    }

    /// How many of `tokens`, one after the other, may come next. Nothing changes.
    pub fn validate(&mut self, tokens: &[u32]) -> Result<usize, Failure> {
        if self.is_ended || self.is_done()? {
            let ends = !self.is_ended && tokens.first().is_some_and(|id| self.ends.contains(id));
            return Ok(usize::from(ends));
        }
        let end_of = |id: &u32| if self.ends.contains(id) { self.ends[0] } else { *id };
        let tokens: Vec<u32> = tokens.iter().map(end_of).collect();
        self.matcher.validate_tokens(&tokens).map_err(|error| failure(&error))
    }
}
