//! Texts that are continued side by side.
//!
//! A token of one text takes as long as the weights take to be read; tokens of several texts are read for in one go. So each
//! step takes one token of every text that is being written, and beside them some of those that wait to be read: a text that
//! comes is not waited for by those that are there (Yu et al. 2022, "Orca", OSDI; Agrawal et al. 2023, arXiv:2308.16369). What
//! is said of a text is the same, to the bit, whatever is beside it.

use super::network::{CHUNK, Kept, Part, Workspace};
use super::{Chosen, Continuer, Continuing, Ended};
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::kernels::shared::SharedSlice;
use std::sync::OnceLock;

/// Tokens of texts that are still read, in a step that writes others as well: those wait as long as these take.
const BESIDE: usize = 32;

/// Texts that are being continued. Their numbers are given in the order in which they come.
#[derive(Default)]
pub struct Batch {
    texts: Vec<Text>,
    came: u64,
    workspace: Workspace,
}

struct Text {
    number: u64,
    how: Continuing,
    /// Of the text and what follows it.
    tokens: Vec<u32>,
    /// How many of them the text itself has.
    given: usize,
    /// How many went through the network.
    read: usize,
    kept: Kept,
}

/// What a step did to a text.
#[derive(Debug)]
pub struct Step {
    /// Its number.
    pub text: u64,
    /// The token that was chosen, and why none follows it where that is so. A text that failed is no longer continued, either.
    pub next: Result<(Chosen, Option<Ended>)>,
}

impl Batch {
    /// A text that joins the others, and its number.
    ///
    /// # Errors
    /// When it has no tokens, more with those that may follow than the network has positions, or one that is not known, or when
    /// none may follow.
    pub fn add(&mut self, network: &Continuer, tokens: Vec<u32>, how: Continuing) -> Result<u64> {
        let room = network.room(tokens.len().saturating_add(how.most))?;
        if tokens.is_empty() {
            return Err(Error::unsupported("0 tokens have nothing that follows"));
        }
        if how.most == 0 {
            return Err(Error::unsupported("0 tokens may follow"));
        }
        network.network.knows(&tokens)?;
        self.came += 1;
        self.texts.push(Text {
            number: self.came,
            how,
            given: tokens.len(),
            read: 0,
            tokens,
            kept: Kept::new(network.config(), room),
        });
        Ok(self.came)
    }

    /// Takes a text out.
    pub fn remove(&mut self, number: u64) {
        self.texts.retain(|text| text.number != number);
    }

    /// Texts that are there.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Goes on by a token with each text, as far as they are read; tells what was chosen.
    ///
    /// # Errors
    /// When the network fails for all of them.
    pub fn step(&mut self, network: &Continuer, compute: &Compute) -> Result<Vec<Step>> {
        let going = self.going();
        let mut parts = Vec::with_capacity(going.len());
        for (text, &count) in self.texts.iter_mut().zip(&going) {
            if count > 0 {
                let end = text.read + count;
                parts.push(Part {
                    kept: &mut text.kept,
                    tokens: &text.tokens[text.read..end],
                    told: end == text.tokens.len(),
                });
                text.read = end;
            }
        }
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let scores = network
            .network
            .read(&compute.team, &mut self.workspace, &mut parts)?;
        let told = self.texts.iter().zip(&going);
        let told = told.filter(|(text, count)| **count > 0 && text.read == text.tokens.len());
        let told: Vec<&Text> = told.map(|(text, _)| text).collect();
        let vocabulary = network.config().vocab_size;
        let chosen: Vec<OnceLock<Result<Chosen>>> = told.iter().map(|_| OnceLock::new()).collect();
        let scores = SharedSlice::new(scores);
        compute.team.run(|member| {
            for at in (member.index()..told.len()).step_by(member.count()) {
                let own = scores.at(at * vocabulary, vocabulary);
                // SAFETY: `at` checked that these are inside; each text's are of one member.
                let own = unsafe { std::slice::from_raw_parts_mut(own, vocabulary) };
                // Nobody else sets it.
                let _ = chosen[at].set(told[at].choose(own));
            }
        });
        let steps = told.into_iter().zip(chosen).map(|(text, chosen)| {
            let next = chosen.into_inner().unwrap_or(Err(Error::NotFinite));
            let next = next.map(|next| (next, text.ended(network, next)));
            Step {
                text: text.number,
                next,
            }
        });
        let steps: Vec<Step> = steps.collect();
        for step in &steps {
            match &step.next {
                Ok((next, None)) => {
                    let mut texts = self.texts.iter_mut();
                    if let Some(text) = texts.find(|text| text.number == step.text) {
                        text.tokens.push(next.token);
                    }
                }
                _ => self.remove(step.text),
            }
        }
        Ok(steps)
    }

    /// How many tokens of each text go through the network next.
    fn going(&self) -> Vec<usize> {
        let left = |text: &Text| text.tokens.len() - text.read;
        let writes = self.texts.iter().any(|text| left(text) == 1);
        let mut room = if writes { BESIDE } else { CHUNK };
        let going = self.texts.iter().map(|text| match left(text) {
            1 => 1,
            many => {
                let some = many.min(room);
                room -= some;
                some
            }
        });
        going.collect()
    }
}

impl Text {
    /// Whether nothing follows this token, and why.
    fn ended(&self, network: &Continuer, next: Chosen) -> Option<Ended> {
        let new = self.tokens.len() + 1 - self.given;
        match network.ends(&self.how).contains(&next.token) {
            true => Some(Ended::Token),
            false => (new >= self.how.most).then_some(Ended::Length),
        }
    }

    /// The token that follows, by the scores of all.
    fn choose(&self, scores: &mut [f32]) -> Result<Chosen> {
        if !scores.iter().all(|score| score.is_finite()) {
            return Err(Error::NotFinite);
        }
        let (highest, all) = shares(scores);
        let before = scores.to_vec();
        let new = self.tokens.len() - self.given;
        let token = self.how.choice.of(scores, &self.tokens, new as u64);
        let own = before.get(token as usize).copied();
        let own = own.unwrap_or(f32::NEG_INFINITY);
        Ok(Chosen {
            token,
            logarithm: (f64::from(own - highest) - all.ln()) as f32,
        })
    }
}

/// The highest score, and the sum of what all have beside it.
fn shares(scores: &[f32]) -> (f32, f64) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let parts = scores
        .iter()
        .map(|score| f64::from((score - highest).exp()));
    (highest, parts.sum())
}
