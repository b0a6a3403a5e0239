//! Which words of an image are wanted: those that are sure, large and in some place enough. Rekognition's `DetectTextFilters`.

use super::OcrFound;
use super::recognise::Word;
use crate::vision::Point;

/// A part of an image, in shares of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Region {
    /// Left, top, right and bottom.
    Box([f32; 4]),
    /// Corners.
    Polygon(Vec<Point>),
}

impl Region {
    /// Whether a point, in shares of the image, lies in it.
    fn holds(&self, point: Point) -> bool {
        match self {
            Self::Box([left, top, right, bottom]) => {
                (*left..=*right).contains(&point.x) && (*top..=*bottom).contains(&point.y)
            }
            // A ray to the right crosses the edge of what holds the point an odd number of times.
            Self::Polygon(corners) => {
                let edges = corners.iter().zip(corners.iter().cycle().skip(1));
                let crossed = edges.filter(|(a, b)| {
                    (a.y > point.y) != (b.y > point.y)
                        && point.x < (b.x - a.x) * (point.y - a.y) / (b.y - a.y) + a.x
                });
                crossed.count() % 2 == 1
            }
        }
    }
}

/// What words must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WordFilter {
    /// Least confidence, 0 to 1.
    pub least: f32,
    /// Least height of the box around a word, as a share of the image's.
    pub height: f32,
    /// Least width of that box, as a share of the image's.
    pub width: f32,
    /// Where the middle of a word must be, in one of these; anywhere if there are none.
    pub regions: Vec<Region>,
}

/// A word's or line's corners as shares of its image, and the box around them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Clockwise from the upper left one as the text is read.
    pub corners: [Point; 4],
    /// The upper left corner of the box.
    pub low: Point,
    /// Its lower right corner.
    pub high: Point,
}

impl Geometry {
    /// That of a word of an image.
    pub fn of(found: &OcrFound, word: &Word) -> Self {
        let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
        let corners = word
            .quad
            .map(|corner| Point::new(corner.x / width, corner.y / height));
        let fold = |pick: fn(f32, f32) -> f32| {
            let first = corners[0];
            corners.iter().fold(first, |so_far, corner| {
                Point::new(pick(so_far.x, corner.x), pick(so_far.y, corner.y))
            })
        };
        Self {
            corners,
            low: fold(f32::min),
            high: fold(f32::max),
        }
    }
}

impl WordFilter {
    /// Whether a word of this place is wanted.
    pub fn keeps(&self, word: &Word, place: &Geometry) -> bool {
        let middle = Point::mean(&place.corners);
        let mut regions = self.regions.iter();
        word.score >= self.least
            && place.high.y - place.low.y >= self.height
            && place.high.x - place.low.x >= self.width
            && (self.regions.is_empty() || regions.any(|region| region.holds(middle)))
    }

    /// What is found without the words that are not wanted, and without the lines that have none left.
    pub fn apply(&self, mut found: OcrFound) -> OcrFound {
        let mut lines = std::mem::take(&mut found.lines);
        lines.retain_mut(|line| {
            line.words
                .retain(|word| self.keeps(word, &Geometry::of(&found, word)));
            !line.words.is_empty()
        });
        found.lines = lines;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::recognise::Reading;
    use super::*;

    fn word(text: &str, score: f32, [left, top, right, bottom]: [f32; 4]) -> Word {
        Word {
            text: text.to_owned(),
            score,
            quad: [(left, top), (right, top), (right, bottom), (left, bottom)]
                .map(|(x, y)| Point::new(x, y)),
        }
    }

    fn found() -> OcrFound {
        let sure = word("sure", 0.9, [10.0, 10.0, 50.0, 30.0]);
        let small = word("small", 0.8, [60.0, 20.0, 70.0, 25.0]);
        let doubtful = word("doubtful", 0.3, [100.0, 80.0, 180.0, 95.0]);
        let reading = |words: Vec<Word>| Reading {
            line: word("line", 0.9, [10.0, 10.0, 180.0, 95.0]),
            words,
        };
        OcrFound {
            width: 200,
            height: 100,
            lines: vec![reading(vec![sure, small]), reading(vec![doubtful])],
        }
    }

    #[test]
    fn words_are_kept_that_are_sure_large_and_where_they_should_be() {
        let corners = [(0.5, 0.5), (1.0, 0.5), (1.0, 1.0)].map(|(x, y)| Point::new(x, y));
        let all = WordFilter::default();
        for (filter, left) in [
            (all.clone(), "sure small doubtful"),
            (
                WordFilter {
                    least: 0.5,
                    ..all.clone()
                },
                "sure small",
            ),
            (
                WordFilter {
                    height: 0.1,
                    ..all.clone()
                },
                "sure doubtful",
            ),
            (
                WordFilter {
                    width: 0.3,
                    ..all.clone()
                },
                "doubtful",
            ),
            (
                WordFilter {
                    regions: vec![Region::Box([0.0, 0.0, 0.2, 1.0])],
                    ..all.clone()
                },
                "sure",
            ),
            (
                WordFilter {
                    regions: vec![Region::Polygon(corners.to_vec())],
                    ..all.clone()
                },
                "",
            ),
            (
                WordFilter {
                    regions: vec![
                        Region::Polygon(vec![
                            Point::new(0.5, 0.5),
                            Point::new(1.0, 0.5),
                            Point::new(1.0, 1.0),
                            Point::new(0.5, 1.0),
                        ]),
                        Region::Box([0.3, 0.2, 0.4, 0.3]),
                    ],
                    ..all
                },
                "small doubtful",
            ),
        ] {
            let kept = filter.apply(found());
            let words = kept.lines.iter().flat_map(|line| &line.words);
            let texts: Vec<&str> = words.map(|word| word.text.as_str()).collect();
            assert_eq!(texts.join(" "), left, "{filter:?}");
            assert!(kept.lines.iter().all(|line| !line.words.is_empty()));
        }
    }
}
