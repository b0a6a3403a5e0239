//! Opinions and objects as Rekognition's moderation labels.
//!
//! Names and levels are those of Rekognition's moderation model 7. Which part of a body is shown cannot be told
//! from these networks, so nothing below the second level of `Explicit` is answered, and pictures that are only
//! suggestive get their first level only. Swimwear, underwear, weapons and drinks are ImageNet's and COCO's; knives are not
//! counted as weapons, because nearly all that were seen in training lie in kitchens.

use super::{Opinions, Sight};

/// One label.
#[derive(Clone, Debug, PartialEq)]
pub struct ModerationLabel {
    /// Its name.
    pub name: &'static str,
    /// The label above; empty for those of the first level.
    pub parent: &'static str,
    /// 1 for the first level.
    pub level: u32,
    /// Percent, 0 to 100.
    pub confidence: f32,
}

const EXPLICIT: &str = "Explicit";
const EXPLICIT_NUDITY: &str = "Explicit Nudity";
const NON_EXPLICIT: &str = "Non-Explicit Nudity of Intimate parts and Kissing";
const SWIMWEAR: &str = "Swimwear or Underwear";
const SWIMWEAR_OF_WOMEN: &str = "Female Swimwear or Underwear";
const SWIMWEAR_OF_MEN: &str = "Male Swimwear or Underwear";
const VIOLENCE: &str = "Violence";
const WEAPONS: &str = "Weapons";
const ALCOHOL: &str = "Alcohol";
const ALCOHOLIC_BEVERAGES: &str = "Alcoholic Beverages";

/// A photograph counts as explicit by the second network alone from here on.
const SURE: f32 = 0.8;

/// The labels at or above `least` percent: first level before second, surest first. `seen` is what the networks for
/// labels and objects recognised, if they were asked.
pub fn labels(opinions: &Opinions, seen: &[Sight], least: f32) -> Vec<ModerationLabel> {
    // The second network's word counts where it is sure; a drawing it knows nothing about.
    let second = if opinions.unsafe_for_work > SURE && opinions.drawing < 0.5 {
        opinions.unsafe_for_work
    } else {
        0.0
    };
    let explicit = (opinions.porn + opinions.hentai).max(second);
    let mut found = Vec::new();
    let mut add = |first: &'static str, second: &'static str, share: f32| {
        let confidence = (100.0 * share).clamp(0.0, 100.0);
        if confidence < least || confidence <= 0.0 {
            return;
        }
        for (name, parent, level) in [(first, "", 1), (second, first, 2)] {
            if !name.is_empty() {
                found.push(ModerationLabel {
                    name,
                    parent,
                    level,
                    confidence,
                });
            }
        }
    };
    add(EXPLICIT, EXPLICIT_NUDITY, explicit);
    add(NON_EXPLICIT, "", opinions.sexy);
    let most = |names: &[&str]| {
        let of = seen.iter().filter(|sight| names.contains(&&*sight.name));
        of.map(|sight| sight.percent / 100.0).fold(0.0, f32::max)
    };
    add(
        SWIMWEAR,
        SWIMWEAR_OF_WOMEN,
        most(&["Bikini", "Bra", "One-Piece Swimsuit"]),
    );
    add(SWIMWEAR, SWIMWEAR_OF_MEN, most(&["Swimming Trunks"]));
    add(SWIMWEAR, "", most(&["Swimwear", "Underwear"]));
    add(
        VIOLENCE,
        WEAPONS,
        most(&[
            "Weapon",
            "Gun",
            "Firearm",
            "Handgun",
            "Rifle",
            "Assault Rifle",
            "Revolver",
        ]),
    );
    add(
        ALCOHOL,
        ALCOHOLIC_BEVERAGES,
        most(&[
            "Alcohol",
            "Wine",
            "Beer Bottle",
            "Beer Glass",
            "Wine Bottle",
            "Wine Glass",
            "Cocktail Shaker",
        ]),
    );
    // A label that two signals give is given once, by the surer.
    found.sort_by(|a, b| {
        a.level
            .cmp(&b.level)
            .then(b.confidence.total_cmp(&a.confidence))
            .then(a.name.cmp(b.name))
    });
    let mut names = std::collections::HashSet::new();
    found.retain(|label| names.insert(label.name));
    found
}

/// How flat an image is that is as likely drawn as photographed, and how far from it that turns.
const FLAT: f32 = 0.5;
const FLAT_WIDTH: f32 = 0.06;

/// Kinds of pictures, and percents: what is drawn, in flat colours, rather than photographed.
pub fn content_types(opinions: &Opinions, least: f32) -> Vec<(&'static str, f32)> {
    // The network takes many a photograph of people or animals for a drawing: 8 of 20, up to 99 %. Of those none was
    // flatter than 0.31, and no drawing of an icon set less flat than 0.77.
    let flat = 1.0 / (1.0 + ((FLAT - opinions.flat) / FLAT_WIDTH).exp());
    let drawn = 100.0 * (opinions.drawing * flat + opinions.hentai).min(1.0);
    if drawn >= least && drawn > 0.0 {
        vec![("Illustrated", drawn)]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sights(seen: &[(&str, f32)]) -> Vec<Sight> {
        let sight = |&(name, percent): &(&str, f32)| Sight {
            name: name.to_owned(),
            percent,
        };
        seen.iter().map(sight).collect()
    }

    fn names(opinions: Opinions, seen: &[(&str, f32)]) -> Vec<&'static str> {
        labels(&opinions, &sights(seen), 50.0)
            .iter()
            .map(|label| label.name)
            .collect()
    }

    #[test]
    fn harmless_pictures_have_no_labels() {
        let neutral = Opinions {
            neutral: 0.94,
            drawing: 0.05,
            unsafe_for_work: 0.02,
            ..Opinions::default()
        };
        assert_eq!(
            names(neutral, &[("Cat", 99.0), ("Tableware", 80.0)]),
            [""; 0]
        );
        assert_eq!(labels(&neutral, &[], 0.0), []);
        assert!(content_types(&neutral, 50.0).is_empty());
    }

    #[test]
    fn opinions_become_labels_with_their_parents() {
        let porn = Opinions {
            porn: 0.7,
            sexy: 0.2,
            ..Opinions::default()
        };
        assert_eq!(names(porn, &[]), [EXPLICIT, EXPLICIT_NUDITY]);
        let found = labels(&porn, &[], 50.0);
        assert_eq!((found[1].parent, found[1].level), (EXPLICIT, 2));
        assert!((found[0].confidence - 70.0).abs() < 1e-3);
        let second = Opinions {
            neutral: 0.9,
            unsafe_for_work: 0.95,
            ..Opinions::default()
        };
        assert_eq!(names(second, &[]), [EXPLICIT, EXPLICIT_NUDITY]);
        let sexy = Opinions {
            sexy: 0.8,
            unsafe_for_work: 0.5,
            ..Opinions::default()
        };
        assert_eq!(names(sexy, &[]), [NON_EXPLICIT]);
        let drawn = Opinions {
            drawing: 0.6,
            hentai: 0.3,
            unsafe_for_work: 0.9,
            flat: 0.7,
            ..Opinions::default()
        };
        assert_eq!(names(drawn, &[]), [""; 0]);
        assert_eq!(content_types(&drawn, 50.0)[0].0, "Illustrated");
        let photographed = Opinions {
            drawing: 0.99,
            flat: 0.31,
            ..Opinions::default()
        };
        assert!(content_types(&photographed, 50.0).is_empty());
    }

    #[test]
    fn what_was_seen_counts_too() {
        let neutral = Opinions {
            neutral: 1.0,
            ..Opinions::default()
        };
        let seen = [
            ("Rifle", 75.0),
            ("Firearm", 90.0),
            ("Wine Bottle", 60.0),
            ("Bikini", 40.0),
        ];
        assert_eq!(
            names(neutral, &seen),
            [VIOLENCE, ALCOHOL, WEAPONS, ALCOHOLIC_BEVERAGES]
        );
        assert_eq!(labels(&neutral, &sights(&seen), 50.0)[0].confidence, 90.0);
        let beach = [("Bikini", 80.0), ("Swimwear", 95.0)];
        let found = labels(&neutral, &sights(&beach), 50.0);
        let found: Vec<_> = found
            .iter()
            .map(|label| (label.name, label.confidence as u32))
            .collect();
        assert_eq!(found, [(SWIMWEAR, 95), (SWIMWEAR_OF_WOMEN, 80)]);
    }
}
