//! Takes personal data out of a text: masked character by character, or replaced by the name of its kind.
//!
//! Positions stay exact whatever the text holds: what is masked keeps its number of code points, so that
//! positions counted in them are the same before and after; what is replaced does not, and each finding says
//! where it stands in both texts.

use super::{PiiEntity, PiiKind};
use crate::error::Result;
use crate::offsets::{Extent, Offsets};
use std::collections::BTreeSet;

/// What is put in the place of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This character for each code point.
    Mask(char),
    /// The kind's name in square brackets: `[NAME]`.
    Replace,
}

/// What to take out, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Redaction {
    /// What is put in its place.
    pub mode: Mode,
    /// Kinds to take out; all when `None`.
    pub kinds: Option<BTreeSet<PiiKind>>,
    /// Findings with a lower score stay in the text.
    pub min_score: f32,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            mode: Mode::Mask('*'),
            kinds: None,
            min_score: 0.0,
        }
    }
}

/// A text without its personal data.
#[derive(Clone, Debug, PartialEq)]
pub struct Redacted {
    /// The text.
    pub text: String,
    /// What was taken out, in order, each with where it now stands in [`Redacted::text`].
    pub entities: Vec<(PiiEntity, Extent)>,
}

impl Redaction {
    fn takes(&self, entity: &PiiEntity) -> bool {
        let kind = self.kinds.as_ref();
        entity.score >= self.min_score && kind.is_none_or(|kinds| kinds.contains(&entity.kind))
    }

    /// Takes what was found in a text out of it. `found` is in the order of the text and does not overlap, as
    /// [`super::detect`] answers it.
    ///
    /// # Errors
    /// `Internal` when a finding does not fit the text.
    pub fn apply(&self, text: &str, found: &[PiiEntity]) -> Result<Redacted> {
        let offsets = Offsets::new(text);
        let mut redacted = String::with_capacity(text.len());
        let mut places = Vec::new();
        let mut at = 0;
        for entity in found.iter().filter(|entity| self.takes(entity)) {
            let Extent {
                begin_byte,
                end_byte,
                ..
            } = entity.extent;
            offsets.extent(begin_byte..end_byte)?;
            offsets.extent(at..begin_byte)?;
            redacted.push_str(&text[at..begin_byte]);
            let start = redacted.len();
            match self.mode {
                Mode::Mask(mask) => {
                    let hidden = text[begin_byte..end_byte].chars().count();
                    redacted.extend(std::iter::repeat_n(mask, hidden));
                }
                Mode::Replace => {
                    redacted.push('[');
                    redacted.push_str(entity.kind.name());
                    redacted.push(']');
                }
            }
            places.push((*entity, start..redacted.len()));
            at = end_byte;
        }
        redacted.push_str(&text[at..]);
        let offsets = Offsets::new(&redacted);
        let entities = places
            .into_iter()
            .map(|(entity, bytes)| Ok((entity, offsets.extent(bytes)?)))
            .collect::<Result<_>>()?;
        Ok(Redacted {
            text: redacted,
            entities,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::detect;
    use super::*;
    use proptest::prelude::*;

    fn redacted(text: &str, redaction: &Redaction) -> Redacted {
        let found = detect(text, None).expect("no rule tears a character");
        redaction.apply(text, &found).expect("fits")
    }

    #[test]
    fn masked_and_replaced_with_exact_positions() {
        let text = "👩🏽‍🚀 שלום ada@example.com, \u{202b}IP 192.0.2.44\u{202c} é";
        let masked = redacted(text, &Redaction::default());
        assert_eq!(
            masked.text,
            "👩🏽‍🚀 שלום ***************, \u{202b}IP **********\u{202c} é"
        );
        for (entity, place) in &masked.entities {
            let before = (entity.extent.begin, entity.extent.end);
            assert_eq!(before, (place.begin, place.end));
        }
        let replace = Redaction {
            mode: Mode::Replace,
            ..Redaction::default()
        };
        let replaced = redacted(text, &replace);
        assert_eq!(
            replaced.text,
            "👩🏽‍🚀 שלום [EMAIL], \u{202b}IP [IP_ADDRESS]\u{202c} é"
        );
        let parts: Vec<&str> = replaced
            .entities
            .iter()
            .map(|(_, place)| place.of(&replaced.text))
            .collect();
        assert_eq!(parts, ["[EMAIL]", "[IP_ADDRESS]"]);
        let wide = Redaction {
            mode: Mode::Mask('█'),
            kinds: Some([PiiKind::IpAddress].into()),
            ..Redaction::default()
        };
        assert!(
            redacted(text, &wide)
                .text
                .contains("ada@example.com, \u{202b}IP ██████████")
        );
    }

    #[test]
    fn kinds_and_scores_are_kept_to() {
        let text = "ada@example.com or see example.org";
        let mut found = detect(text, None).expect("no rule tears a character");
        for (entity, score) in found.iter_mut().zip([0.75, 0.5]) {
            entity.score = score;
        }
        for (min_score, wanted) in [
            (0.75, "*************** or see example.org"),
            (0.5, "*************** or see ***********"),
            (0.8, text),
        ] {
            let redaction = Redaction {
                min_score,
                ..Redaction::default()
            };
            let redacted = redaction.apply(text, &found).expect("fits");
            assert_eq!(redacted.text, wanted);
        }
    }

    proptest! {
        #[test]
        fn masks_keep_code_points_and_leave_nothing_to_find(
            text in "(?:\\PC|[0-9@:./ -]|a@example\\.com|192\\.0\\.2\\.44|👩🏽‍🚀|שלום ){0,40}"
        ) {
            let found = detect(&text, None).expect("no rule tears a character");
            let masked = Redaction::default().apply(&text, &found).expect("fits");
            prop_assert_eq!(masked.text.chars().count(), text.chars().count());
            let mut hidden = vec![false; text.chars().count()];
            for entity in &found {
                hidden[entity.extent.begin..entity.extent.end].fill(true);
            }
            for ((old, new), hidden) in text.chars().zip(masked.text.chars()).zip(hidden) {
                prop_assert_eq!(new, if hidden { '*' } else { old });
            }
        }
    }
}
