//! Scores that agree, on average, with how often their makers found the models right.
//!
//! The networks' own probabilities are sure of too much in some views and of too little in others. There are no
//! labelled texts here to measure that on, but the models come with precision by type of entity, accuracy of tags
//! and precision by relation on held-out texts (`published.tsv`). So each view is calibrated in the large: one
//! number, a group's offset, is added to the log-odds of its scores, so that their mean over newspaper texts is the
//! published figure:
//!
//! ```text
//! score = 1 / (1 + exp(-(ln(p / (1 - p)) + offset)))
//! ```
//!
//! An offset and no temperature: a temperature leaves what is above one half above it, and names of buildings, laws
//! and works are right less often than that. The order of scores of one group never changes. The published figure of
//! noun phrases is not known: theirs is the mean published precision of the relations of their words, which is what
//! their score is about.
//!
//! `scores.tsv` holds the offsets; `tests/syntax_scores.rs` makes it, holds it to the texts and says how to write it
//! anew. Groups whose mean is within [`CLOSE`] of the figure have none. What is matched is the mean alone, on texts
//! that are not those on which the figures were measured; `README.md` says more.

use escala_models::spacy::Language;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Means nearer than this to their figure are left as they are.
pub const CLOSE: f64 = 0.01;

/// Stands for all labels that have no line of their own.
pub const REST: &str = "*";

/// The code of a language in the tables.
pub fn code(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Spanish => "es",
    }
}

/// What is added to the log-odds of scores in one language.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offsets {
    tag: f64,
    phrase: f64,
    /// By the recogniser's label, [`REST`] among them.
    entities: HashMap<&'static str, f64>,
}

static ENGLISH: LazyLock<Offsets> = LazyLock::new(|| Offsets::read(Language::English));
static SPANISH: LazyLock<Offsets> = LazyLock::new(|| Offsets::read(Language::Spanish));

impl Offsets {
    /// The offsets of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Spanish => &SPANISH,
        }
    }

    fn read(language: Language) -> Self {
        let mut offsets = Self::default();
        let lines = include_str!("scores.tsv").lines();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let cells: Vec<&'static str> = line.split('\t').collect();
            // A test holds every line to this form.
            let [of, view, label, .., offset] = cells[..] else {
                continue;
            };
            let Ok(offset) = offset.parse::<f64>() else {
                continue;
            };
            if of != code(language) {
                continue;
            }
            match view {
                "tag" => offsets.tag = offset,
                "phrase" => offsets.phrase = offset,
                _ => drop(offsets.entities.insert(label, offset)),
            }
        }
        offsets
    }

    /// The score of a tag that had this probability.
    pub fn tag(&self, probability: f32) -> f32 {
        shifted(probability, self.tag)
    }

    /// The score of a noun phrase.
    pub fn phrase(&self, probability: f32) -> f32 {
        shifted(probability, self.phrase)
    }

    /// The score of an entity to which the recogniser gave this label.
    pub fn entity(&self, label: &str, probability: f32) -> f32 {
        let offset = self.entities.get(label).or(self.entities.get(REST));
        shifted(probability, offset.copied().unwrap_or(0.0))
    }
}

/// A probability with something added to its log-odds; 0 and 1 stay.
pub fn shifted(probability: f32, offset: f64) -> f32 {
    if offset == 0.0 {
        return probability;
    }
    let p = f64::from(probability);
    let odds = p * offset.exp();
    // p' = odds / (1 - p + odds), the same as in log-odds, without infinities.
    (odds / (1.0 - p + odds)).clamp(0.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = include_str!("scores.tsv").lines();
        let mut count = 0;
        for line in lines.filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            let [language, view, label, number, mean, published, offset] = cells[..] else {
                panic!("{line}");
            };
            let language = match language {
                "en" => Language::English,
                "es" => Language::Spanish,
                _ => panic!("{line}"),
            };
            let offset: f64 = offset.parse().expect(line);
            let offsets = Offsets::of(language);
            let read = match view {
                "tag" => offsets.tag,
                "phrase" => offsets.phrase,
                "entity" => offsets.entities[label],
                _ => panic!("{line}"),
            };
            assert_eq!(read, offset, "{line}");
            assert!(offset.abs() < 5.0 && number.parse::<usize>().expect(line) > 0);
            let (mean, published): (f64, f64) =
                (mean.parse().expect(line), published.parse().expect(line));
            assert!(
                offset == 0.0 || (offset > 0.0) == (published > mean),
                "{line}"
            );
            count += 1;
        }
        assert!(count >= 10);
    }

    #[test]
    fn log_odds_are_shifted() {
        assert_eq!(shifted(0.7, 0.0), 0.7);
        assert!((shifted(0.5, 1.0) - 0.731_058_6).abs() < 1e-6);
        assert!((shifted(0.731_058_6, -1.0) - 0.5).abs() < 1e-6);
        assert_eq!((shifted(0.0, 2.0), shifted(1.0, -2.0)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn scores_stay_probabilities_in_their_order(a in 0.0f32..=1.0, b in 0.0f32..=1.0, offset in -5.0f64..5.0) {
            let (low, high) = (shifted(a.min(b), offset), shifted(a.max(b), offset));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
            prop_assert!(a == 0.0 || low > 0.0 || a.min(b) < 1e-30);
        }
    }
}
