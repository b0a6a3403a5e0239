//! The kinds of things that the detector knows, as labels.
//!
//! The data is `pipelines/data/objects.tsv`, one of COCO's 80 classes a line, in the order of the network's outputs.
//! Most are labels of the taxonomy already and take category, parents and aliases from there; the others bring
//! their own and name parents in the taxonomy.

use crate::labels::taxonomy::{Node, Taxonomy};
use std::collections::{BTreeSet, HashMap};

/// Classes of the detector.
pub const CLASSES: usize = 80;

const BUILTIN: &str = include_str!("../../data/objects.tsv");

/// Why the text of the kinds cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A line has not five columns or an empty name.
    #[error("line {line} is not `COCO name, label, category, parents, aliases`")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A label without a category is not in the taxonomy, or one with a category is.
    #[error("label `{0}` must be either in the taxonomy or described")]
    Label(String),
    /// A parent is not in the taxonomy.
    #[error("parent `{parent}` of `{label}` is not in the taxonomy")]
    Parent {
        /// The label with that parent.
        label: String,
        /// The missing parent.
        parent: String,
    },
    /// There are not [`CLASSES`] lines.
    #[error("{0} kinds instead of {CLASSES}")]
    Count(usize),
}

/// One kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// COCO's name.
    pub coco: String,
    /// The label's name.
    pub name: String,
    /// Its category, one of Rekognition's.
    pub category: String,
    /// All its ancestors in the taxonomy, by name.
    pub parents: Vec<String>,
    /// Other names.
    pub aliases: Vec<String>,
}

/// All kinds, by class.
#[derive(Clone, Debug)]
pub struct Kinds {
    kinds: Vec<Kind>,
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').filter(|item| !item.is_empty())
}

impl Kinds {
    /// The kinds that ship with this version.
    ///
    /// # Errors
    /// When the data built into the program is damaged; the tests of this module keep it whole.
    pub fn builtin(taxonomy: &Taxonomy) -> Result<Self, Error> {
        Self::parse(BUILTIN, taxonomy)
    }

    /// Reads kinds; lines that start with `#` are comments.
    ///
    /// # Errors
    /// What is wrong with the text; see [`Error`].
    pub fn parse(text: &str, taxonomy: &Taxonomy) -> Result<Self, Error> {
        let nodes = taxonomy.nodes();
        let by_name: HashMap<&str, &Node> = nodes.iter().map(|n| (n.name.as_str(), n)).collect();
        let above = |node: &Node| -> Vec<String> {
            let ancestors = node.ancestors.iter();
            ancestors.map(|&index| nodes[index].name.clone()).collect()
        };
        let mut kinds = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let [coco, name, category, parents, aliases] = columns[..] else {
                return Err(Error::Line { line: index + 1 });
            };
            if coco.is_empty() || name.is_empty() {
                return Err(Error::Line { line: index + 1 });
            }
            let mut kind = Kind {
                coco: coco.to_owned(),
                name: name.to_owned(),
                category: category.to_owned(),
                parents: Vec::new(),
                aliases: Vec::new(),
            };
            match by_name.get(name) {
                Some(node) if category.is_empty() => {
                    kind.category.clone_from(&node.category);
                    kind.parents = above(node);
                    kind.aliases.clone_from(&node.aliases);
                }
                None if !category.is_empty() => {
                    let mut all = BTreeSet::new();
                    for parent in list(parents) {
                        let node = by_name.get(parent).ok_or_else(|| Error::Parent {
                            label: name.to_owned(),
                            parent: parent.to_owned(),
                        })?;
                        all.insert(parent.to_owned());
                        all.extend(above(node));
                    }
                    kind.parents = all.into_iter().collect();
                    kind.aliases = list(aliases).map(str::to_owned).collect();
                }
                _ => return Err(Error::Label(name.to_owned())),
            }
            kinds.push(kind);
        }
        if kinds.len() == CLASSES {
            Ok(Self { kinds })
        } else {
            Err(Error::Count(kinds.len()))
        }
    }

    /// All kinds, by class.
    pub fn all(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kinds of a detector whose classes have these names, by class. Those that COCO knows are its kinds; others are
    /// labels without parents, categories and aliases. Names that say that a class is none, as in COCO's list of
    /// ninety-one, have no kind.
    pub fn of_names(&self, names: &[String]) -> Vec<Option<Kind>> {
        let by_name: HashMap<&str, &Kind> =
            self.kinds.iter().map(|k| (k.coco.as_str(), k)).collect();
        let kind = |name: &String| {
            let plain = name.trim().to_lowercase().replace('_', " ");
            if matches!(
                plain.as_str(),
                "" | "n/a" | "background" | "no-object" | "no object"
            ) {
                return None;
            }
            let older = OLDER.iter().find(|(older, _)| *older == plain);
            let coco = older.map_or(plain.as_str(), |(_, coco)| coco);
            let own = || Kind {
                coco: name.clone(),
                name: name.trim().to_owned(),
                category: String::new(),
                parents: Vec::new(),
                aliases: Vec::new(),
            };
            Some(by_name.get(coco).map_or_else(own, |&kind| kind.clone()))
        };
        names.iter().map(kind).collect()
    }
}

/// Names that some lists of COCO's kinds have from Pascal VOC, and COCO's own.
const OLDER: [(&str, &str); 6] = [
    ("aeroplane", "airplane"),
    ("diningtable", "dining table"),
    ("motorbike", "motorcycle"),
    ("pottedplant", "potted plant"),
    ("sofa", "couch"),
    ("tvmonitor", "tv"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn builtin() -> (Taxonomy, Kinds) {
        let taxonomy = Taxonomy::builtin().unwrap();
        let kinds = Kinds::builtin(&taxonomy).unwrap();
        (taxonomy, kinds)
    }

    #[test]
    fn the_data_is_whole() {
        let (taxonomy, kinds) = builtin();
        let categories: HashSet<&str> = taxonomy
            .nodes()
            .iter()
            .map(|n| n.category.as_str())
            .collect();
        let names: HashSet<String> = taxonomy
            .nodes()
            .iter()
            .map(|n| n.name.to_lowercase())
            .collect();
        let mut seen = HashSet::new();
        for kind in kinds.all() {
            assert!(seen.insert(&kind.name), "{}", kind.name);
            assert!(
                seen.insert(&kind.coco) || kind.coco == kind.name,
                "{}",
                kind.coco
            );
            // Those that only COCO knows may have a category of their own.
            let own = [
                "Public Safety",
                "Travel and Adventure",
                "Beauty and Personal Care",
            ];
            let category = kind.category.as_str();
            assert!(
                categories.contains(category) || own.contains(&category),
                "{kind:?}"
            );
            for alias in &kind.aliases {
                assert!(
                    !names.contains(&alias.to_lowercase()),
                    "{}: {alias}",
                    kind.name
                );
            }
        }
    }

    /// The order is COCO's, as the reference names the classes of the golden images.
    #[test]
    fn classes_are_in_the_order_of_the_network() {
        let (_, kinds) = builtin();
        for (class, name, label) in [
            (0, "person", "Person"),
            (3, "motorcycle", "Motorcycle"),
            (15, "cat", "Cat"),
            (27, "tie", "Necktie"),
            (41, "cup", "Cup"),
            (56, "chair", "Chair"),
            (61, "toilet", "Toilet"),
            (67, "cell phone", "Mobile Phone"),
            (79, "toothbrush", "Toothbrush"),
        ] {
            let kind = &kinds.all()[class];
            assert_eq!((kind.coco.as_str(), kind.name.as_str()), (name, label));
        }
    }

    #[test]
    fn parents_lead_to_the_top() {
        let (_, kinds) = builtin();
        let parents = |coco: &str| {
            let kind = kinds.all().iter().find(|kind| kind.coco == coco).unwrap();
            kind.parents.join(" ")
        };
        assert_eq!(parents("cat"), "Animal Feline Mammal Pet");
        assert_eq!(parents("giraffe"), "Animal Mammal Wildlife");
        assert_eq!(parents("car"), "Transportation Vehicle");
        assert_eq!(parents("person"), "");
        assert!(parents("wine glass").contains("Drinking Glass"));
    }

    #[test]
    fn other_detectors_kinds_are_known_by_name() {
        let (_, kinds) = builtin();
        let names = [
            "N/A",
            "person",
            "Sofa",
            "traffic_light",
            "hard hat",
            "tvmonitor",
        ]
        .map(str::to_owned);
        let found = kinds.of_names(&names);
        assert!(found[0].is_none());
        let name = |at: usize| found[at].as_ref().unwrap().name.as_str();
        assert_eq!(name(1), "Person");
        assert_eq!(
            found[2].as_ref(),
            kinds.all().iter().find(|k| k.coco == "couch")
        );
        assert_eq!(
            found[3].as_ref(),
            kinds.all().iter().find(|k| k.coco == "traffic light")
        );
        assert_eq!(
            found[5].as_ref(),
            kinds.all().iter().find(|k| k.coco == "tv")
        );
        let own = found[4].as_ref().unwrap();
        assert_eq!((own.name.as_str(), own.category.as_str()), ("hard hat", ""));
        assert!(own.parents.is_empty() && own.aliases.is_empty());
        for (_, coco) in OLDER {
            assert!(kinds.all().iter().any(|kind| kind.coco == coco), "{coco}");
        }
    }

    #[test]
    fn damaged_data_is_refused() {
        let taxonomy = Taxonomy::builtin().unwrap();
        for (text, error) in [
            ("cat\tCat\t\t", Error::Line { line: 1 }),
            ("\n\tCat\t\t\t", Error::Line { line: 2 }),
            ("cat\tCat\tPets\t\t", Error::Label("Cat".to_owned())),
            ("x\tNo Label\t\t\t", Error::Label("No Label".to_owned())),
            (
                "x\tNew\tPets\tNowhere\t",
                Error::Parent {
                    label: "New".to_owned(),
                    parent: "Nowhere".to_owned(),
                },
            ),
            ("cat\tCat\t\t\t", Error::Count(1)),
        ] {
            assert_eq!(Kinds::parse(text, &taxonomy).unwrap_err(), error, "{text}");
        }
    }
}
