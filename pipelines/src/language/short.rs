//! Texts of a few words, of which the model knows next to nothing.
//!
//! Its table of words and n-grams was cut to a megabyte, and `very good` has no row left in it: the answer is then that of
//! an empty text, which is how often each language stood in the training data. For texts of few letters three things
//! that the model does not look at decide with it:
//!
//! 1. **Scripts.** A language is not told of letters that it is not written with: no Thai of `Great phone`.
//! 2. **Frequent words** (`words.tsv`): where the model knows nothing or is unsure, the language that has most of the
//!    words. A word of several languages counts for each a part.
//! 3. **A floor.** Where the model knows nothing and no word decides, only the likeliest language in the script is told,
//!    with the model's probability.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Letters of a text that counts as short.
const LETTERS: usize = 32;
/// From this probability on the model is sure.
const SURE: f32 = 0.6;
/// Words that decide alone are sure by this much, and by so much more for each further word.
const WORD: f32 = 0.7;
const MORE: f32 = 0.08;
const MOST: f32 = 0.94;

/// The letters of one language in the list of words, or several.
static WORDS: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut words: HashMap<&str, Vec<&str>> = HashMap::new();
    let lines = include_str!("words.tsv").lines();
    for (language, list) in lines.filter_map(|line| line.split_once('\t')) {
        for word in list.split(' ') {
            let languages = words.entry(word).or_default();
            if !languages.contains(&language) {
                languages.push(language);
            }
        }
    }
    words
});

/// Alphabets that tell languages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Hebrew,
    Arabic,
    Devanagari,
    Thai,
    Georgian,
    Hangul,
    Kana,
    Han,
    Other,
}

impl Script {
    fn of(c: char) -> Option<Self> {
        if !c.is_alphabetic() {
            return None;
        }
        Some(match c {
            'a'..='z' | 'A'..='Z' | '\u{aa}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Self::Latin,
            '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Self::Greek,
            '\u{400}'..='\u{52f}' => Self::Cyrillic,
            '\u{530}'..='\u{58f}' => Self::Armenian,
            '\u{590}'..='\u{5ff}' => Self::Hebrew,
            '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8ff}' => Self::Arabic,
            '\u{900}'..='\u{97f}' => Self::Devanagari,
            '\u{e00}'..='\u{e7f}' => Self::Thai,
            '\u{10a0}'..='\u{10ff}' => Self::Georgian,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => Self::Hangul,
            '\u{3040}'..='\u{30ff}' => Self::Kana,
            '\u{3400}'..='\u{9fff}' => Self::Han,
            _ => Self::Other,
        })
    }

    /// A language that is written with it and with nothing else is told of texts in it alone.
    fn writes(self, language: &str) -> bool {
        match language {
            "el" => self == Self::Greek,
            "ru" | "uk" | "be" | "bg" | "mk" | "ba" | "ce" | "cv" | "kk" | "ky" | "mn" | "os"
            | "sah" | "tg" | "tt" | "tyv" | "udm" | "mhr" | "mrj" | "myv" | "kv" | "krc" | "av"
            | "lez" | "xal" | "rue" | "bxr" => self == Self::Cyrillic,
            "hy" => self == Self::Armenian,
            "he" | "yi" => self == Self::Hebrew,
            "ar" | "arz" | "fa" | "ur" | "ckb" | "ps" | "sd" | "ug" | "pnb" | "mzn" | "azb" => {
                self == Self::Arabic
            }
            "hi" | "mr" | "ne" | "sa" | "bh" | "mai" | "new" | "gom" | "dty" => {
                self == Self::Devanagari
            }
            "th" => self == Self::Thai,
            "ka" | "xmf" => self == Self::Georgian,
            "ko" => matches!(self, Self::Hangul | Self::Han),
            "ja" => matches!(self, Self::Kana | Self::Han),
            "zh" | "yue" | "wuu" => self == Self::Han,
            "am" | "as" | "bn" | "bo" | "bpy" | "dv" | "gu" | "km" | "kn" | "lo" | "ml" | "my"
            | "or" | "pa" | "si" | "ta" | "te" => self == Self::Other,
            // Serbian and Uzbek have two alphabets.
            "sr" | "uz" => matches!(self, Self::Latin | Self::Cyrillic),
            _ => self == Self::Latin,
        }
    }

    /// The language that most texts of one word in it are in, where the model knows nothing.
    fn likeliest(self) -> Option<&'static str> {
        Some(match self {
            Self::Greek => "el",
            Self::Cyrillic => "ru",
            Self::Armenian => "hy",
            Self::Hebrew => "he",
            Self::Arabic => "ar",
            Self::Devanagari => "hi",
            Self::Thai => "th",
            Self::Georgian => "ka",
            Self::Hangul => "ko",
            Self::Kana => "ja",
            Self::Han => "zh",
            Self::Latin | Self::Other => return None,
        })
    }
}

/// The script of most of its letters, and how many letters there are; nothing of a text that is not short.
fn script(text: &str) -> Option<(Option<Script>, usize)> {
    let mut counts = [0usize; Script::Other as usize + 1];
    let (mut letters, mut best) = (0, None);
    for own in text.chars().filter_map(Script::of) {
        letters += 1;
        if letters > LETTERS {
            return None;
        }
        counts[own as usize] += 1;
        best = match best {
            Some(best) if counts[best as usize] >= counts[own as usize] => Some(best),
            _ => Some(own),
        };
    }
    Some((best, letters))
}

/// The languages of a short text from what the model says of each, in the order of its labels; `known` says whether it
/// knows any word or n-gram of the text. Nothing where the model's answer stands.
pub(super) fn decide(
    text: &str,
    labels: &[String],
    scores: &[f32],
    known: bool,
) -> Option<Vec<(usize, f32)>> {
    let (script, letters) = script(text)?;
    let likeliest = |scores: &[f32]| {
        let all = scores.iter().copied().enumerate();
        all.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    // Signs and figures are in no language: the model's likeliest, as it stands.
    let Some(script) = script.filter(|_| letters > 0) else {
        return likeliest(scores).map(|one| vec![one]);
    };
    let possible: Vec<f32> = scores
        .iter()
        .zip(labels)
        .map(|(score, label)| if script.writes(label) { *score } else { 0.0 })
        .collect();
    let left: f32 = possible.iter().sum();
    if left <= f32::MIN_POSITIVE {
        return None;
    }
    let (best, score) = likeliest(&possible)?;
    let cut = left < 0.9;
    if known && score >= SURE {
        // Nothing to decide; what cannot be is not told.
        return cut.then(|| shares(&possible, 1.0 / left));
    }
    let at = |language: &str| labels.iter().position(|label| label == language);
    let of_words = votes(text).and_then(|(language, sure)| Some((at(language)?, sure)));
    let of_script = || Some((at(script.likeliest()?)?, WORD));
    let decided = match known {
        true => of_words,
        false => of_words.or_else(of_script),
    };
    if let Some((language, sure)) = decided {
        let sure = sure.max(if language == best { score } else { 0.0 });
        // What is left goes to the others as the model has it.
        let others = left - possible[language];
        let share = if others > 0.0 {
            (1.0 - sure) / others
        } else {
            0.0
        };
        let mut told = match known {
            true => shares(&possible, share),
            false => Vec::new(),
        };
        told.retain(|(label, _)| *label != language);
        told.push((language, sure));
        return Some(told);
    }
    match known {
        true => cut.then(|| shares(&possible, 1.0)),
        false => Some(vec![(best, score)]),
    }
}

fn shares(scores: &[f32], times: f32) -> Vec<(usize, f32)> {
    let all = scores.iter().map(|score| (score * times).min(1.0));
    all.enumerate().filter(|(_, score)| *score > 0.0).collect()
}

/// The language that most of the words are of, and how sure that is; nothing where two have as many, or less than half
/// of the words are known.
fn votes(text: &str) -> Option<(&'static str, f32)> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphabetic() && c != '\'' && c != '’');
    let words: Vec<&str> = words
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| !word.is_empty())
        .collect();
    let mut votes: Vec<(&str, f32, usize)> = Vec::new();
    for word in &words {
        let Some(languages) = WORDS.get(word) else {
            continue;
        };
        for language in languages {
            let share = 1.0 / languages.len() as f32;
            match votes.iter_mut().find(|(known, ..)| known == language) {
                Some((_, sum, count)) => {
                    *sum += share;
                    *count += 1;
                }
                None => votes.push((language, share, 1)),
            }
        }
    }
    // Most words; of as many, those of fewer other languages.
    votes.sort_by(|a, b| b.2.cmp(&a.2).then(b.1.total_cmp(&a.1)));
    let (language, sum, count) = *votes.first()?;
    let tied = votes
        .get(1)
        .is_some_and(|(_, other, others)| *others == count && *other >= sum - 1e-6);
    if tied || count * 2 < words.len() {
        return None;
    }
    let own = sum / count as f32;
    Some((
        language,
        (WORD * own.max(0.7) + MORE * (count - 1) as f32 + 0.1 * own).min(MOST),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decide() {
        for (text, wanted) in [
            ("I love it", Some("en")),
            ("Works great!", Some("en")),
            ("Me encanta", Some("es")),
            ("sehr gut", Some("de")),
            ("c'est bon", Some("fr")),
            ("xyzzy", None),
            ("", None),
            ("one xyzzy plugh frotz", None),
        ] {
            assert_eq!(votes(text).map(|(language, _)| language), wanted, "{text}");
        }
    }

    #[test]
    fn the_list_is_sound() {
        let mut languages = 0;
        for line in include_str!("words.tsv").lines() {
            let (language, list) = line.split_once('\t').expect(line);
            assert!((2..=3).contains(&language.len()), "{line}");
            assert!(list.split(' ').count() >= 30, "{language}");
            assert!(
                list.split(' ')
                    .all(|word| !word.is_empty() && word == word.to_lowercase()),
                "{language}"
            );
            languages += 1;
        }
        assert!(languages >= 12);
    }

    #[test]
    fn answers_are_probabilities() {
        let labels: Vec<String> = ["en", "th", "es", "ru"].map(str::to_owned).to_vec();
        let sum = |told: &[(usize, f32)]| told.iter().map(|(_, score)| score).sum::<f32>();
        for text in [
            "Great phone",
            "12345",
            "",
            "xyzzy",
            "да",
            "muy bien",
            "Great",
        ] {
            for scores in [
                [0.19, 0.77, 0.02, 0.01],
                [0.1, 0.1, 0.1, 0.1],
                [0.9, 0.05, 0.01, 0.0],
            ] {
                for known in [true, false] {
                    if let Some(told) = decide(text, &labels, &scores, known) {
                        assert!(!told.is_empty() && sum(&told) <= 1.001, "{text} {told:?}");
                    }
                }
            }
        }
        let told =
            decide("Great phone", &labels, &[0.19, 0.77, 0.02, 0.01], true).expect("decided");
        let best = told.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("one");
        assert!(best.0 == 0 && best.1 > 0.6, "{told:?}");
        assert!(told.iter().all(|(label, _)| *label != 1));
    }
}
