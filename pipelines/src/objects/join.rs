//! Labels of the whole image and objects with boxes, as one answer.
//!
//! The two networks know different things. The classifier tells a thousand kinds apart but not where they are; the
//! detector knows where things are, but only eighty kinds, and those less well: it may see a person, a dog and a cat
//! in the face of one cat. So boxes of different kinds at the same place compete, and the classifier has a say.

use super::Object;
use crate::labels::postprocess::Filter;
use crate::labels::{Label, LabelsOptions};
use crate::vision::Area;
use std::collections::HashMap;

/// Boxes of different kinds that overlap more than this are one thing.
const SAME: f32 = 0.8;

/// One thing of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Where it is, in pixels.
    pub area: Area,
    /// Percent, 0 to 100.
    pub confidence: f32,
}

/// A label and the things of its kind that have a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The label.
    pub label: Label,
    /// Surest first; empty where only the classifier knows the label.
    pub instances: Vec<Instance>,
}

/// Joins the answers for one image. `labels` are all labels of the classifier, whatever their confidence; what the
/// options leave out is left out here.
pub fn join(labels: &[Label], objects: &[Object], options: &LabelsOptions) -> Vec<Located> {
    let mut joined: HashMap<String, Located> = HashMap::new();
    for label in labels {
        let located = Located {
            label: label.clone(),
            instances: Vec::new(),
        };
        joined.insert(label.name.clone(), located);
    }
    for (object, confidence) in settle(labels, objects) {
        // A label that is sure enough by itself has its places, however sure they are; see below.
        let known = joined.get(&object.name).map(|known| known.label.confidence);
        if confidence < options.min_confidence
            && known.is_none_or(|sure| sure < options.min_confidence)
        {
            continue;
        }
        for parent in &object.parents {
            // A label of the taxonomy is among the classifier's, which knows its own parents.
            if let Some(above) = joined.get_mut(parent) {
                above.label.confidence = above.label.confidence.max(confidence);
            }
        }
        let located = joined
            .entry(object.name.clone())
            .or_insert_with(|| Located {
                label: Label {
                    name: object.name.clone(),
                    confidence,
                    parents: object.parents.clone(),
                    categories: object.categories.clone(),
                    aliases: object.aliases.clone(),
                },
                instances: Vec::new(),
            });
        located.label.confidence = located.label.confidence.max(confidence);
        located.instances.push(Instance {
            area: object.area,
            confidence,
        });
    }
    let filter = Filter::new(&options.filters);
    let keeps = |located: &Located| {
        let label = &located.label;
        let category = label.categories.first().map_or("", String::as_str);
        label.confidence >= options.min_confidence && filter.keeps(&label.name, category)
    };
    let mut found: Vec<Located> = joined.into_values().filter(keeps).collect();
    for located in &mut found {
        // Places that are not sure enough are for labels that have no other.
        let sure = |instance: &Instance| instance.confidence >= options.min_confidence;
        if located.instances.iter().any(sure) {
            located.instances.retain(sure);
        }
        located
            .instances
            .sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    }
    found.sort_by(|a, b| {
        let (a, b) = (&a.label, &b.label);
        b.confidence
            .total_cmp(&a.confidence)
            .then(b.parents.len().cmp(&a.parents.len()))
            .then(a.name.cmp(&b.name))
    });
    found.truncate(options.max_labels);
    found
}

/// One object for each place, and its confidence. Where several kinds compete, the classifier's favourite of them
/// remains: there is something as surely as the detector's best says, and it is of this kind as surely as the
/// classifier says. Where the classifier knows none of them, the surest remains.
fn settle<'a>(labels: &[Label], objects: &'a [Object]) -> Vec<(&'a Object, f32)> {
    let known = |object: &Object| {
        let of = labels.iter().find(|label| label.name == object.name);
        of.map_or(0.0, |label| label.confidence)
    };
    let mut settled = Vec::new();
    let mut taken = vec![false; objects.len()];
    // Surest first, so the first of a place is its best.
    for (index, best) in objects.iter().enumerate() {
        if taken[index] {
            continue;
        }
        let mut place = vec![best];
        for (other, object) in objects.iter().enumerate().skip(index + 1) {
            if !taken[other] && object.class != best.class && object.area.overlap(&best.area) > SAME
            {
                taken[other] = true;
                place.push(object);
            }
        }
        let favourite = place
            .iter()
            .copied()
            .max_by(|a, b| known(a).total_cmp(&known(b)))
            .filter(|favourite| place.len() > 1 && known(favourite) > 50.0);
        settled.push(match favourite {
            Some(object) => {
                let share = best.confidence * known(object) / 100.0;
                (object, object.confidence.max(share))
            }
            None => (best, best.confidence),
        });
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::LabelFilters;

    fn label(name: &str, confidence: f32, parents: &[&str]) -> Label {
        Label {
            name: name.to_owned(),
            confidence,
            parents: parents.iter().map(|&p| p.to_owned()).collect(),
            categories: vec!["Animals and Pets".to_owned()],
            aliases: Vec::new(),
        }
    }

    fn object(class: usize, name: &str, confidence: f32, left: f32, parents: &[&str]) -> Object {
        Object {
            class,
            name: name.to_owned(),
            confidence,
            area: Area::new(left, 0.0, left + 100.0, 100.0),
            parents: parents.iter().map(|&p| p.to_owned()).collect(),
            categories: vec!["Animals and Pets".to_owned()],
            aliases: Vec::new(),
        }
    }

    fn least(min_confidence: f32) -> LabelsOptions {
        LabelsOptions {
            min_confidence,
            ..LabelsOptions::default()
        }
    }

    /// The reference's answers for a photograph of a cat's face.
    #[test]
    fn the_classifier_settles_what_the_detector_cannot() {
        let labels = [
            label("Animal", 99.0, &[]),
            label("Cat", 91.6, &["Animal"]),
            label("Dog", 0.1, &["Animal"]),
            label("Person", 0.0, &[]),
        ];
        let objects = [
            object(0, "Person", 59.4, 0.0, &[]),
            object(16, "Dog", 39.8, 1.0, &["Animal"]),
            object(15, "Cat", 39.5, 2.0, &["Animal"]),
        ];
        let found = join(&labels, &objects, &least(50.0));
        let names: Vec<_> = found
            .iter()
            .map(|located| located.label.name.as_str())
            .collect();
        assert_eq!(names, ["Animal", "Cat"]);
        assert_eq!(found[1].instances.len(), 1);
        assert!((found[1].instances[0].confidence - 54.4).abs() < 0.1);
        assert_eq!(found[1].instances[0].area, objects[2].area);
        assert!(found[0].instances.is_empty());
    }

    #[test]
    fn a_label_that_passes_keeps_its_places() {
        let labels = [label("Animal", 92.0, &[]), label("Cat", 91.7, &["Animal"])];
        let objects = [
            object(15, "Cat", 54.5, 0.0, &["Animal"]),
            object(0, "Person", 54.0, 300.0, &[]),
            object(26, "Suitcase", 80.0, 600.0, &[]),
            object(26, "Suitcase", 54.0, 900.0, &[]),
        ];
        let found = join(&labels, &objects, &least(55.0));
        let names: Vec<_> = found.iter().map(|l| l.label.name.as_str()).collect();
        assert_eq!(names, ["Animal", "Cat", "Suitcase"]);
        assert_eq!(
            found[2].instances.len(),
            1,
            "a place that is less sure than another"
        );
        assert_eq!(found[1].instances.len(), 1);
        assert!((found[1].instances[0].confidence - 54.5).abs() < 1e-4);
        assert!((found[1].label.confidence - 91.7).abs() < 1e-4);
    }

    #[test]
    fn what_the_classifier_does_not_know_is_the_detectors() {
        let labels = [
            label("Furniture", 1.0, &[]),
            label("Chair", 2.0, &["Furniture"]),
        ];
        let objects = [
            object(56, "Chair", 80.0, 0.0, &["Furniture"]),
            object(56, "Chair", 90.0, 300.0, &["Furniture"]),
            object(26, "Suitcase", 60.0, 301.0, &[]),
            object(28, "Suitcase", 70.0, 600.0, &[]),
        ];
        let found = join(&labels, &objects, &least(55.0));
        let of = |name: &str| {
            found
                .iter()
                .find(|located| located.label.name == name)
                .unwrap()
        };
        assert_eq!(
            (
                of("Chair").label.confidence,
                of("Furniture").label.confidence
            ),
            (90.0, 90.0)
        );
        let confidences: Vec<_> = of("Chair").instances.iter().map(|i| i.confidence).collect();
        assert_eq!(confidences, [90.0, 80.0]);
        // The one on the chair's place lost to it.
        assert_eq!(of("Suitcase").instances.len(), 1);
    }

    #[test]
    fn options_hold_for_both() {
        let labels = [label("Cat", 90.0, &[])];
        let objects = [
            object(0, "Person", 80.0, 300.0, &[]),
            object(2, "Car", 60.0, 600.0, &[]),
        ];
        let one = LabelsOptions {
            max_labels: 1,
            ..least(50.0)
        };
        assert_eq!(join(&labels, &objects, &one)[0].label.name, "Cat");
        let only = LabelsOptions {
            filters: LabelFilters {
                include_labels: vec!["person".to_owned()],
                ..LabelFilters::default()
            },
            ..least(50.0)
        };
        let found = join(&labels, &objects, &only);
        assert_eq!((found.len(), found[0].label.name.as_str()), (1, "Person"));
        assert!(join(&[], &[], &least(0.0)).is_empty());
    }
}
