//! XGBoost's own model files: JSON and Universal Binary JSON, as XGBoost 1.7 to 3.x write them.
//!
//! The names are those of `LearnerIO::SaveModel`, `GBTreeModel::SaveModel` and `RegTree::SaveModel` at 3.2.0. What is written
//! is what 3.2 writes, except that a single base score is written as a number, which older ones read too.

use super::document::{Value, json, ubj as binary};
use super::forest::Forest;
use super::linear;
use super::objective::{Logistic, Objective};
use super::tree::{NONE, Node, Tree};
use std::collections::BTreeMap;

/// The version whose files these are.
const VERSION: [i64; 3] = [3, 2, 0];

/// XGBoost's word for no parent.
const NO_PARENT: i32 = i32::MAX;

/// A model in Universal Binary JSON, as XGBoost saves it unless told otherwise.
pub fn ubj(forest: &Forest) -> Vec<u8> {
    binary::write(&document(forest))
}

/// A model in JSON.
pub fn json(forest: &Forest) -> Vec<u8> {
    json::write(&document(forest))
}

fn document(forest: &Forest) -> Value {
    let whole =
        |numbers: &mut dyn Iterator<Item = i64>| Value::List(numbers.map(Value::Integer).collect());
    let trees = forest.trees.iter().enumerate();
    let trees = Value::object([
        (
            "cats",
            Value::object([
                ("enc", Value::List(Vec::new())),
                ("feature_segments", Value::Integers(Vec::new())),
                ("sorted_idx", Value::Integers(Vec::new())),
            ]),
        ),
        (
            "gbtree_model_param",
            Value::object([
                ("num_parallel_tree", Value::text(forest.parallel)),
                ("num_trees", Value::text(forest.trees.len())),
            ]),
        ),
        (
            "iteration_indptr",
            whole(&mut forest.rounds.iter().map(|at| *at as i64)),
        ),
        (
            "tree_info",
            whole(&mut forest.group_of.iter().map(|group| i64::from(*group))),
        ),
        (
            "trees",
            Value::List(
                trees
                    .map(|(id, tree)| tree_of(id, tree, forest.columns))
                    .collect(),
            ),
        ),
    ]);
    let booster = match (&forest.linear, &forest.weights) {
        (Some(weights), _) => {
            let model = Value::object([
                (
                    "boosted_rounds",
                    Value::Integer(forest.rounds.len() as i64 - 1),
                ),
                ("weights", Value::Reals(weights.clone())),
            ]);
            Value::object([("model", model), ("name", Value::text("gblinear"))])
        }
        (None, None) => Value::object([("model", trees), ("name", Value::text("gbtree"))]),
        (None, Some(weights)) => Value::object([
            (
                "gbtree",
                Value::object([("model", trees), ("name", Value::text("gbtree"))]),
            ),
            ("name", Value::text("dart")),
            (
                "weight_drop",
                Value::List(
                    weights
                        .iter()
                        .map(|one| Value::Real(f64::from(*one)))
                        .collect(),
                ),
            ),
        ]),
    };
    let classes = match forest.objective {
        Objective::Softmax { classes, .. } => classes,
        _ => 0,
    };
    let targets = if classes == 0 { forest.groups } else { 1 };
    let attributes = forest.attributes.iter();
    let attributes = attributes.map(|(name, text)| (name.clone(), Value::text(text)));
    Value::object([
        (
            "learner",
            Value::object([
                ("attributes", Value::Object(attributes.collect())),
                ("feature_names", Value::List(Vec::new())),
                ("feature_types", Value::List(Vec::new())),
                ("gradient_booster", booster),
                (
                    "learner_model_param",
                    Value::object([
                        ("base_score", Value::text(base_text(&forest.base))),
                        (
                            "boost_from_average",
                            Value::text(u8::from(forest.estimated)),
                        ),
                        ("num_class", Value::text(classes)),
                        ("num_feature", Value::text(forest.columns)),
                        ("num_target", Value::text(targets)),
                    ]),
                ),
                ("objective", objective_of(&forest.objective)),
            ]),
        ),
        ("version", whole(&mut VERSION.into_iter())),
    ])
}

fn base_text(base: &[f32]) -> String {
    match base {
        [first, rest @ ..] if rest.iter().all(|one| one == first) => format!("{first:E}"),
        several => {
            let several: Vec<String> = several.iter().map(|one| format!("{one:E}")).collect();
            format!("[{}]", several.join(","))
        }
    }
}

fn objective_of(objective: &Objective) -> Value {
    let mut parts = vec![("name", Value::text(objective.name()))];
    match objective {
        Objective::SquaredError | Objective::Logistic(_) | Objective::Gamma => {
            parts.push((
                "reg_loss_param",
                Value::object([("scale_pos_weight", Value::text(1))]),
            ));
        }
        Objective::PseudoHuber { slope } => {
            parts.push((
                "pseudo_huber_param",
                Value::object([("huber_slope", Value::text(slope))]),
            ));
        }
        Objective::Poisson { max_delta_step } => parts.push((
            "poisson_regression_param",
            Value::object([("max_delta_step", Value::text(max_delta_step))]),
        )),
        Objective::Tweedie { power } => parts.push((
            "tweedie_regression_param",
            Value::object([("tweedie_variance_power", Value::text(power))]),
        )),
        Objective::Softmax { classes, .. } => parts.push((
            "softmax_multiclass_param",
            Value::object([("num_class", Value::text(classes))]),
        )),
        Objective::Other { name, .. } if name.starts_with("rank:") => {
            parts.push(("lambdarank_param", Value::object([])));
        }
        Objective::Other { name, .. } if name == "reg:quantileerror" => {
            // Its shares are of learning, and not kept.
            let shares = Value::object([("quantile_alpha", Value::text("[0.5]"))]);
            parts.push(("quantile_loss_param", shares));
        }
        Objective::Other { name, .. } if name == "survival:aft" => {
            parts.push(("aft_loss_param", Value::object([])));
        }
        _ => {}
    }
    Value::Object(
        parts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn tree_of(id: usize, tree: &Tree, columns: usize) -> Value {
    let child = |child: u32| if child == NONE { -1 } else { child as i32 };
    let reals = |of: fn(&Node) -> f32| Value::Reals(tree.nodes.iter().map(of).collect());
    let integers = |of: &dyn Fn(&Node) -> i32| Value::Integers(tree.nodes.iter().map(of).collect());
    let types =
        (0..tree.nodes.len() as u32).map(|node| u8::from(tree.categories.contains_key(&node)));
    let sets = tree.categories.values();
    let mut segments = Vec::new();
    let mut passed = 0;
    for set in sets.clone() {
        segments.push(passed);
        passed += set.len() as i64;
    }
    Value::object([
        ("base_weights", reals(|node| node.weight)),
        (
            "categories",
            Value::Integers(sets.clone().flatten().map(|one| *one as i32).collect()),
        ),
        (
            "categories_nodes",
            Value::Integers(tree.categories.keys().map(|node| *node as i32).collect()),
        ),
        ("categories_segments", Value::Longs(segments)),
        (
            "categories_sizes",
            Value::Longs(sets.map(|set| set.len() as i64).collect()),
        ),
        (
            "default_left",
            Value::Bytes(
                tree.nodes
                    .iter()
                    .map(|node| u8::from(node.missing_left))
                    .collect(),
            ),
        ),
        ("id", Value::Integer(id as i64)),
        ("left_children", integers(&|node| child(node.left))),
        ("loss_changes", reals(|node| node.gain)),
        (
            "parents",
            integers(&|node| {
                if node.parent == NONE {
                    NO_PARENT
                } else {
                    node.parent as i32
                }
            }),
        ),
        ("right_children", integers(&|node| child(node.right))),
        ("split_conditions", reals(|node| node.value)),
        ("split_indices", integers(&|node| node.column as i32)),
        ("split_type", Value::Bytes(types.collect())),
        ("sum_hessian", reals(|node| node.hessian)),
        (
            "tree_param",
            Value::object([
                ("num_deleted", Value::text(0)),
                ("num_feature", Value::text(columns)),
                ("num_nodes", Value::text(tree.nodes.len())),
                ("size_leaf_vector", Value::text(1)),
            ]),
        ),
    ])
}

/// Reads a model in either form.
///
/// # Errors
///
/// A sentence that says what is wrong, if it is none or one that is not predicted with here.
pub fn read(bytes: &[u8]) -> Result<Forest, String> {
    let document = match bytes {
        [b'{', b'i' | b'U' | b'I' | b'l' | b'L', ..] => binary::read(bytes)?,
        [b'{' | b' ' | b'\n' | b'\r' | b'\t', ..] => json::read(bytes)?,
        [0x80, ..] => {
            return Err(
                "it is a pickle of Python; what Booster.save_model writes is read".to_owned(),
            );
        }
        _ => {
            return Err("it is neither JSON nor Universal Binary JSON; the binary format of older XGBoost is not read: \
                        load it with XGBoost before 3.1 and save it as .json or .ubj"
                .to_owned());
        }
    };
    forest(&document)
}

fn forest(document: &Value) -> Result<Forest, String> {
    let learner = document.part("learner")?;
    let sizes = learner.part("learner_model_param")?;
    let booster = learner.part("gradient_booster")?;
    let columns = number(sizes, "num_feature")?;
    if columns == 0 || columns >= 1 << 31 {
        return Err(format!("it has {columns} columns"));
    }
    let classes = number(sizes, "num_class")?;
    let targets = match sizes.get("num_target") {
        Some(_) => number(sizes, "num_target")?,
        None => 1,
    };
    let groups = classes.max(targets).max(1);
    if groups > 1 << 20 {
        return Err(format!("it has {groups} numbers a row"));
    }
    let objective = objective(learner.part("objective")?, groups)?;
    let base = base(
        sizes
            .part("base_score")?
            .as_text()
            .ok_or("base_score is no text")?,
        groups,
    )?;
    let begin: Result<Vec<f32>, String> = base
        .iter()
        .map(|base| objective.sum_of(*base).map_err(|error| error.to_string()))
        .collect();
    let attributes = match learner.get("attributes") {
        Some(Value::Object(parts)) => Some(parts.iter()),
        _ => None,
    };
    let attributes = attributes
        .into_iter()
        .flatten()
        .filter_map(|(name, text)| Some((name.clone(), text.as_text()?.to_owned())));
    let mut forest = Forest {
        objective,
        columns,
        groups,
        base,
        begin: begin?,
        estimated: sizes.get("boost_from_average").and_then(Value::as_text) == Some("1"),
        trees: Vec::new(),
        group_of: Vec::new(),
        weights: None,
        linear: None,
        parallel: 1,
        rounds: vec![0],
        attributes: attributes.collect(),
    };
    match booster.part("name")?.as_text() {
        Some("gbtree") => trees(&mut forest, booster.part("model")?)?,
        Some("dart") => {
            trees(&mut forest, booster.part("gbtree")?.part("model")?)?;
            let weights = booster.part("weight_drop")?.reals();
            let weights = weights.ok_or("weight_drop is no list of numbers")?;
            if weights.len() != forest.trees.len() {
                return Err(format!(
                    "weight_drop has {} numbers for {} trees",
                    weights.len(),
                    forest.trees.len()
                ));
            }
            forest.weights = Some(weights);
        }
        Some("gblinear") => weights(&mut forest, booster.part("model")?)?,
        Some(other) => {
            return Err(format!(
                "it is of booster {other}, and gbtree, dart and gblinear are predicted with"
            ));
        }
        None => return Err("its booster has no name".to_owned()),
    }
    Ok(forest)
}

/// Most rounds that a model of `gblinear` may say it has.
const MOST_ROUNDS: usize = 1 << 20;

/// Reads the weights of `gblinear`.
fn weights(forest: &mut Forest, model: &Value) -> Result<(), String> {
    let weights = model.part("weights")?.reals();
    let weights = weights.ok_or("weights is no list of numbers")?;
    if weights.len() != (forest.columns + 1) * forest.groups {
        return Err(format!(
            "it has {} weights for {} columns and {} numbers a row",
            weights.len(),
            forest.columns,
            forest.groups
        ));
    }
    let rounds = match model.get("boosted_rounds") {
        Some(_) => number(model, "boosted_rounds")?,
        None => 0,
    };
    if rounds > MOST_ROUNDS {
        return Err(format!("it has {rounds} rounds"));
    }
    linear::begin(&mut forest.begin);
    forest.rounds = vec![0; rounds + 1];
    forest.linear = Some(weights);
    Ok(())
}

/// Reads the trees of `gbtree`.
fn trees(forest: &mut Forest, model: &Value) -> Result<(), String> {
    let (columns, groups) = (forest.columns, forest.groups);
    let listed = model.part("trees")?.list().ok_or("trees is no list")?;
    let group_of = model
        .part("tree_info")?
        .integers()
        .ok_or("tree_info is no list of numbers")?;
    if group_of.len() != listed.len() {
        return Err(format!(
            "tree_info has {} numbers for {} trees",
            group_of.len(),
            listed.len()
        ));
    }
    let group_of: Option<Vec<u32>> = group_of
        .iter()
        .map(|group| {
            u32::try_from(*group)
                .ok()
                .filter(|group| (*group as usize) < groups)
        })
        .collect();
    let group_of = group_of.ok_or("tree_info names a class that is not there")?;
    let mut trees: Vec<Option<Tree>> = listed.iter().map(|_| None).collect();
    for (place, listed) in listed.iter().enumerate() {
        let id = listed.part("id")?.as_integer();
        let id = id.and_then(|id| usize::try_from(id).ok());
        let free = id
            .and_then(|id| trees.get_mut(id))
            .filter(|free| free.is_none());
        let free = free.ok_or_else(|| format!("tree {place} has no number of its own"))?;
        *free = Some(tree(listed, columns).map_err(|why| format!("tree {place}: {why}"))?);
    }
    let trees: Vec<Tree> = trees.into_iter().flatten().collect();
    let parallel = number(model.part("gbtree_model_param")?, "num_parallel_tree")?.max(1);
    let rounds = match model.get("iteration_indptr") {
        Some(rounds) => rounds
            .integers()
            .ok_or("iteration_indptr is no list of numbers")?,
        None => {
            let size = parallel.saturating_mul(groups);
            (0..=trees.len() / size)
                .map(|round| (round * size) as i64)
                .collect()
        }
    };
    if rounds.first() != Some(&0)
        || rounds.last() != Some(&(trees.len() as i64))
        || !rounds.is_sorted()
    {
        return Err("iteration_indptr does not part the trees".to_owned());
    }
    forest.trees = trees;
    forest.group_of = group_of;
    forest.parallel = parallel;
    forest.rounds = rounds.iter().map(|at| *at as usize).collect();
    Ok(())
}

/// A whole number that is written as a text.
fn number(of: &Value, name: &str) -> Result<usize, String> {
    let part = of.part(name)?;
    let number = match part {
        Value::Text(text) => text.trim().parse().ok(),
        other => other
            .as_integer()
            .and_then(|number| usize::try_from(number).ok()),
    };
    number.ok_or_else(|| format!("{name} is no whole number"))
}

/// A number that is written as a text.
fn real(of: &Value, part: &str, name: &str) -> Option<f32> {
    match of.get(part)?.get(name)? {
        Value::Text(text) => text.trim().parse().ok(),
        other => other.as_real(),
    }
    .filter(|number: &f32| number.is_finite())
}

/// Reads `5E-1`, `[5E-1]` or `[1E0,2E0]`.
fn base(text: &str, groups: usize) -> Result<Vec<f32>, String> {
    let bare = text
        .trim()
        .trim_start_matches(['[', '('])
        .trim_end_matches([']', ')']);
    let read: Option<Vec<f32>> = bare
        .split(',')
        .map(|one| one.trim().parse().ok().filter(|one: &f32| one.is_finite()))
        .collect();
    match read {
        Some(one) if one.len() == 1 => Ok(one.repeat(groups)),
        Some(several) if several.len() == groups => Ok(several),
        _ => Err(format!(
            "base_score is {text:?}, and should be a number or {groups}"
        )),
    }
}

fn objective(value: &Value, groups: usize) -> Result<Objective, String> {
    let name = value
        .part("name")?
        .as_text()
        .ok_or("its objective has no name")?;
    let found = match name {
        "reg:squarederror" | "reg:linear" => Objective::SquaredError,
        "reg:squaredlogerror" => Objective::SquaredLogError,
        "reg:logistic" => Objective::Logistic(Logistic::Regression),
        "binary:logistic" => Objective::Logistic(Logistic::Binary),
        "binary:logitraw" => Objective::Logistic(Logistic::Raw),
        "reg:absoluteerror" => Objective::AbsoluteError,
        "reg:pseudohubererror" => Objective::PseudoHuber {
            slope: real(value, "pseudo_huber_param", "huber_slope").unwrap_or(1.0),
        },
        "binary:hinge" => Objective::Hinge,
        "reg:gamma" => Objective::Gamma,
        "reg:tweedie" => Objective::Tweedie {
            power: real(value, "tweedie_regression_param", "tweedie_variance_power").unwrap_or(1.5),
        },
        "count:poisson" => Objective::Poisson {
            max_delta_step: real(value, "poisson_regression_param", "max_delta_step")
                .unwrap_or(0.7),
        },
        "multi:softmax" | "multi:softprob" => Objective::Softmax {
            classes: groups,
            probabilities: name == "multi:softprob",
        },
        "rank:pairwise" | "rank:ndcg" | "rank:map" => Objective::Other {
            name: name.to_owned(),
            exponential: false,
        },
        "reg:quantileerror" => Objective::Other {
            name: name.to_owned(),
            exponential: false,
        },
        "survival:cox" => Objective::Cox,
        "survival:aft" => Objective::Other {
            name: name.to_owned(),
            exponential: true,
        },
        other => {
            return Err(format!(
                "it is of objective {other}, which is not predicted with here"
            ));
        }
    };
    Ok(found)
}

fn tree(value: &Value, columns: usize) -> Result<Tree, String> {
    let sizes = value.part("tree_param")?;
    if sizes.get("size_leaf_vector").is_some() && number(sizes, "size_leaf_vector")? > 1 {
        return Err("its leaves have several numbers, which is not predicted with here".to_owned());
    }
    let count = number(sizes, "num_nodes")?;
    let wrong = |name: &str| format!("{name} does not have a number for each of {count} nodes");
    let integers = |name: &str| {
        let list = value.part(name)?.integers();
        list.filter(|list| list.len() == count)
            .ok_or_else(|| wrong(name))
    };
    let reals = |name: &str| {
        let list = value.part(name)?.reals();
        list.filter(|list| list.len() == count)
            .ok_or_else(|| wrong(name))
    };
    let (lefts, rights) = (integers("left_children")?, integers("right_children")?);
    if count == 0 {
        return Err("it has no nodes".to_owned());
    }
    let indices = integers("split_indices")?;
    let conditions = reals("split_conditions")?;
    let default_left = integers("default_left")?;
    let optional = |name: &str| match value.get(name) {
        Some(_) => reals(name),
        None => Ok(vec![0.0; count]),
    };
    let (gains, hessians, weights) = (
        optional("loss_changes")?,
        optional("sum_hessian")?,
        optional("base_weights")?,
    );
    let mut parents = vec![NONE; count];
    for (node, (left, right)) in lefts.iter().zip(&rights).enumerate() {
        if (*left, *right) == (-1, -1) {
            continue;
        }
        for child in [*left, *right] {
            let child = usize::try_from(child)
                .ok()
                .filter(|child| (1..count).contains(child));
            let child =
                child.ok_or_else(|| format!("node {node} has a child that is not there"))?;
            // As each has one parent and the root none, nothing goes round from the root.
            if parents[child] != NONE {
                return Err(format!("node {child} has two parents"));
            }
            parents[child] = node as u32;
        }
    }
    let categories = categories(value, count)?;
    let mut nodes = Vec::with_capacity(count);
    for place in 0..count {
        let is_leaf = lefts[place] == -1;
        let column = u32::try_from(indices[place])
            .ok()
            .filter(|column| (*column as usize) < columns);
        if !is_leaf && column.is_none() {
            return Err(format!(
                "node {place} asks for column {} of {columns}",
                indices[place]
            ));
        }
        let value = conditions[place];
        if value.is_nan() && !categories.contains_key(&(place as u32))
            || is_leaf && value.is_infinite()
        {
            return Err(format!("node {place} has no number"));
        }
        nodes.push(Node {
            left: if is_leaf { NONE } else { lefts[place] as u32 },
            right: if is_leaf { NONE } else { rights[place] as u32 },
            parent: parents[place],
            column: column.unwrap_or_default(),
            value,
            missing_left: default_left[place] != 0,
            gain: gains[place],
            hessian: hessians[place],
            weight: weights[place],
        });
    }
    if nodes[0].parent != NONE {
        return Err("its root has a parent".to_owned());
    }
    Ok(reached(Tree { nodes, categories }))
}

/// Categories of the nodes that ask for them.
fn categories(value: &Value, count: usize) -> Result<BTreeMap<u32, Vec<u32>>, String> {
    let list = |name: &str| match value.get(name) {
        Some(list) => list
            .integers()
            .ok_or_else(|| format!("{name} is no list of numbers")),
        None => Ok(Vec::new()),
    };
    let (nodes, all) = (list("categories_nodes")?, list("categories")?);
    let (segments, sizes) = (list("categories_segments")?, list("categories_sizes")?);
    let types = list("split_type")?;
    let mut sets = BTreeMap::new();
    let mut left = all.len();
    for (place, node) in nodes.iter().enumerate() {
        let node = u32::try_from(*node)
            .ok()
            .filter(|node| (*node as usize) < count);
        let span = segments.get(place).zip(sizes.get(place));
        let span = span.and_then(|(first, size)| {
            let (first, size) = (usize::try_from(*first).ok()?, usize::try_from(*size).ok()?);
            // No part of the list is for two nodes, so sets take no more than the list.
            left = left.checked_sub(size)?;
            all.get(first..first.checked_add(size)?)
        });
        let (Some(node), Some(span)) = (node, span) else {
            return Err("its categories are not there".to_owned());
        };
        let set: Option<Vec<u32>> = span.iter().map(|one| u32::try_from(*one).ok()).collect();
        let mut set = set.ok_or("a category is negative")?;
        set.sort_unstable();
        sets.insert(node, set);
    }
    for (node, kind) in types.iter().enumerate() {
        if (*kind == 1) != sets.contains_key(&(node as u32)) || !(0..=1).contains(kind) {
            return Err(format!(
                "node {node} asks for categories that are not there"
            ));
        }
    }
    Ok(sets)
}

/// Without the nodes that were pruned, which XGBoost leaves in the file.
fn reached(tree: Tree) -> Tree {
    let mut order = vec![0u32];
    let mut at = 0;
    while let Some(node) = order.get(at) {
        let node = &tree.nodes[*node as usize];
        if !node.is_leaf() {
            order.extend([node.left, node.right]);
        }
        at += 1;
    }
    if order.len() == tree.nodes.len() {
        return tree;
    }
    let mut places = vec![NONE; tree.nodes.len()];
    for (place, node) in order.iter().enumerate() {
        places[*node as usize] = place as u32;
    }
    let moved = |node: u32| {
        if node == NONE {
            NONE
        } else {
            places[node as usize]
        }
    };
    let nodes = order.iter().map(|node| {
        let node = tree.nodes[*node as usize];
        Node {
            left: moved(node.left),
            right: moved(node.right),
            parent: moved(node.parent),
            ..node
        }
    });
    let sets = tree.categories.iter();
    let sets = sets.filter(|(node, _)| moved(**node) != NONE);
    Tree {
        nodes: nodes.collect(),
        categories: sets
            .map(|(node, set)| (moved(*node), set.clone()))
            .collect(),
    }
}
