//! From a network's scores to labels.
//!
//! A class's probability is its softmax share. The confidence of a label is 100 times the sum of the
//! probabilities of all classes that are it or a kind of it: three breeds at 0.3 each make `Cat` 90 % sure.
//! So an ancestor is never less sure than its descendants, and each class counts once for an ancestor
//! however many ways lead up to it.

use super::taxonomy::{CLASSES, Taxonomy};
use super::{Label, LabelFilters, LabelsOptions};
use crate::error::{Error, Kind, Result};
use std::cmp::Reverse;

/// How much a view beside the centre counts.
const ASIDE: f64 = 0.9;

/// Softmax of one image's scores.
///
/// # Errors
/// `Internal` when there are not [`CLASSES`] scores or one of them is not finite: nothing may sort by such.
pub fn probabilities(logits: &[f32]) -> Result<Vec<f64>> {
    if logits.len() != CLASSES {
        return Err(Error::new(
            Kind::Internal,
            format!(
                "the network answered {} scores instead of {CLASSES}",
                logits.len()
            ),
        ));
    }
    softmax(logits)
}

/// Softmax of any number of scores.
///
/// # Errors
/// `Internal` when one of them is not finite.
pub fn softmax(logits: &[f32]) -> Result<Vec<f64>> {
    if let Some(class) = logits.iter().position(|score| !score.is_finite()) {
        return Err(Error::new(
            Kind::Internal,
            format!("the network answered {} for class {class}", logits[class]),
        ));
    }
    let most = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let powers: Vec<f64> = logits
        .iter()
        .map(|&score| (f64::from(score) - most).exp())
        .collect();
    let sum: f64 = powers.iter().sum();
    Ok(powers.into_iter().map(|power| power / sum).collect())
}

/// The labels that the options ask for: by confidence, among equals the more specific first, then by name. Where more
/// than one class may hold, a label is as sure as the surest of its classes instead of all together.
///
/// `views` are the probabilities of the image's centre, and perhaps of other squares: a label is as sure as the surest
/// of them says, where others than the centre count [`ASIDE`] times as much, because what is cut off there looks like
/// other things.
pub fn labels(
    taxonomy: &Taxonomy,
    views: &[Vec<f64>],
    exclusive: bool,
    options: &LabelsOptions,
) -> Vec<Label> {
    let nodes = taxonomy.nodes();
    let mut sums = vec![0_f64; nodes.len()];
    for (view, probabilities) in views.iter().enumerate() {
        let weight = if view == 0 { 1.0 } else { ASIDE };
        let seen = sums_of(taxonomy, probabilities, exclusive);
        for (sum, seen) in sums.iter_mut().zip(seen) {
            *sum = sum.max(weight * seen.min(1.0));
        }
    }
    let filter = Filter::new(&options.filters);
    let mut found: Vec<(f32, usize)> = sums
        .iter()
        .map(|sum| (100.0 * sum).min(100.0) as f32)
        .enumerate()
        .filter(|&(index, confidence)| {
            confidence >= options.min_confidence
                && filter.keeps(&nodes[index].name, &nodes[index].category)
        })
        .map(|(index, confidence)| (confidence, index))
        .collect();
    found.sort_by(|(a, left), (b, right)| {
        let rank = |index: usize| (Reverse(nodes[index].ancestors.len()), &nodes[index].name);
        b.total_cmp(a).then_with(|| rank(*left).cmp(&rank(*right)))
    });
    found.truncate(options.max_labels);
    found
        .into_iter()
        .map(|(confidence, index)| {
            let node = &nodes[index];
            Label {
                name: node.name.clone(),
                confidence,
                parents: node
                    .ancestors
                    .iter()
                    .map(|&ancestor| nodes[ancestor].name.clone())
                    .collect(),
                categories: Some(&node.category)
                    .filter(|category| !category.is_empty())
                    .into_iter()
                    .cloned()
                    .collect(),
                aliases: node.aliases.clone(),
            }
        })
        .collect()
}

/// How sure each label is by one view.
fn sums_of(taxonomy: &Taxonomy, probabilities: &[f64], exclusive: bool) -> Vec<f64> {
    let nodes = taxonomy.nodes();
    let join = |sum: &mut f64, probability: f64| match exclusive {
        true => *sum += probability,
        false => *sum = sum.max(probability),
    };
    // Classes are added in the same order everywhere: rounding cannot make a descendant surer.
    let mut sums = vec![0f64; nodes.len()];
    for (class, &probability) in probabilities.iter().enumerate() {
        let label = taxonomy.of_class(class);
        join(&mut sums[label], probability);
        for &ancestor in &nodes[label].ancestors {
            join(&mut sums[ancestor], probability);
        }
    }
    sums
}

/// The filters in lower case.
pub(crate) struct Filter {
    include_labels: Vec<String>,
    exclude_labels: Vec<String>,
    include_categories: Vec<String>,
    exclude_categories: Vec<String>,
}

impl Filter {
    pub(crate) fn new(filters: &LabelFilters) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
        Self {
            include_labels: lower(&filters.include_labels),
            exclude_labels: lower(&filters.exclude_labels),
            include_categories: lower(&filters.include_categories),
            exclude_categories: lower(&filters.exclude_categories),
        }
    }

    pub(crate) fn keeps(&self, name: &str, category: &str) -> bool {
        let (name, category) = (name.to_lowercase(), category.to_lowercase());
        let anything = self.include_labels.is_empty() && self.include_categories.is_empty();
        let included = anything
            || self.include_labels.contains(&name)
            || self.include_categories.contains(&category);
        included
            && !self.exclude_labels.contains(&name)
            && !self.exclude_categories.contains(&category)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn taxonomy() -> &'static Taxonomy {
        static BUILTIN: std::sync::LazyLock<Taxonomy> =
            std::sync::LazyLock::new(|| Taxonomy::builtin().unwrap());
        &BUILTIN
    }

    fn everything() -> LabelsOptions {
        LabelsOptions {
            max_labels: usize::MAX,
            min_confidence: 0.0,
            ..LabelsOptions::default()
        }
    }

    /// Probabilities with these classes set; the rest share what is left.
    fn with(classes: &[(usize, f64)]) -> Vec<f64> {
        let left = 1.0 - classes.iter().map(|(_, p)| p).sum::<f64>();
        let mut result = vec![left / (CLASSES - classes.len()) as f64; CLASSES];
        for &(class, probability) in classes {
            result[class] = probability;
        }
        result
    }

    fn names(labels: &[Label]) -> Vec<&str> {
        labels.iter().map(|label| label.name.as_str()).collect()
    }

    #[test]
    fn breeds_add_up_to_the_animal() {
        // The reference's answer for a photograph of a cat.
        let photo = with(&[
            (282, 0.40845),
            (285, 0.34027),
            (281, 0.16692),
            (287, 0.01537),
        ]);
        let found = labels(
            taxonomy(),
            std::slice::from_ref(&photo),
            true,
            &LabelsOptions::default(),
        );
        let mut sorted = names(&found);
        sorted.sort_unstable();
        assert_eq!(sorted, ["Animal", "Cat", "Feline", "Mammal", "Pet"]);
        let cat = found.iter().find(|label| label.name == "Cat").unwrap();
        assert!((cat.confidence - 91.564).abs() < 0.02, "{cat:?}");
        assert_eq!(cat.parents, ["Animal", "Feline", "Mammal", "Pet"]);
        assert_eq!(cat.categories, ["Animals and Pets"]);
        assert_eq!(cat.aliases, ["House Cat", "Domestic Cat"]);
        let low = labels(
            taxonomy(),
            std::slice::from_ref(&photo),
            true,
            &LabelsOptions {
                min_confidence: 40.0,
                ..LabelsOptions::default()
            },
        );
        assert_eq!(
            low.last().map(|label| label.name.as_str()),
            Some("Tiger Cat")
        );
    }

    #[test]
    fn classes_of_one_label_are_summed() {
        let found = labels(
            taxonomy(),
            &[with(&[(836, 0.5), (837, 0.4)])],
            true,
            &LabelsOptions::default(),
        );
        let sunglasses = found
            .iter()
            .find(|label| label.name == "Sunglasses")
            .unwrap();
        assert!((sunglasses.confidence - 90.0).abs() < 1e-3);
    }

    #[test]
    fn equals_are_ordered_by_specificity_then_name() {
        // One class has everything: its whole chain is equally sure.
        let mut certain = vec![0.0; CLASSES];
        certain[967] = 1.0;
        let found = labels(
            taxonomy(),
            std::slice::from_ref(&certain),
            true,
            &LabelsOptions::default(),
        );
        assert_eq!(names(&found), ["Espresso", "Coffee", "Beverage", "Food"]);
        assert!(found.iter().all(|label| label.confidence == 100.0));
        let one = labels(
            taxonomy(),
            std::slice::from_ref(&certain),
            true,
            &LabelsOptions {
                max_labels: 1,
                ..LabelsOptions::default()
            },
        );
        assert_eq!(names(&one), ["Espresso"]);
    }

    #[test]
    fn filters_include_first_and_then_exclude() {
        let mixed = with(&[(282, 0.5), (967, 0.4)]);
        let filtered = |filters: LabelFilters| {
            let options = LabelsOptions {
                filters,
                min_confidence: 30.0,
                ..LabelsOptions::default()
            };
            let mut names: Vec<String> =
                labels(taxonomy(), std::slice::from_ref(&mixed), true, &options)
                    .into_iter()
                    .map(|label| label.name)
                    .collect();
            names.sort();
            names
        };
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<String>>()
        };
        let none = LabelFilters::default();
        let all = list(&[
            "Animal",
            "Beverage",
            "Cat",
            "Coffee",
            "Espresso",
            "Feline",
            "Food",
            "Mammal",
            "Pet",
            "Tiger Cat",
        ]);
        assert_eq!(filtered(none.clone()), all);
        let include_labels = list(&["CAT", "espresso", "no such label"]);
        assert_eq!(
            filtered(LabelFilters {
                include_labels: include_labels.clone(),
                ..none.clone()
            }),
            ["Cat", "Espresso"]
        );
        let include_categories = list(&["food AND beverage"]);
        let food = ["Beverage", "Coffee", "Espresso", "Food"];
        assert_eq!(
            filtered(LabelFilters {
                include_categories: include_categories.clone(),
                ..none.clone()
            }),
            food
        );
        let both = LabelFilters {
            include_labels,
            include_categories: include_categories.clone(),
            ..none.clone()
        };
        assert_eq!(
            filtered(both.clone()),
            ["Beverage", "Cat", "Coffee", "Espresso", "Food"]
        );
        let less = LabelFilters {
            exclude_labels: list(&["coffee"]),
            ..both
        };
        assert_eq!(filtered(less), ["Beverage", "Cat", "Espresso", "Food"]);
        let exclude_categories = list(&["Animals and Pets"]);
        assert_eq!(
            filtered(LabelFilters {
                exclude_categories,
                ..none.clone()
            }),
            food
        );
        let nothing = LabelFilters {
            exclude_categories: include_categories.clone(),
            include_categories,
            ..none
        };
        assert_eq!(filtered(nothing), Vec::<String>::new());
    }

    #[test]
    fn scores_that_are_no_numbers_are_an_error() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut logits = vec![0.0; CLASSES];
            logits[17] = bad;
            assert_eq!(
                probabilities(&logits).expect_err("not finite").kind(),
                Kind::Internal
            );
        }
        assert_eq!(
            probabilities(&[0.0; 999]).expect_err("too few").kind(),
            Kind::Internal
        );
        let extreme: Vec<f32> = (0..CLASSES)
            .map(|class| if class % 2 == 0 { f32::MAX } else { f32::MIN })
            .collect();
        let shares = probabilities(&extreme).unwrap();
        assert!(
            (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9
                && shares.iter().all(|share| share.is_finite())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn an_ancestor_is_at_least_as_sure(
            seed in prop::collection::vec(-20.0f32..20.0, CLASSES),
            max_labels in 0usize..50,
            min_confidence in 0.0f32..100.0,
        ) {
            let shares = probabilities(&seed).unwrap();
            let all = labels(taxonomy(), std::slice::from_ref(&shares), true, &everything());
            prop_assert_eq!(all.len(), taxonomy().nodes().len());
            let sure: HashMap<&str, f32> = all.iter().map(|label| (label.name.as_str(), label.confidence)).collect();
            for label in &all {
                prop_assert!((0.0..=100.0).contains(&label.confidence));
                for parent in &label.parents {
                    prop_assert!(sure[parent.as_str()] >= label.confidence, "{} and {}", parent, label.name);
                }
            }
            prop_assert!(all.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
            let options = LabelsOptions { max_labels, min_confidence, ..LabelsOptions::default() };
            let some = labels(taxonomy(), std::slice::from_ref(&shares), true, &options);
            let sure = all.iter().filter(|label| label.confidence >= min_confidence);
            let expected: Vec<Label> = sure.take(max_labels).cloned().collect();
            prop_assert_eq!(some, expected);
        }
    }
}
