//! Rounds of boosting, of each of the boosters.

use super::bins::Bins;
use super::cox;
use super::draw::{Draw, uniform};
use super::drops::Drops;
use super::file;
use super::forest::{Forest, Walk, fit};
use super::grow::{Gradients, Grower, Grown};
use super::histogram::{Pair, Scale};
use super::linear::{self, Columns, Descent};
use super::objective::{Objective, Targets, median};
use super::settings::{Booster, Settings};
use crate::{Channels, Error, Features, Result, Table, Watch};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows whose gradients one thread computes at once.
const CHUNK: usize = 1 << 13;

/// Sums of rows and classes that are kept; twelve bytes each.
const MOST: usize = 1 << 31;

/// Columns that are learned from at most: each has a bin at least, in the histograms of many nodes.
const WIDEST: usize = 1 << 22;

/// A channel whose metrics are told each round.
struct Watched<'a> {
    name: &'static str,
    features: &'a Features,
    targets: Targets<'a>,
    /// What trees add up to, `groups` for each row.
    sums: Vec<f32>,
}

impl Watched<'_> {
    /// Adds up all that was learned, from the beginning.
    fn learned(&mut self, forest: &Forest) {
        self.sums = forest.begin(self.features.rows());
        let walk = forest.walk(self.features);
        forest.add(&walk, self.features, &mut self.sums);
    }

    /// Adds what some trees say.
    fn add(&mut self, forest: &Forest, trees: impl Iterator<Item = usize> + Clone) {
        let walk = Walk::new(trees.map(|tree| forest.tree(tree)), self.features);
        walk.add(self.features, forest.groups, &mut self.sums);
    }
}

/// When to stop early: the best of the last metric of the validation channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Best {
    round: u64,
    /// The bits of the score, which may be no number.
    score: Option<u64>,
}

/// What a process that goes on needs, before the model in a checkpoint.
#[derive(Serialize, Deserialize)]
struct Header {
    rows: usize,
    done: u64,
    best: Best,
    size: usize,
}

/// The threads that training may use.
struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    fn new(count: Option<usize>) -> Result<Self> {
        let pool = count.map(|count| rayon::ThreadPoolBuilder::new().num_threads(count).build());
        match pool.transpose() {
            Ok(pool) => Ok(Self(pool)),
            Err(error) => Err(Error::input(format!("hyperparameter nthread: {error}"))),
        }
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Learns.
pub fn train(settings: &Settings, channels: &Channels, watch: &mut dyn Watch) -> Result<Forest> {
    let table = &channels.train;
    let (rows, columns, groups) = (table.rows(), table.columns(), settings.objective.groups());
    if rows == 0 || columns == 0 {
        return Err(Error::input("the train channel has no rows"));
    }
    fit(&table.features, columns)?;
    if columns > WIDEST {
        return Err(Error::input(format!(
            "rows have {columns} columns, and at most {WIDEST} are learned from"
        )));
    }
    if u32::try_from(rows).is_err() {
        return Err(Error::input(format!(
            "{rows} rows are more than can be counted"
        )));
    }
    if rows.checked_mul(groups).is_none_or(|sums| sums > MOST) {
        return Err(Error::input(format!(
            "{rows} rows with num_class {groups} have more sums than the {MOST} that are kept"
        )));
    }
    let targets = targets(table, "train", settings)?;
    let mut begin = match settings.base {
        Some(base) => vec![base; groups],
        None => settings.objective.base(&targets),
    };
    let base = begin.clone();
    for sum in &mut begin {
        *sum = settings.objective.sum_of(*sum)?;
    }
    if matches!(settings.booster, Booster::Linear(_)) {
        linear::begin(&mut begin);
    }
    let mut forest = Forest {
        objective: settings.objective.clone(),
        columns,
        groups,
        base,
        begin,
        estimated: settings.base.is_none(),
        trees: Vec::new(),
        group_of: Vec::new(),
        weights: matches!(settings.booster, Booster::Dropping(_)).then(Vec::new),
        linear: match settings.booster {
            Booster::Linear(_) => Some(nothing(columns, groups)?),
            _ => None,
        },
        parallel: settings.parallel,
        rounds: vec![0],
        attributes: Default::default(),
    };
    let mut own = Watched {
        name: "train",
        features: &table.features,
        targets,
        sums: forest.begin(rows),
    };
    let mut validation = match &channels.validation {
        Some(table) => Some(watched(table, "validation", settings, &forest)?),
        None => None,
    };
    if settings.patience.is_some() && validation.is_none() {
        watch.log("early_stopping_rounds is without effect, since there is no validation channel");
    }
    if !settings.unused.is_empty() {
        let names = settings.unused.join(", ");
        watch.log(&format!(
            "{names} are of trees, and booster gblinear has none"
        ));
    }
    watch.log(&format!(
        "Train matrix has {rows} rows and {columns} columns"
    ));
    if let Some(validation) = &validation {
        watch.log(&format!(
            "Validation matrix has {} rows",
            validation.targets.labels.len()
        ));
    }
    let threads = Threads::new(settings.threads)?;
    let (features, weights) = (&table.features, table.weights.as_deref());
    let bins = match settings.booster {
        Booster::Linear(_) => None,
        _ => Some(threads.run(|| Bins::new(features, weights, settings.most_bins))?),
    };
    let mut best = Best::default();
    let mut done = 0;
    if let Some(bytes) = watch.resume() {
        match resumed(&bytes, &forest, rows, settings) {
            Ok((header, found)) => {
                watch.log(&format!("Resuming from iteration {}", header.done));
                forest = found;
                for watched in std::iter::once(&mut own).chain(&mut validation) {
                    threads.run(|| watched.learned(&forest));
                }
                best = header.best;
                done = header.done;
            }
            Err(why) => watch.log(&format!(
                "the checkpoint is not of this training and is not used: {why}"
            )),
        }
    }
    let learner = match &bins {
        Some(bins) => Learner::Trees(Grower::new(bins, &settings.rules)),
        None => Learner::Linear {
            columns: Columns::new(features),
            rows: weights.map_or(rows as f64, |weights| {
                weights.iter().copied().map(f64::from).sum()
            }),
        },
    };
    let mut training = Training {
        settings,
        order: match settings.objective {
            Objective::Cox => cox::order(own.targets.labels),
            _ => Vec::new(),
        },
        forest,
        own,
        validation,
        learner,
        gradients: vec![[0f32; 2]; rows * groups],
        pairs: vec![[0; 2]; rows],
    };
    while done < settings.rounds && !is_over(settings, &best, done) {
        if watch.stopped() {
            if done == 0 {
                return Err(Error::Stopped);
            }
            watch.checkpoint(&mut || checkpoint(&training.forest, rows, done, &best));
            break;
        }
        let measured = threads.run(|| training.round(done))?;
        tell(settings, &measured, done, &mut best, watch);
        done += 1;
        watch.progress(done, settings.rounds);
        watch.checkpoint(&mut || checkpoint(&training.forest, rows, done, &best));
    }
    let mut forest = training.forest;
    if let (Some(_), Some(score)) = (settings.patience, best.score) {
        forest.truncate(best.round as usize + 1);
        let (round, score) = (best.round.to_string(), f64::from_bits(score).to_string());
        forest.attributes.insert("best_iteration".to_owned(), round);
        forest.attributes.insert("best_score".to_owned(), score);
    }
    if let Some(test) = &channels.test {
        let mut test = watched(test, "test", settings, &forest)?;
        let measured = threads.run(|| {
            test.learned(&forest);
            measured(settings, &test)
        });
        let mut line = String::from("test");
        for Measured { metric, value, .. } in measured {
            line += &format!("\ttest-{metric}:{value:.5}");
            watch.metric(&format!("test:{metric}"), value);
        }
        watch.log(&line);
    }
    Ok(forest)
}

/// What learns from gradients.
enum Learner<'a> {
    Trees(Grower<'a>),
    Linear {
        columns: Columns,
        /// The sum of what rows count.
        rows: f64,
    },
}

/// What is kept between rounds.
struct Training<'a> {
    settings: &'a Settings,
    forest: Forest,
    own: Watched<'a>,
    validation: Option<Watched<'a>>,
    learner: Learner<'a>,
    /// Rows by their time, where the objective asks for that.
    order: Vec<u32>,
    gradients: Vec<[f32; 2]>,
    pairs: Vec<Pair>,
}

impl Training<'_> {
    /// Learns for a round, and measures what that made of it.
    fn round(&mut self, done: u64) -> Result<Vec<Measured>> {
        match self.settings.booster {
            Booster::Trees => self.grow(done, &[], [1.0, 1.0])?,
            Booster::Dropping(drops) => self.drop_and_grow(drops, done)?,
            Booster::Linear(descent) => self.descend(descent)?,
        }
        let watched = std::iter::once(&self.own).chain(&self.validation);
        Ok(watched
            .flat_map(|watched| measured(self.settings, watched))
            .collect())
    }

    /// Takes a step with each weight of a linear model.
    fn descend(&mut self, descent: Descent) -> Result<()> {
        differentiate(self.settings, &self.own, &self.order, &mut self.gradients)?;
        let groups = self.forest.groups;
        let (Learner::Linear { columns, rows }, Some(weights)) =
            (&self.learner, &mut self.forest.linear)
        else {
            return Ok(());
        };
        let gradients = &mut self.gradients;
        linear::descend(descent, columns, *rows, weights, gradients, groups);
        self.forest.rounds.push(0);
        for watched in std::iter::once(&mut self.own).chain(&mut self.validation) {
            watched.learned(&self.forest);
        }
        Ok(())
    }

    /// Adds the trees of a round that are learned without some of those before.
    fn drop_and_grow(&mut self, drops: Drops, done: u64) -> Result<()> {
        let settings = self.settings;
        let weights = self.forest.weights.as_deref().unwrap_or_default();
        let dropped = drops.draw(settings.seed, done, weights);
        let new = self.forest.groups * settings.parallel;
        let (kept, fresh) = drops.counts(dropped.len(), new, settings.rules.eta);
        if !dropped.is_empty() {
            let rest = (0..weights.len()).filter(|tree| dropped.binary_search(tree).is_err());
            self.own.sums = self.forest.begin(self.own.features.rows());
            self.own.add(&self.forest, rest);
        }
        self.grow(done, &dropped, [kept, fresh])
    }

    /// Adds the trees of a round. Those that were dropped, whose part the sums are without, count `kept` of what they did from
    /// here on, and the new ones `fresh`.
    fn grow(&mut self, done: u64, dropped: &[usize], [kept, fresh]: [f32; 2]) -> Result<()> {
        let settings = self.settings;
        let groups = self.forest.groups;
        let largest = differentiate(settings, &self.own, &self.order, &mut self.gradients)?;
        // Medians are of what was lacking before the round.
        let before = match settings.objective.has_medians() {
            true => self.own.sums.clone(),
            false => Vec::new(),
        };
        let eta = settings.rules.eta / settings.parallel as f32;
        let first = self.forest.trees.len();
        for (group, largest) in largest.into_iter().enumerate() {
            let scale = Scale::new(self.gradients.len() / groups, largest);
            for parallel in 0..settings.parallel {
                let place = [done, group as u64, parallel as u64];
                self.scale(group, scale, place);
                let draw = Draw::at(settings.seed, &[&[1], place.as_slice()].concat());
                let given = Gradients {
                    pairs: &self.pairs,
                    scale,
                };
                let Learner::Trees(grower) = &mut self.learner else {
                    return Ok(());
                };
                let mut grown = grower.grow(&given, eta, draw);
                let rows = grower.rows();
                if settings.objective.has_medians() {
                    refresh(
                        &mut grown,
                        rows,
                        &self.pairs,
                        &self.own.targets,
                        &before,
                        eta,
                    );
                }
                // Rows know their leaves, so nobody walks down the tree.
                for (leaf, range) in &grown.leaves {
                    let value = grown.tree.nodes[*leaf as usize].value * fresh;
                    for row in &rows[range.clone()] {
                        self.own.sums[*row as usize * groups + group] += value;
                    }
                }
                self.forest.trees.push(grown.tree);
                self.forest.group_of.push(group as u32);
                if let Some(weights) = &mut self.forest.weights {
                    weights.push(fresh);
                }
            }
        }
        self.forest.rounds.push(self.forest.trees.len());
        if let (Some(weights), false) = (&mut self.forest.weights, dropped.is_empty()) {
            for tree in dropped {
                weights[*tree] *= kept;
            }
            self.own.add(&self.forest, dropped.iter().copied());
            if let Some(validation) = &mut self.validation {
                validation.learned(&self.forest);
            }
        } else if let Some(validation) = &mut self.validation {
            validation.add(&self.forest, first..self.forest.trees.len());
        }
        Ok(())
    }

    /// Gradients of a group as whole numbers; none of rows that a tree does not learn from.
    fn scale(&mut self, group: usize, scale: Scale, place: [u64; 3]) {
        let groups = self.forest.groups;
        let gradients = &self.gradients;
        let share = f64::from(self.settings.subsample);
        let key = Draw::at(self.settings.seed, &[&[0], place.as_slice()].concat()).next();
        let chunks = self.pairs.par_chunks_mut(CHUNK).enumerate();
        chunks.for_each(|(chunk, pairs)| {
            for (place, pair) in pairs.iter_mut().enumerate() {
                let row = chunk * CHUNK + place;
                *pair = match share >= 1.0 || uniform(key, row as u64) < share {
                    true => scale.whole(gradients[row * groups + group]),
                    false => [0; 2],
                };
            }
        });
    }
}

/// Has leaves answer with the median of what their rows lack.
fn refresh(
    grown: &mut Grown,
    rows: &[u32],
    pairs: &[Pair],
    targets: &Targets<'_>,
    before: &[f32],
    eta: f32,
) {
    for (leaf, range) in &grown.leaves {
        let rows = rows[range.clone()].iter().copied();
        let drawn: Vec<u32> = rows.filter(|row| pairs[*row as usize][1] != 0).collect();
        let rest = |row: usize| targets.labels[row] - before[row];
        if let Some(median) = median(&drawn, targets, rest) {
            grown.tree.nodes[*leaf as usize].value = median * eta;
        }
    }
}

/// The weights of a linear model that has learned nothing.
fn nothing(columns: usize, groups: usize) -> Result<Vec<f32>> {
    match (columns + 1).checked_mul(groups) {
        Some(count) if count <= MOST => Ok(vec![0.0; count]),
        _ => Err(Error::input(format!(
            "{columns} columns with num_class {groups} have more weights than the {MOST} that are kept"
        ))),
    }
}

/// A number that was measured.
struct Measured {
    channel: &'static str,
    metric: String,
    value: f64,
    /// Where training is stopped by this number, whether more is better.
    stops: Option<bool>,
}

/// Whether rounds went by without a better score.
fn is_over(settings: &Settings, best: &Best, done: u64) -> bool {
    let stops = |patience: u64| best.score.is_some() && done - best.round > patience;
    settings.patience.is_some_and(stops)
}

fn targets<'a>(table: &'a Table, channel: &str, settings: &Settings) -> Result<Targets<'a>> {
    let labels = table.labels.as_deref();
    let labels =
        labels.ok_or_else(|| Error::input(format!("the {channel} channel has no labels")))?;
    if labels.len() != table.rows() {
        return Err(Error::input(format!(
            "the {channel} channel has {} labels for {} rows",
            labels.len(),
            table.rows()
        )));
    }
    settings.objective.check(labels)?;
    let weights = table.weights.as_deref();
    if let Some(weights) = weights {
        if weights.len() != labels.len() {
            return Err(Error::input(format!(
                "the {channel} channel has {} weights for {} rows",
                weights.len(),
                labels.len()
            )));
        }
        if let Some(weight) = weights
            .iter()
            .find(|weight| !(weight.is_finite() && **weight >= 0.0))
        {
            return Err(Error::input(format!(
                "a weight of the {channel} channel is {weight}, and weights must not be negative"
            )));
        }
        if !weights.iter().any(|weight| *weight > 0.0) {
            return Err(Error::input(format!(
                "all weights of the {channel} channel are 0"
            )));
        }
    }
    Ok(Targets {
        labels,
        weights,
        positive: settings.positive,
    })
}

fn watched<'a>(
    table: &'a Table,
    name: &'static str,
    settings: &Settings,
    forest: &Forest,
) -> Result<Watched<'a>> {
    fit(&table.features, forest.columns)?;
    if table.rows() == 0 {
        return Err(Error::input(format!("the {name} channel has no rows")));
    }
    Ok(Watched {
        name,
        features: &table.features,
        targets: targets(table, name, settings)?,
        sums: forest.begin(table.rows()),
    })
}

/// Gradients of all rows, and the largest of each group. `order` is that of the rows' times, where the objective asks for it.
fn differentiate(
    settings: &Settings,
    own: &Watched<'_>,
    order: &[u32],
    gradients: &mut [[f32; 2]],
) -> Result<Vec<[f32; 2]>> {
    let groups = settings.objective.groups();
    let of_all = settings.objective == Objective::Cox;
    if of_all {
        cox::gradients(&own.sums, &own.targets, order, gradients);
    }
    let parts: Vec<Vec<[f32; 2]>> = gradients
        .par_chunks_mut(CHUNK * groups)
        .enumerate()
        .map(|(chunk, gradients)| {
            let mut largest = vec![[0f32; 2]; groups];
            for (place, out) in gradients.chunks_exact_mut(groups).enumerate() {
                if !of_all {
                    let row = chunk * CHUNK + place;
                    let sums = &own.sums[row * groups..(row + 1) * groups];
                    settings.objective.gradients(sums, row, &own.targets, out);
                }
                for (largest, pair) in largest.iter_mut().zip(out) {
                    for part in 0..2 {
                        // What is no number must not be lost to `max`.
                        let size = pair[part].abs();
                        largest[part] = if size > largest[part] || size.is_nan() {
                            size
                        } else {
                            largest[part]
                        };
                    }
                }
            }
            largest
        })
        .collect();
    let mut all = vec![[0f32; 2]; groups];
    for (group, part) in parts.iter().flat_map(|part| part.iter().enumerate()) {
        for which in 0..2 {
            if !part[which].is_finite() {
                return Err(Error::Diverged(
                    "gradients grew beyond what can be counted with; smaller labels, a smaller eta or max_delta_step help".to_owned(),
                ));
            }
            all[group][which] = all[group][which].max(part[which]);
        }
    }
    Ok(all)
}

fn measured(settings: &Settings, watched: &Watched<'_>) -> Vec<Measured> {
    let groups = settings.objective.groups();
    let mut answers = watched.sums.clone();
    answers.par_chunks_mut(CHUNK * groups).for_each(|some| {
        some.chunks_exact_mut(groups)
            .for_each(|own| settings.objective.transform(own));
    });
    let last = settings.metrics.len() - 1;
    let metrics = settings.metrics.iter().enumerate();
    metrics
        .map(|(place, metric)| Measured {
            channel: watched.name,
            metric: metric.name(),
            value: metric.measure(&answers, groups, &watched.targets),
            stops: (place == last && watched.name == "validation").then(|| metric.is_better_high()),
        })
        .collect()
}

/// Says what was measured in a round, and remembers the best one.
fn tell(
    settings: &Settings,
    measured: &[Measured],
    round: u64,
    best: &mut Best,
    watch: &mut dyn Watch,
) {
    let mut line = format!("[{round}]");
    for Measured {
        channel,
        metric,
        value,
        stops,
    } in measured
    {
        line += &format!("\t{channel}-{metric}:{value:.5}");
        watch.metric(&format!("{channel}:{metric}"), *value);
        let (Some(_), Some(high)) = (settings.patience, stops) else {
            continue;
        };
        let better = best
            .score
            .map(f64::from_bits)
            .is_none_or(|best| match high {
                true => *value > best,
                false => *value < best,
            });
        if better {
            *best = Best {
                round,
                score: Some(value.to_bits()),
            };
        }
    }
    watch.log(&line);
}

fn checkpoint(forest: &Forest, rows: usize, done: u64, best: &Best) -> Vec<u8> {
    let model = file::ubj(forest);
    let header = Header {
        rows,
        done,
        best: best.clone(),
        size: model.len(),
    };
    let mut bytes = serde_json::to_vec(&header).expect("plain numbers");
    bytes.push(b'\n');
    bytes.extend(model);
    bytes
}

/// What a checkpoint holds, if it is of this training.
fn resumed(
    bytes: &[u8],
    begun: &Forest,
    rows: usize,
    settings: &Settings,
) -> std::result::Result<(Header, Forest), String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("it has no header")?;
    let header: Header =
        serde_json::from_slice(&bytes[..end]).map_err(|error| error.to_string())?;
    let model = &bytes[end + 1..];
    if model.len() != header.size {
        return Err("it is cut off".to_owned());
    }
    let forest = file::read(model)?;
    let of_same = Forest {
        trees: forest.trees.clone(),
        group_of: forest.group_of.clone(),
        weights: match (&begun.weights, &forest.weights) {
            (Some(_), Some(weights)) => Some(weights.clone()),
            _ => begun.weights.clone(),
        },
        linear: match (&begun.linear, &forest.linear) {
            (Some(_), Some(weights)) => Some(weights.clone()),
            _ => begun.linear.clone(),
        },
        rounds: forest.rounds.clone(),
        ..begun.clone()
    };
    let fits = forest == of_same
        && header.rows == rows
        && header.done <= settings.rounds
        && forest.rounds.len() as u64 == header.done + 1
        && header.best.round <= header.done;
    match fits {
        true => Ok((header, forest)),
        false => Err("it was made from other tables or hyperparameters".to_owned()),
    }
}
