//! The human ratings of VADER as examples of sentiment.
//!
//! Hutto and Gilbert (2014), "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
//! had about twenty people rate each of 23,703 sentences (tweets, film reviews, product reviews, newspaper
//! editorials) from -4 to 4. The archive holds `<stem>_GroundTruth.txt` (id, mean, text) and `<stem>_anonDataRatings.txt`
//! (id, mean, standard deviation, list of ratings), tab-separated.
//!
//! **Targets.** With p, n and z the shares of raters above, below and at zero and m the smaller of p and n, the target
//! is POSITIVE p-m, NEGATIVE n-m, NEUTRAL z, MIXED 2m.
//!
//! **Split.** By document (review, article; tweets and film snippets stand alone): a tenth for testing, a tenth for
//! development, by the SHA-256 of `42:<domain>:<document>`. What occurs in either is not trained on.
//!
//! **Composed examples.** Rater disagreement is not what MIXED means: one text that says both. So clearly positive
//! and clearly negative sentences of the training part are joined (`but`, `although`, two sentences, …) as MIXED, and,
//! so that the join itself says nothing, positive with positive and negative with negative as what they are.

use super::random;
use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::Path;

/// The labels, in the order of the targets.
pub const LABELS: [&str; 4] = ["POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"];

/// Domains and the stems of their files.
const DOMAINS: [(&str, &str); 4] = [
    ("tweets", "tweets"),
    ("movie", "movieReviewSnippets"),
    ("amazon", "amazonReviewSnippets"),
    ("nyt", "nytEditorialSnippets"),
];

/// Most bytes read of one member of the archive.
const MEMBER: u64 = 16 << 20;

/// A rated sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    /// The sentence.
    pub text: String,
    /// Probabilities of [`LABELS`].
    pub target: [f32; 4],
    /// Mean rating.
    pub mean: f32,
    /// `tweets`, `movie`, `amazon`, `nyt`.
    pub domain: String,
}

/// The three parts.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// To learn from.
    pub train: Vec<Rated>,
    /// To stop early, to calibrate and to choose settings by.
    pub dev: Vec<Rated>,
    /// To report on, once.
    pub test: Vec<Rated>,
}

/// Reads `hutto_ICWSM_2014.tar.gz` and splits it.
///
/// # Errors
/// When the archive cannot be read or is not that one.
pub fn open(archive: &Path) -> Result<Split> {
    let file = |source: std::io::Error| Error::File {
        path: archive.into(),
        source,
    };
    let mut members = HashMap::new();
    let mut tar = tar::Archive::new(GzDecoder::new(std::fs::File::open(archive).map_err(file)?));
    for entry in tar.entries().map_err(file)? {
        let entry = entry.map_err(file)?;
        let path = entry.path().map_err(file)?.into_owned();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.ends_with("_GroundTruth.txt") || name.ends_with("_anonDataRatings.txt") {
            let name = name.to_owned();
            let mut bytes = Vec::new();
            entry.take(MEMBER).read_to_end(&mut bytes).map_err(file)?;
            members.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    let mut split = Split::default();
    for (domain, stem) in DOMAINS {
        let get = |suffix: &str| {
            members.get(&format!("{stem}_{suffix}.txt")).ok_or_else(|| {
                Error::unsupported(format!(
                    "{} holds no {stem}_{suffix}.txt",
                    archive.display()
                ))
            })
        };
        read_domain(
            domain,
            get("GroundTruth")?,
            get("anonDataRatings")?,
            &mut split,
        );
    }
    if split.train.len() < 1000 || split.dev.is_empty() || split.test.is_empty() {
        return Err(Error::unsupported(format!(
            "{} holds only {} sentences",
            archive.display(),
            split.train.len()
        )));
    }
    let held: HashSet<String> = split
        .dev
        .iter()
        .chain(&split.test)
        .map(|r| key(&r.text))
        .collect();
    split
        .train
        .retain(|rated| !held.contains(&key(&rated.text)));
    Ok(split)
}

fn key(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn read_domain(domain: &str, truth: &str, ratings: &str, split: &mut Split) {
    let ratings: HashMap<&str, Vec<f32>> = lines(ratings)
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let id = fields.next()?;
            let list = fields.nth(2)?.trim().trim_matches(['[', ']']);
            let values: Vec<f32> = list
                .split(',')
                .filter_map(|x| x.trim().parse().ok())
                .collect();
            (!values.is_empty()).then_some((id, values))
        })
        .collect();
    for line in lines(truth) {
        let mut fields = line.splitn(3, '\t');
        let (Some(id), Some(mean), Some(text)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Some(ratings), Ok(mean)) = (ratings.get(id), mean.trim().parse::<f32>()) else {
            continue;
        };
        let document = id.split('_').next().unwrap_or(id);
        let digest = Sha256::digest(format!("42:{domain}:{document}"));
        let place = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let part = match f64::from(place) / f64::from(u32::MAX) {
            x if x < 0.1 => &mut split.test,
            x if x < 0.2 => &mut split.dev,
            _ => &mut split.train,
        };
        part.push(Rated {
            text: unescape(text).trim().to_owned(),
            target: target(ratings),
            mean,
            domain: domain.to_owned(),
        });
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(|line| line.trim_end_matches('\r'))
}

/// See the module's text.
fn target(ratings: &[f32]) -> [f32; 4] {
    let share = |wanted: &dyn Fn(f32) -> bool| {
        ratings.iter().filter(|&&r| wanted(r)).count() as f32 / ratings.len().max(1) as f32
    };
    let (p, n) = (share(&|r| r > 0.0), share(&|r| r < 0.0));
    let both = p.min(n);
    [p - both, n - both, (1.0 - p - n).max(0.0), 2.0 * both]
}

/// The three entities that occur, some of them escaped twice.
fn unescape(text: &str) -> String {
    let once = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    once(&once(text))
}

/// What two sentences are joined by.
const JOINS: [&str; 11] = [
    " but ",
    ", but ",
    ", but ",
    ". But ",
    " although ",
    "; however, ",
    ". However, ",
    ". ",
    ". ",
    " while ",
    " yet ",
];

/// `count` joined examples of MIXED and as many that are not, from the clear sentences of `train`.
pub fn composed(train: &[Rated], count: usize, seed: u64) -> Vec<Rated> {
    // Clear and short enough that two fit.
    let mut clear: BTreeMap<(&str, bool), Vec<&Rated>> = BTreeMap::new();
    for rated in train {
        if rated.mean.abs() >= 1.2 && rated.text.len() < 180 {
            clear
                .entry((&rated.domain, rated.mean > 0.0))
                .or_default()
                .push(rated);
        }
    }
    let mut at = 0;
    let mut pick = |among: usize| {
        at += 1;
        (random(seed, at) % among.max(1) as u64) as usize
    };
    let mut all = Vec::with_capacity(2 * count);
    for index in 0..count {
        let (domain, _) = DOMAINS[pick(DOMAINS.len())];
        let (Some(positive), Some(negative)) =
            (clear.get(&(domain, true)), clear.get(&(domain, false)))
        else {
            continue;
        };
        let good = positive[pick(positive.len())];
        let bad = negative[pick(negative.len())];
        let (first, second) = if pick(2) == 0 {
            (good, bad)
        } else {
            (bad, good)
        };
        let text = if pick(10) == 0 {
            format!(
                "Although {}, {}",
                lower(stem(&first.text)),
                lower(&second.text)
            )
        } else {
            join(&first.text, &second.text, JOINS[pick(JOINS.len())])
        };
        all.push(Rated {
            text,
            target: [0.06, 0.1, 0.02, 0.82],
            mean: 0.0,
            domain: domain.to_owned(),
        });
        let alike = if index % 2 == 0 { positive } else { negative };
        let (first, second) = (alike[pick(alike.len())], alike[pick(alike.len())]);
        let by = [". ", " and ", ". ", ", and "][pick(4)];
        all.push(Rated {
            text: join(&first.text, &second.text, by),
            target: std::array::from_fn(|i| (first.target[i] + second.target[i]) / 2.0),
            mean: (first.mean + second.mean) / 2.0,
            domain: domain.to_owned(),
        });
    }
    all
}

fn stem(text: &str) -> &str {
    text.trim_end_matches([' ', '.', '!', '?'])
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

fn join(first: &str, second: &str, by: &str) -> String {
    let second = if by.ends_with(". ") {
        second.to_owned()
    } else {
        lower(second)
    };
    format!("{}{by}{second}", stem(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_shares_of_the_raters() {
        assert_eq!(target(&[1.0, 2.0, 3.0, 0.0]), [0.75, 0.0, 0.25, 0.0]);
        assert_eq!(target(&[1.0, -2.0, -3.0, 0.0]), [0.0, 0.25, 0.25, 0.5]);
    }

    #[test]
    fn a_domain_is_read_with_its_carriage_returns_marks_and_entities() {
        let truth = "\u{feff}1_1\t1.5\ta &amp;amp; b &lt;3\r\n1_2\t-2\tbad\r\nbroken\r\n9_9\t1\tunrated\r\n";
        let ratings = "\u{feff}1_1\t1.5\t0.5\t[2, 1]\r\n1_2\t-2\t0\t[-2, -2]\r\n";
        let mut split = Split::default();
        read_domain("nyt", truth, ratings, &mut split);
        // Both sentences are of one document, so they are in one part.
        let parts = [split.train, split.dev, split.test];
        let part = parts.iter().find(|part| !part.is_empty()).expect("a part");
        assert_eq!(part.len(), 2);
        assert_eq!(part[0].text, "a & b <3");
        assert_eq!(part[0].target, [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(part[1].mean, -2.0);
    }

    #[test]
    fn composed_examples_join_clear_sentences_and_are_the_same_every_time() {
        let rated = |text: &str, mean: f32| Rated {
            text: text.to_owned(),
            target: if mean > 0.0 {
                [1.0, 0.0, 0.0, 0.0]
            } else {
                [0.0, 1.0, 0.0, 0.0]
            },
            mean,
            domain: "tweets".to_owned(),
        };
        let train = [
            rated("Good.", 3.0),
            rated("Bad!", -3.0),
            rated("Unclear", 0.5),
        ];
        let all = composed(&train, 40, 7);
        assert_eq!(all, composed(&train, 40, 7));
        assert!(!all.is_empty());
        for example in &all {
            let text = example.text.to_lowercase();
            assert!(!text.contains("unclear"));
            let mixed = text.contains("good") && text.contains("bad");
            assert_eq!(mixed, example.target[3] > 0.5, "{text}");
        }
    }
}
