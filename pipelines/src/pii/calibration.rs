//! Scores that mean what they say: how often findings like this one were right on texts with known answers.
//!
//! A family is what one rule finds on one ground: a kind, its evidence, and the rule's own score (a word beside the
//! number or none); the model's probabilities fall into five bands. `calibration.tsv` counts, for each family, its
//! findings in the development half of the corpus of `tests/pii` (generated texts, near misses, clean texts and
//! prose) and how many overlap something of their kind. A score is the share that was right, smoothed by two
//! findings' worth of the rule's own score (Laplace's rule with that prior in the place of one half):
//!
//! ```text
//! score = (right + 2 · own) / (found + 2)
//! ```
//!
//! So a family that the corpus knows well has its measured precision, and one that it does not know keeps the score
//! set by hand. The test `pii` counts again, refuses a table that differs, and prints scores beside precision in
//! the half that nothing was fitted on. What the corpus's near misses are to real texts, the scores are to real
//! precision: texts full of numbers of a kind that the corpus lacks will be answered too surely.

use super::{Evidence, Found, PiiKind};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Findings' worth of the rule's own score.
const PRIOR: f32 = 2.0;
/// Lower ends of the bands of the model's probabilities, in percent.
const BANDS: [u8; 5] = [0, 50, 70, 85, 95];

/// What one rule finds on one ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// What it finds.
    pub kind: PiiKind,
    /// What it rests on.
    pub evidence: Evidence,
    /// The rule's own score in percent; of the model's, the lower end of its band.
    pub own: u8,
}

impl Family {
    /// The family of a finding.
    pub fn of(found: &Found) -> Self {
        let percent = (found.score.clamp(0.0, 1.0) * 100.0).round() as u8;
        let own = match found.evidence {
            Evidence::Model => BANDS.into_iter().rfind(|band| *band <= percent),
            Evidence::Pattern | Evidence::Checksum => None,
        };
        Self {
            kind: found.kind,
            evidence: found.evidence,
            own: own.unwrap_or(percent),
        }
    }
}

/// Right findings and all findings of each family.
static COUNTS: LazyLock<BTreeMap<Family, (f32, f32)>> = LazyLock::new(|| {
    let lines = include_str!("calibration.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse)
        .collect()
});

fn parse(line: &str) -> Option<(Family, (f32, f32))> {
    let mut cells = line.split('\t');
    let kind = PiiKind::of_name(cells.next()?)?;
    let evidence = cells.next()?;
    let evidence = Evidence::ALL.iter().find(|one| one.name() == evidence)?;
    let family = Family {
        kind,
        evidence: *evidence,
        own: cells.next()?.parse().ok()?,
    };
    let counts = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    cells.next().is_none().then_some((family, counts))
}

/// The score of a finding.
pub fn score(found: &Found) -> f32 {
    let (right, all) = COUNTS.get(&Family::of(found)).copied().unwrap_or_default();
    (right + PRIOR * found.score) / (all + PRIOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = include_str!("calibration.tsv").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        assert_eq!(COUNTS.len(), lines.count());
        for (family, (right, all)) in COUNTS.iter() {
            assert!(*all > 0.0 && right <= all, "{family:?}");
        }
    }

    #[test]
    fn the_unknown_keeps_its_own_score_and_the_known_has_its_precision() {
        let found = |kind, score, evidence| Found {
            kind,
            bytes: 0..1,
            score,
            evidence,
        };
        let unknown = found(PiiKind::EsCif, 0.9, Evidence::Pattern);
        assert!((score(&unknown) - 0.9).abs() < 1e-6);
        for (family, (right, all)) in COUNTS.iter() {
            let own = f32::from(family.own) / 100.0;
            let score = score(&found(family.kind, own, family.evidence));
            let (low, high) = (own.min(right / all), own.max(right / all));
            assert!((low - 1e-6..=high + 1e-6).contains(&score), "{family:?}");
        }
        let sure = found(PiiKind::Name, 0.999, Evidence::Model);
        assert_eq!(Family::of(&sure).own, 95);
    }
}
