//! The taxonomy: which labels there are, which label is a kind of which, and which classes of the network
//! mean them.
//!
//! The data is `pipelines/data/labels.tsv`, written by the script beside it from WordNet and a curated list;
//! `NOTICE.md` there has the licence. One label a line: name, category, direct parents, aliases, classes
//! (lists are separated by semicolons). The labels form a graph without cycles in which a label may have
//! several parents (a cat is a pet and a feline). Only things that people would look for are labels: abstract
//! nodes such as "artifact" are not in the data.

use std::collections::HashMap;
use std::sync::Arc;

/// Classes of the network: ImageNet-1k.
pub const CLASSES: usize = 1000;

/// The labels that ship with this version.
const BUILTIN: &str = include_str!("../../data/labels.tsv");

/// Why the text of a taxonomy cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A line has not five columns or an empty name or category.
    #[error("line {line} is not `label, category, parents, aliases, classes`")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// Two lines name the same label.
    #[error("label `{0}` is there twice")]
    Twice(String),
    /// A parent is not a label.
    #[error("parent `{parent}` of `{label}` is not a label")]
    Parent {
        /// The label with that parent.
        label: String,
        /// The missing parent.
        parent: String,
    },
    /// A label is its own ancestor.
    #[error("label `{0}` is its own ancestor")]
    Cycle(String),
    /// A class is no number below [`CLASSES`], or belongs to no label or to two.
    #[error("class {class} belongs to {labels} labels")]
    Class {
        /// The class as written.
        class: String,
        /// How many labels claim it.
        labels: usize,
    },
}

/// One label of the taxonomy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, in title case; unique without regard to case.
    pub name: String,
    /// Its category, one of Rekognition's.
    pub category: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// All its ancestors, as indices into [`Taxonomy::nodes`], by name.
    pub ancestors: Vec<usize>,
}

/// Labels, their ancestors, and the label of each class.
#[derive(Clone, Debug)]
pub struct Taxonomy {
    nodes: Vec<Node>,
    /// For each class, its label.
    classes: Vec<usize>,
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').filter(|item| !item.is_empty())
}

impl Taxonomy {
    /// The taxonomy that ships with this version.
    ///
    /// # Errors
    /// When the data built into the program is damaged; the tests of this module keep it whole.
    pub fn builtin() -> Result<Self, Error> {
        Self::parse(BUILTIN)
    }

    /// Reads a taxonomy; lines that start with `#` are comments.
    ///
    /// # Errors
    /// What is wrong with the text; see [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with('#') && !line.is_empty())
        {
            let columns: Vec<&str> = line.split('\t').collect();
            match columns.as_slice() {
                [name, category, parents, aliases, classes]
                    if !name.is_empty() && !category.is_empty() =>
                {
                    lines.push((*name, *category, *parents, *aliases, *classes));
                }
                _ => return Err(Error::Line { line: index + 1 }),
            }
        }
        let mut indices = HashMap::new();
        for (index, (name, ..)) in lines.iter().enumerate() {
            if indices.insert(name.to_lowercase(), index).is_some() {
                return Err(Error::Twice((*name).to_owned()));
            }
        }
        let mut parents = Vec::with_capacity(lines.len());
        let mut owners = vec![Vec::new(); CLASSES];
        for (index, (name, _, above, _, classes)) in lines.iter().enumerate() {
            let found: Result<Vec<usize>, Error> = list(above)
                .map(|parent| {
                    let missing = || Error::Parent {
                        label: (*name).to_owned(),
                        parent: parent.to_owned(),
                    };
                    indices
                        .get(&parent.to_lowercase())
                        .copied()
                        .ok_or_else(missing)
                })
                .collect();
            parents.push(found?);
            for class in list(classes) {
                let unknown = || Error::Class {
                    class: class.to_owned(),
                    labels: 1,
                };
                let number: usize = class.parse().map_err(|_| unknown())?;
                owners.get_mut(number).ok_or_else(unknown)?.push(index);
            }
        }
        let classes: Result<Vec<usize>, Error> = owners
            .iter()
            .enumerate()
            .map(|(class, owners)| match owners.as_slice() {
                [owner] => Ok(*owner),
                _ => Err(Error::Class {
                    class: class.to_string(),
                    labels: owners.len(),
                }),
            })
            .collect();
        let nodes: Result<Vec<Node>, Error> = lines
            .iter()
            .enumerate()
            .map(|(index, (name, category, _, aliases, _))| {
                let mut ancestors = Vec::new();
                let mut todo = parents[index].clone();
                while let Some(next) = todo.pop() {
                    if next == index {
                        return Err(Error::Cycle((*name).to_owned()));
                    }
                    if !ancestors.contains(&next) {
                        ancestors.push(next);
                        todo.extend(&parents[next]);
                    }
                }
                ancestors.sort_by_key(|&ancestor| lines[ancestor].0);
                let aliases = list(aliases).map(str::to_owned).collect();
                Ok(Node {
                    name: (*name).to_owned(),
                    category: (*category).to_owned(),
                    aliases,
                    ancestors,
                })
            })
            .collect();
        Ok(Self {
            nodes: nodes?,
            classes: classes?,
        })
    }

    /// The taxonomy for a classifier with other classes: a class whose name is a label's, or another name of one, is
    /// that label; every other is a label of its own, without parents, category and aliases. Labels that no class is a
    /// kind of are left out.
    pub fn for_classes(&self, names: &[&str]) -> Self {
        let mut known = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for alias in &node.aliases {
                known.entry(alias.to_lowercase()).or_insert(index);
            }
        }
        // A label's own name counts more than that of another one's alias.
        let own = self.nodes.iter().enumerate();
        known.extend(own.map(|(index, node)| (node.name.to_lowercase(), index)));
        let mut wanted: Vec<bool> = vec![false; self.nodes.len()];
        for name in names {
            if let Some(&index) = known.get(&name.trim().to_lowercase()) {
                wanted[index] = true;
                for &ancestor in &self.nodes[index].ancestors {
                    wanted[ancestor] = true;
                }
            }
        }
        let mut places = vec![0; self.nodes.len()];
        let mut nodes: Vec<Node> = Vec::new();
        for (index, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| wanted[*index])
        {
            places[index] = nodes.len();
            nodes.push(node.clone());
        }
        for node in &mut nodes {
            for ancestor in &mut node.ancestors {
                *ancestor = places[*ancestor];
            }
        }
        let mut own: HashMap<String, usize> = HashMap::new();
        let mut classes = Vec::with_capacity(names.len());
        for name in names {
            let lower = name.trim().to_lowercase();
            let place = match known.get(&lower) {
                Some(&index) => places[index],
                None => *own.entry(lower).or_insert_with(|| {
                    nodes.push(Node {
                        name: name.trim().to_owned(),
                        category: String::new(),
                        aliases: Vec::new(),
                        ancestors: Vec::new(),
                    });
                    nodes.len() - 1
                }),
            };
            classes.push(place);
        }
        Self { nodes, classes }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The label of each class, by name.
    pub fn class_names(&self) -> impl Iterator<Item = Arc<str>> {
        let names = self.classes.iter().map(|&label| &self.nodes[label].name);
        names.map(|name| name.as_str().into())
    }

    /// Whether these are names of the taxonomy's own classes in their order, as hubs write them: other names of a thing
    /// after a comma, and here and there another word. In any other order next to none would agree.
    pub fn knows_order(&self, names: &[String]) -> bool {
        let agrees = |(class, name): (usize, &String)| {
            let node = &self.nodes[self.classes[class]];
            let ours = std::iter::once(&node.name).chain(&node.aliases);
            let mut theirs = name.split(',').map(|part| part.trim().to_lowercase());
            theirs.any(|part| ours.clone().any(|ours| ours.to_lowercase() == part))
        };
        names.len() == self.classes.len()
            && 2 * names
                .iter()
                .enumerate()
                .filter(|&pair| agrees(pair))
                .count()
                > names.len()
    }

    /// All labels.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The label of a class, as an index into [`Taxonomy::nodes`].
    ///
    /// # Panics
    /// When `class` is not below [`Taxonomy::classes`].
    pub fn of_class(&self, class: usize) -> usize {
        self.classes[class]
    }

    /// Bytes that the taxonomy holds, about.
    pub fn memory(&self) -> u64 {
        let node = |node: &Node| {
            size_of::<Node>()
                + node.name.len()
                + node.category.len()
                + node
                    .aliases
                    .iter()
                    .map(|alias| alias.len() + size_of::<String>())
                    .sum::<usize>()
                + size_of_val(node.ancestors.as_slice())
        };
        (self.nodes.iter().map(node).sum::<usize>() + size_of_val(self.classes.as_slice())) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The categories that Rekognition documents for general labels (label model 3.0).
    const CATEGORIES: [&str; 40] = [
        "Actions",
        "Animals and Pets",
        "Apparel and Accessories",
        "Beauty and Personal Care",
        "Buildings and Architecture",
        "Colors and Visual Composition",
        "Damage Detection",
        "Education",
        "Events and Attractions",
        "Everyday Objects",
        "Expressions and Emotions",
        "Food and Beverage",
        "Furniture and Furnishings",
        "Health and Fitness",
        "Hobbies and Interests",
        "Home Appliances",
        "Home and Indoors",
        "Kitchen and Dining",
        "Materials",
        "Medical",
        "Nature and Outdoors",
        "Offices and Workspaces",
        "Patterns and Shapes",
        "Performing Arts",
        "Person Description",
        "Plants and Flowers",
        "Popular Landmarks",
        "Profession",
        "Public Safety",
        "Religion",
        "Sports",
        "Symbols and Flags",
        "Technology and Computing",
        "Text and Documents",
        "Tools and Machinery",
        "Toys and Gaming",
        "Transport and Logistics",
        "Travel and Adventure",
        "Vehicles and Automotive",
        "Weapons and Military",
    ];

    fn ancestors(taxonomy: &Taxonomy, class: usize) -> (String, Vec<String>) {
        let node = &taxonomy.nodes()[taxonomy.of_class(class)];
        (
            node.name.clone(),
            node.ancestors
                .iter()
                .map(|&index| taxonomy.nodes()[index].name.clone())
                .collect(),
        )
    }

    #[test]
    fn the_data_is_whole() {
        let taxonomy = Taxonomy::builtin().unwrap();
        assert!(taxonomy.nodes().len() > 1200);
        let mut used = HashSet::new();
        for class in 0..CLASSES {
            let label = taxonomy.of_class(class);
            used.insert(label);
            used.extend(&taxonomy.nodes()[label].ancestors);
        }
        assert_eq!(
            used.len(),
            taxonomy.nodes().len(),
            "a label that no image can have"
        );
        let names: HashSet<String> = taxonomy
            .nodes()
            .iter()
            .map(|node| node.name.to_lowercase())
            .collect();
        assert_eq!(names.len(), taxonomy.nodes().len());
        for node in taxonomy.nodes() {
            assert!(
                CATEGORIES.contains(&node.category.as_str()),
                "{}: {}",
                node.name,
                node.category
            );
            assert!(
                node.name.trim() == node.name && node.name.len() > 1,
                "{:?}",
                node.name
            );
            assert!(
                node.name == "iPod" || node.name.starts_with(|c: char| c.is_uppercase()),
                "{:?}",
                node.name
            );
            assert!(
                !node.name.contains('_') && !node.name.contains("  "),
                "{:?}",
                node.name
            );
            for alias in &node.aliases {
                assert!(
                    !alias.is_empty() && *alias != node.name,
                    "{}: {alias:?}",
                    node.name
                );
                // An alias that is another label would make a filter by name ambiguous.
                assert!(
                    !names.contains(&alias.to_lowercase()),
                    "{}: {alias:?}",
                    node.name
                );
            }
        }
    }

    #[test]
    fn classes_are_in_the_order_of_the_network() {
        // Indices and names as the reference lists them for the golden images.
        let taxonomy = Taxonomy::builtin().unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/golden/efficientnet_lite0.json");
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut checked = 0;
        for item in golden["items"].as_array().unwrap() {
            for top in item["top5"].as_array().unwrap() {
                let (name, label) = (
                    ancestors(&taxonomy, top["idx"].as_u64().unwrap() as usize)
                        .0
                        .to_lowercase(),
                    top["label"].as_str().unwrap().to_lowercase(),
                );
                let renamed = [("disk brake", "disc brake"), ("tabby", "tabby cat")];
                assert!(
                    name == label || renamed.contains(&(&label, &name)),
                    "{label} is {name}"
                );
                checked += 1;
            }
        }
        assert_eq!(checked, 20);
    }

    #[test]
    fn chains_are_what_people_expect() {
        let taxonomy = Taxonomy::builtin().unwrap();
        for (class, name, chain) in [
            (
                282,
                "Tiger Cat",
                vec!["Animal", "Cat", "Feline", "Mammal", "Pet"],
            ),
            (
                207,
                "Golden Retriever",
                vec!["Animal", "Canine", "Dog", "Mammal", "Pet", "Retriever"],
            ),
            (967, "Espresso", vec!["Beverage", "Coffee", "Food"]),
            (
                504,
                "Coffee Mug",
                vec!["Cup", "Drinkware", "Mug", "Tableware"],
            ),
            (817, "Sports Car", vec!["Car", "Transportation", "Vehicle"]),
            (
                134,
                "Crane Bird",
                vec!["Animal", "Bird", "Wading Bird", "Water Bird"],
            ),
            (517, "Construction Crane", vec![]),
            (985, "Daisy", vec!["Flower", "Plant"]),
            (980, "Volcano", vec!["Mountain", "Nature", "Outdoors"]),
            // A picture of any mountain, not of the Alps.
            (970, "Mountain", vec!["Nature", "Outdoors"]),
            // Where WordNet's view of things is not that of most people.
            (276, "Hyena", vec!["Animal", "Mammal", "Wildlife"]),
            (
                388,
                "Giant Panda",
                vec!["Animal", "Bear", "Mammal", "Wildlife"],
            ),
            (
                407,
                "Ambulance",
                vec![
                    "Public Safety Equipment",
                    "Transportation",
                    "Van",
                    "Vehicle",
                ],
            ),
            (934, "Hot Dog", vec!["Food", "Sandwich"]),
            (
                8,
                "Hen",
                vec!["Animal", "Bird", "Chicken", "Livestock", "Poultry"],
            ),
            (981, "Baseball Player", vec!["Athlete", "Person"]),
        ] {
            assert_eq!(
                ancestors(&taxonomy, class),
                (
                    name.to_owned(),
                    chain.into_iter().map(str::to_owned).collect()
                )
            );
        }
        // Classes that are one thing to everybody.
        for (a, b) in [
            (638, 639),
            (836, 837),
            (664, 782),
            (657, 744),
            (620, 681),
            (435, 876),
            (987, 998),
        ] {
            assert_eq!(taxonomy.of_class(a), taxonomy.of_class(b), "{a} and {b}");
        }
    }

    #[test]
    fn classes_in_their_usual_order_are_known_by_name() {
        let taxonomy = Taxonomy::builtin().unwrap();
        // As hubs write them: further names after a comma.
        let names = taxonomy
            .class_names()
            .map(|name| format!("{name}, Latin name"));
        let mut names: Vec<String> = names.collect();
        assert!(taxonomy.knows_order(&names));
        names[..300].fill("another word".to_owned());
        assert!(taxonomy.knows_order(&names));
        names.rotate_left(1);
        assert!(!taxonomy.knows_order(&names));
        names.pop();
        assert!(!taxonomy.knows_order(&names));
    }

    #[test]
    fn other_classes_are_labels_of_the_taxonomy_where_it_knows_them() {
        let taxonomy = Taxonomy::builtin().unwrap();
        let names = ["zebra", "Widget", "house cat", "widget ", "Cat"];
        let other = taxonomy.for_classes(&names);
        assert_eq!(other.classes(), names.len());
        assert_eq!(
            ancestors(&other, 0),
            (
                "Zebra".to_owned(),
                ["Animal", "Equine", "Mammal", "Ungulate", "Wildlife"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
        // Two names of one thing are one label.
        assert_eq!(other.of_class(1), other.of_class(3));
        assert_eq!(other.of_class(2), other.of_class(4));
        assert_eq!(ancestors(&other, 1), ("Widget".to_owned(), Vec::new()));
        let own = &other.nodes()[other.of_class(1)];
        assert!(own.category.is_empty() && own.aliases.is_empty());
        // Nothing else is a label, and ancestors come by name as everywhere.
        let mut all: Vec<&str> = other
            .nodes()
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        all.sort_unstable();
        assert_eq!(
            all,
            [
                "Animal", "Cat", "Equine", "Feline", "Mammal", "Pet", "Ungulate", "Widget",
                "Wildlife", "Zebra"
            ]
        );
    }

    #[test]
    fn damaged_text_is_refused_with_the_reason() {
        let all: String = (0..CLASSES).map(|class| format!("{class};")).collect();
        let good = format!("# comment\nA\tx\tB\t\t{all}\nB\tx\t\tb;bb\t\n");
        assert_eq!(Taxonomy::parse(&good).unwrap().nodes()[0].ancestors, [1]);
        for (from, to, error) in [
            ("B\tx\t\tb", "B\tx\tA\tb", Error::Cycle("A".into())),
            (
                "A\tx\tB",
                "A\tx\tC",
                Error::Parent {
                    label: "A".into(),
                    parent: "C".into(),
                },
            ),
            ("B\tx", "a\tx", Error::Twice("a".into())),
            ("B\tx", "B\t", Error::Line { line: 3 }),
            ("B\tx\t", "B\tx", Error::Line { line: 3 }),
            (
                "A\tx\tB\t\t0;",
                "A\tx\tB\t\t",
                Error::Class {
                    class: "0".into(),
                    labels: 0,
                },
            ),
            (
                "bb\t",
                "bb\t7",
                Error::Class {
                    class: "7".into(),
                    labels: 2,
                },
            ),
            (
                "bb\t",
                "bb\t1000",
                Error::Class {
                    class: "1000".into(),
                    labels: 1,
                },
            ),
            (
                "bb\t",
                "bb\t-1",
                Error::Class {
                    class: "-1".into(),
                    labels: 1,
                },
            ),
        ] {
            assert_eq!(
                Taxonomy::parse(&good.replacen(from, to, 1)).expect_err(to),
                error
            );
        }
    }
}
