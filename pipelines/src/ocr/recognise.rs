//! What the recogniser sees, and characters from its numbers (connectionist temporal classification).
//!
//! The network goes along a line in steps of some pixels and says at each step which character it sees, or that it
//! sees none (the blank). The same character in consecutive steps is one; a blank between separates two.

use super::blanks::{Blank, blanks};
use super::rectify::{Picture, ROWS};
use super::{Quad, broken, planes, resize};
use crate::error::{Error, Kind, Result};
use crate::vision::Point;

/// Fewest columns that the network sees; shorter lines have nothing beside them.
const COLUMNS: u32 = 320;
/// Most columns; what is longer is squeezed. A line of this length has some two hundred characters.
const MOST_COLUMNS: u32 = 3200;
/// A line below this mean of its characters says nothing.
const LINE: f32 = 0.5;

/// What the recogniser can say: its classes are a blank, these, and the space.
#[derive(Clone, Debug)]
pub struct Characters {
    list: Vec<String>,
}

impl Characters {
    /// Characters as they lie beside the network: one a line, in the order of its classes.
    ///
    /// # Errors
    /// `Unavailable` when there are none.
    pub fn parse(text: &str) -> Result<Self> {
        let list: Vec<String> = text.split('\n').map(str::to_owned).collect();
        if text.is_empty() || list.iter().any(String::is_empty) {
            let message = "the list of characters is damaged; pull the model again";
            return Err(Error::new(Kind::Unavailable, message));
        }
        Ok(Self { list })
    }

    /// Classes of the network.
    pub fn classes(&self) -> usize {
        self.list.len() + 2
    }

    /// What a class says; `None` for the blank.
    fn of(&self, class: usize) -> Option<&str> {
        let index = class.checked_sub(1)?;
        Some(self.list.get(index).map_or(" ", String::as_str))
    }

    /// Bytes held, about.
    pub fn memory(&self) -> u64 {
        let texts = self.list.iter().map(|c| c.len() + size_of::<String>());
        texts.sum::<usize>() as u64
    }
}

/// What the network sees of a line.
#[derive(Debug)]
pub struct Input {
    /// Planes of blue, green and red, 48 rows.
    pub planes: Vec<f32>,
    /// Columns.
    pub width: u32,
    /// The part of the columns that the line fills, 0 to 1.
    pub filled: f32,
    /// Columns of the line without ink.
    pub blanks: Vec<Blank>,
}

/// A picture as the network was trained to see it.
pub fn input(picture: &Picture) -> Input {
    let (width, height) = picture.image.dimensions();
    let natural = (ROWS as f32 * width as f32 / height.max(1) as f32) as u32;
    let columns = natural.clamp(COLUMNS, MOST_COLUMNS);
    let used = picture.columns(columns);
    let line = resize(&picture.image, used, ROWS);
    Input {
        planes: planes(&line, columns),
        width: columns,
        filled: used as f32 / columns as f32,
        blanks: blanks(&line),
    }
}

/// A character or several that were read, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// The mean of its characters' scores, 0 to 1.
    pub score: f32,
    /// Its corners in the image that the line was cut from.
    pub quad: Quad,
}

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The line.
    pub line: Word,
    /// Its words: what stands between spaces.
    pub words: Vec<Word>,
}

struct Character<'a> {
    text: &'a str,
    score: f32,
    step: usize,
}

/// Reads a line from the network's shares, `characters.classes()` a step. `None` when it is not sure enough, or
/// there is nothing but marks. Words begin and end at the columns without ink that lie between them.
///
/// # Errors
/// `Internal` when the answer has another size or holds what is not a number.
pub fn read(
    answer: &[f32],
    characters: &Characters,
    filled: f32,
    blanks: &[Blank],
    quad: &Quad,
) -> Result<Option<Reading>> {
    let classes = characters.classes();
    if answer.is_empty() || !answer.len().is_multiple_of(classes) {
        return Err(broken("an answer of another size"));
    }
    if !answer.iter().all(|share| share.is_finite()) {
        return Err(broken("a share that is no number"));
    }
    let steps = answer.len() / classes;
    let mut found = Vec::new();
    let mut before = 0;
    for (step, shares) in answer.chunks_exact(classes).enumerate() {
        // The first of equals, as the reference has it.
        let (class, score) =
            shares
                .iter()
                .enumerate()
                .fold((0, f32::MIN), |best, (class, &share)| {
                    if share > best.1 { (class, share) } else { best }
                });
        if class != before
            && let Some(text) = characters.of(class)
        {
            found.push(Character { text, score, step });
        }
        before = class;
    }
    let all_words: Vec<&[Character<'_>]> = found
        .split(|c| c.text.trim().is_empty())
        .filter(|word| !word.is_empty())
        .collect();
    let score = mean(&found);
    if all_words.iter().copied().flatten().all(|c| is_mark(c.text)) || score < LINE {
        return Ok(None);
    }
    // How far along the line a step lies.
    let place = |character: &Character<'_>| {
        let step = character.step as f32 + 0.5;
        (step / steps as f32 / filled.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0)
    };
    // The first word begins and the last one ends where the line does.
    let (mut words, mut from) = (Vec::new(), 0.0);
    for (index, word) in all_words.iter().enumerate() {
        let next = all_words.get(index + 1).and_then(|next| next.first());
        let (to, start) = match (word.last(), next) {
            (Some(last), Some(next)) => between(place(last), place(next), blanks),
            _ => (1.0, 1.0),
        };
        words.push(Word {
            text: word.iter().map(|c| c.text).collect(),
            score: mean(word),
            quad: part(quad, from, to),
        });
        from = start;
    }
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let text = texts.join(" ");
    Ok(Some(Reading {
        words,
        line: Word {
            text,
            score,
            quad: *quad,
        },
    }))
}

/// Whether a character alone says nothing: punctuation, but not signs such as `+` and `€`.
fn is_mark(text: &str) -> bool {
    const MARKS: &str =
        "!\"'()*,-./:;?[\\]^_`{|}~¡¿«»·•‘’‚“”„‹›–—…、。〈〉《》「」『』【】！（），：；？";
    text.chars().all(|c| MARKS.contains(c) || c.is_whitespace())
}

/// Where a word ends whose last character is at `last`, and where the next begins whose first is at `next`: around
/// the widest blank between them, or both in the middle.
fn between(last: f32, next: f32, blanks: &[Blank]) -> (f32, f32) {
    let inside = |blank: &&Blank| (last..next).contains(&blank.from.midpoint(blank.to));
    let width = |blank: &Blank| blank.to - blank.from;
    let widest = blanks
        .iter()
        .filter(inside)
        .max_by(|a, b| width(a).total_cmp(&width(b)));
    let middle = (last + next) / 2.0;
    widest.map_or((middle, middle), |blank| {
        // Faint edges of letters reach into it.
        let edge = width(blank) / 4.0;
        (blank.from + edge, blank.to - edge)
    })
}

/// The readings of consecutive parts of a line as that of the line with these corners.
pub fn joined(parts: Vec<Reading>, quad: &Quad) -> Option<Reading> {
    let words: Vec<Word> = parts.iter().flat_map(|part| part.words.clone()).collect();
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let weight = |word: &Word| word.text.chars().count() as f32;
    let sum = |of: &dyn Fn(&Word) -> f32| parts.iter().map(|part| of(&part.line)).sum::<f32>();
    let line = Word {
        text: texts.join(" "),
        score: sum(&|line| line.score * weight(line)) / sum(&weight),
        quad: *quad,
    };
    (!words.is_empty()).then_some(Reading { line, words })
}

fn mean(characters: &[Character<'_>]) -> f32 {
    characters.iter().map(|c| c.score).sum::<f32>() / characters.len().max(1) as f32
}

/// The part of a quadrangle between two places along it.
pub(super) fn part(quad: &Quad, from: f32, to: f32) -> Quad {
    let between =
        |a: Point, b: Point, at: f32| Point::new(a.x + (b.x - a.x) * at, a.y + (b.y - a.y) * at);
    let [a, b, c, d] = *quad;
    [
        between(a, b, from),
        between(a, b, to),
        between(d, c, to),
        between(d, c, from),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn characters() -> Characters {
        Characters::parse("a\nb\nc").unwrap()
    }

    /// One step a letter; `_` is the blank.
    fn shares(steps: &str, sure: f32) -> Vec<f32> {
        let row = |c: char| {
            let class = "_abc ".find(c).unwrap();
            (0..5).map(move |i| if i == class { sure } else { (1.0 - sure) / 4.0 })
        };
        steps.chars().flat_map(row).collect()
    }

    fn quad() -> Quad {
        [(0.0, 0.0), (100.0, 0.0), (100.0, 10.0), (0.0, 10.0)].map(|(x, y)| Point::new(x, y))
    }

    fn text(steps: &str) -> Option<String> {
        let reading = read(&shares(steps, 0.9), &characters(), 1.0, &[], &quad()).unwrap();
        reading.map(|reading| reading.line.text)
    }

    #[test]
    fn repeats_are_one_and_blanks_separate() {
        assert_eq!(text("_aa_ab__c"), Some("aabc".to_owned()));
        assert_eq!(text("a  b"), Some("a b".to_owned()));
        assert_eq!(text("  a _ b _ "), Some("a b".to_owned()));
        assert_eq!(text("____"), None);
        assert_eq!(text(" _ "), None);
        let unsure = read(&shares("abc", 0.4), &characters(), 1.0, &[], &quad()).unwrap();
        assert_eq!(unsure, None);
    }

    #[test]
    fn words_lie_where_their_characters_were_seen() {
        let reading = read(&shares("a_b_ _c_c_", 0.9), &characters(), 1.0, &[], &quad())
            .unwrap()
            .unwrap();
        let words: Vec<_> = reading.words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(words, ["ab", "cc"]);
        let [left, right] = [&reading.words[0].quad, &reading.words[1].quad];
        assert_eq!((left[0].x, right[1].x), (0.0, 100.0));
        assert!(left[1].x > 25.0 && left[1].x <= 45.0, "{left:?}");
        assert!(right[0].x >= 45.0 && right[0].x < 65.0, "{right:?}");
        assert!((reading.words[0].score - 0.9).abs() < 1e-6);
        // Half of what the network saw was padding, so places are twice as far along.
        let half = read(
            &shares("a_b_ _c_c_a_________", 0.9),
            &characters(),
            0.55,
            &[],
            &quad(),
        )
        .unwrap()
        .unwrap();
        assert!(half.words[0].quad[1].x < 45.0 && half.words[1].quad[0].x > 35.0);
    }

    #[test]
    fn words_end_where_the_ink_does() {
        let blanks = [(0.1, 0.15), (0.5, 0.6), (0.9, 1.0)].map(|(from, to)| Blank { from, to });
        let reading = read(
            &shares("a_b_ _c_c_", 0.9),
            &characters(),
            1.0,
            &blanks,
            &quad(),
        );
        let words = reading.unwrap().unwrap().words;
        let [left, right] = [&words[0].quad, &words[1].quad];
        assert!((left[1].x - 52.5).abs() < 0.1 && (right[0].x - 57.5).abs() < 0.1);
    }

    #[test]
    fn marks_alone_say_nothing() {
        let marks = Characters::parse("*\n,\n+").unwrap();
        let said = |steps: &str| {
            let reading = read(&shares(steps, 0.9), &marks, 1.0, &[], &quad()).unwrap();
            reading.map(|reading| reading.line.text)
        };
        assert_eq!((said("a_a a"), said(" b ")), (None, None));
        assert_eq!(said("a c"), Some("* +".to_owned()));
    }

    #[test]
    fn parts_of_a_line_are_one() {
        let part = |steps: &str, sure| {
            let shares = shares(steps, sure);
            read(&shares, &characters(), 1.0, &[], &quad())
                .unwrap()
                .unwrap()
        };
        let line = joined(vec![part("a_b c", 0.9), part("b", 0.6)], &quad()).unwrap();
        assert_eq!((line.line.text.as_str(), line.words.len()), ("ab c b", 3));
        assert!((line.line.score - 0.84).abs() < 0.01, "{}", line.line.score);
        assert_eq!(joined(Vec::new(), &quad()), None);
    }

    #[test]
    fn broken_answers_are_errors() {
        for answer in [vec![], vec![0.1; 7], vec![f32::NAN; 10]] {
            let error = read(&answer, &characters(), 1.0, &[], &quad()).unwrap_err();
            assert_eq!(error.kind(), Kind::Internal);
        }
        assert!(Characters::parse("").is_err() && Characters::parse("a\n\nb").is_err());
        assert_eq!(characters().classes(), 5);
    }

    #[test]
    fn lines_fill_what_they_need() {
        let picture = |width, height| Picture {
            image: RgbImage::new(width, height),
            quad: quad(),
            laid: false,
        };
        for (size, width, filled) in [
            ((100, 48), 320, 100.0 / 320.0),
            ((960, 48), 960, 1.0),
            ((10_000, 20), MOST_COLUMNS, 1.0),
            ((1, 400), 320, 1.0 / 320.0),
        ] {
            let input = input(&picture(size.0, size.1));
            assert_eq!((input.width, input.filled), (width, filled), "{size:?}");
            assert_eq!(input.planes.len() as u32, 3 * ROWS * width);
        }
    }
}
