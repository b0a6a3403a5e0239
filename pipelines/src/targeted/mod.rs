//! Who and what an English text speaks of, and the sentiment towards each.
//!
//! ```text
//! text ─ reading (crate::syntax) ─ mentions ─┬ groups: which name the same thing
//!                                            └ scope: the words that judge each ─ sentiment of those words
//! ```
//!
//! * [`mentions`]: the heads of noun phrases, names, amounts and times, pronouns; [`types`] says what each is.
//! * [`groups`]: mentions that name the same thing, by rules over the tree of dependencies.
//! * [`scope`]: for each mention the clause, or only the noun phrase, in which it is judged. "The soup was great
//!   but the waiter ignored us" is two clauses, and each has a sentiment of its own.
//!
//! The sentiment of those words is a classifier's ([`Scores`]); this module only decides which words it sees. A
//! mention of which nothing is said (`on Monday`, `I`) is neutral without being asked about.
//!
//! It is done in two steps so that the clauses of several texts can be classified together: [`Plan::of`] gives the
//! clauses, [`Plan::answer`] takes their scores. Both are linear in the length of the text: what is looked at
//! around a mention is bounded ([`scope::WINDOW`], [`groups::REACH`]).

pub mod groups;
pub mod mentions;
pub mod scope;
mod task;
mod tree;
pub mod types;

#[cfg(test)]
mod tests;

use crate::error::{Error, Kind, Result};
use crate::offsets::{Extent, Offsets};
use crate::sentiment::likeliest;
pub use crate::sentiment::{Scores, Sentiment};
use crate::syntax::{Syntax, names};
use mentions::Mention;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
pub use task::{LANGUAGES, Sentences, TargetedPipeline, TargetedTask};
use tree::Tree;

names! {
    /// What a mention names, as Comprehend tells them apart.
    TargetType {
        /// A person, a group of people, a character.
        Person = "PERSON",
        /// A country, city, landscape or address.
        Location = "LOCATION",
        /// A government, company, team or religion.
        Organization = "ORGANIZATION",
        /// A building, room, road or other lasting structure.
        Facility = "FACILITY",
        /// The producer of a line of products.
        Brand = "BRAND",
        /// A particular product; any vehicle.
        CommercialItem = "COMMERCIAL_ITEM",
        /// A film or television show.
        Movie = "MOVIE",
        /// A song, an album.
        Music = "MUSIC",
        /// A book.
        Book = "BOOK",
        /// A program, app or website.
        Software = "SOFTWARE",
        /// A game or sport.
        Game = "GAME",
        /// An official title, as `Dr.`.
        PersonalTitle = "PERSONAL_TITLE",
        /// A festival, election, storm.
        Event = "EVENT",
        /// A date or time.
        Date = "DATE",
        /// An amount.
        Quantity = "QUANTITY",
        /// A property of something: its price, quality, speed.
        Attribute = "ATTRIBUTE",
        /// Anything else.
        Other = "OTHER",
    }
}

/// A place where the text names something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Where it stands.
    pub extent: Extent,
    /// What it names.
    pub kind: TargetType,
    /// How sure it is that this is a mention: the reading's probability of the name or of the word's tag.
    pub score: f32,
    /// How sure it is that it belongs to its group; set by hand for each rule, 1 for a group's first.
    pub group_score: f32,
    /// Probabilities of the four sentiments towards it.
    pub scores: Scores,
}

impl Target {
    /// The likeliest sentiment; the first of several that are equally likely.
    pub fn sentiment(&self) -> Sentiment {
        likeliest(&self.scores)
    }
}

/// Mentions of the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Indices of the mentions that name it best.
    pub descriptive: Vec<usize>,
    /// In the order of the text.
    pub mentions: Vec<Target>,
}

/// What a text speaks of, in the order of the first mentions.
pub type Targeted = Vec<Group>;

/// The scores of what nothing is said about.
const NEUTRAL: Scores = [0.0, 0.0, 1.0, 0.0];

/// Where a mention's scores come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged {
    /// Index among the clauses; `None` when nothing is said.
    clause: Option<usize>,
    /// What is good in the clause is bad for the mention, and the other way round.
    turned: bool,
}

/// A text whose mentions are found and whose clauses wait for their sentiment.
pub struct Plan {
    clauses: Vec<String>,
    mentions: Vec<(Target, Judged)>,
    /// Indices of mentions, and which of a group's name it best.
    groups: Vec<(Vec<usize>, Vec<usize>)>,
}

impl Plan {
    /// Finds what a text speaks of.
    ///
    /// # Errors
    /// `Internal` when the reading is not of this text.
    pub fn of(text: &str, syntax: &Syntax) -> Result<Self> {
        let tree = Tree::of(text, syntax)?;
        let mut found = mentions::find(&tree, syntax);
        let groups = groups::group(&tree, &mut found);
        let offsets = Offsets::new(text);
        let mut clauses = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut mentions = Vec::with_capacity(found.len());
        for mention in &found {
            let judged = match scope::of(&tree, mention) {
                None => Judged {
                    clause: None,
                    turned: false,
                },
                Some(scope) => {
                    let clause = tree.phrase(&scope.words);
                    let place = places.entry(clause).or_insert_with_key(|clause| {
                        clauses.push(clause.clone());
                        clauses.len() - 1
                    });
                    Judged {
                        clause: Some(*place),
                        turned: scope.turned,
                    }
                }
            };
            let target = Target {
                extent: offsets.extent(tree.bytes(&mention.words))?,
                kind: mention.kind,
                score: mention.score,
                group_score: 1.0,
                scores: NEUTRAL,
            };
            mentions.push((target, judged));
        }
        for group in &groups {
            for &(member, score) in group {
                mentions[member].0.group_score = score;
            }
        }
        let groups = groups
            .iter()
            .map(|group| {
                let members: Vec<usize> = group.iter().map(|(member, _)| *member).collect();
                let best = descriptive(&tree, &found, &members);
                (members, best)
            })
            .collect();
        Ok(Self {
            clauses,
            mentions,
            groups,
        })
    }

    /// The texts whose sentiment is wanted; no two are equal.
    pub fn clauses(&self) -> &[String] {
        &self.clauses
    }

    /// The answer, given the sentiment of each clause.
    ///
    /// # Errors
    /// `Internal` when there are not as many scores as clauses, or one is no probability.
    pub fn answer(self, scores: &[Scores]) -> Result<Targeted> {
        let wrong = |message| Error::new(Kind::Internal, message);
        if scores.len() != self.clauses.len() {
            let (have, want) = (scores.len(), self.clauses.len());
            return Err(wrong(format!("{have} scores for {want} clauses")));
        }
        if let Some(bad) = scores
            .iter()
            .flatten()
            .find(|score| !(0.0..=1.001).contains(*score))
        {
            return Err(wrong(format!("the model answered the score {bad}")));
        }
        let judge = |(mut target, judged): (Target, Judged)| {
            if let Some(clause) = judged.clause {
                let [positive, negative, neutral, mixed] = scores[clause];
                target.scores = match judged.turned {
                    true => [negative, positive, neutral, mixed],
                    false => [positive, negative, neutral, mixed],
                };
            }
            Some(target)
        };
        let mut targets: Vec<Option<Target>> = self.mentions.into_iter().map(judge).collect();
        let group = |(members, descriptive): (Vec<usize>, Vec<usize>)| Group {
            mentions: members
                .iter()
                .filter_map(|member| targets[*member].take())
                .collect(),
            descriptive,
        };
        Ok(self.groups.into_iter().map(group).collect())
    }
}

/// Which members of a group name it best: the longest name, else the longest noun, else the first pronoun; with
/// those that say the same.
fn descriptive(tree: &Tree<'_>, found: &[Mention], members: &[usize]) -> Vec<usize> {
    let text = |member: usize| tree.text_of(&found[member].words);
    let rank = |member: usize| (found[member].form.rank(), text(member).len());
    let Some(&best) = members.iter().rev().max_by_key(|member| rank(**member)) else {
        return Vec::new();
    };
    let same = |member: &usize| text(*member).eq_ignore_ascii_case(text(best));
    match found[best].form {
        // Pronouns that are alike may still be somebody else's words: the first one stands for all.
        mentions::Form::Pronoun(_) => vec![0],
        _ => (0..members.len())
            .filter(|place| same(&members[*place]))
            .collect(),
    }
}
