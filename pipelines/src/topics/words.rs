//! The words of a text that say what it is about.

use std::collections::HashSet;
use std::sync::LazyLock;
use unicode_segmentation::UnicodeSegmentation;

/// Fewest letters of a word, in scripts with letters.
const SHORTEST: usize = 3;
/// Most letters of a word; longer ones are no words.
const LONGEST: usize = 40;

/// The words that say how and not what, a set a language.
static FUNCTION_WORDS: LazyLock<Vec<HashSet<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("function_words.txt").lines();
    let languages = lines.filter(|line| !line.starts_with('#'));
    languages
        .map(|line| line.split_whitespace().skip(1).collect())
        .collect()
});

/// The function words of a language, or of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language(Option<usize>);

/// Finds out which language most texts are in, by their function words.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    words: u64,
    hits: Vec<u64>,
}

impl Guess {
    /// Looks at a text.
    pub fn add(&mut self, text: &str) {
        self.hits.resize(FUNCTION_WORDS.len(), 0);
        for word in text.unicode_words() {
            let word = word.to_lowercase();
            self.words += 1;
            for (hits, set) in self.hits.iter_mut().zip(FUNCTION_WORDS.iter()) {
                *hits += u64::from(set.contains(word.as_str()));
            }
        }
    }

    /// The language, where a tenth of all words are its function words.
    pub fn language(&self) -> Language {
        let best = self.hits.iter().enumerate().max_by_key(|(_, hits)| **hits);
        let best = best.filter(|(_, hits)| **hits * 10 >= self.words && **hits > 0);
        Language(best.map(|(at, _)| at))
    }
}

/// Calls `each` with the words of a text, in lower case: letters only, at least three of them; of Chinese characters, which
/// stand without spaces, each two that are neighbours. Function words are left out.
pub fn words(text: &str, language: Language, mut each: impl FnMut(&str)) {
    let skipped = language.0.map(|at| &FUNCTION_WORDS[at]);
    let mut before: Option<(usize, char)> = None;
    for (at, word) in text.unicode_word_indices() {
        let mut letters = word.chars();
        if let (Some(one), None) = (letters.next(), letters.next())
            && is_han(one)
        {
            if let Some((end, first)) = before
                && end == at
            {
                each(&String::from_iter([first, one]));
            }
            before = Some((at + word.len(), one));
            continue;
        }
        before = None;
        // What comes after an apostrophe is a function word or an ending.
        let word = word.split(['\'', '’']).next().unwrap_or(word);
        let word = word.to_lowercase();
        let count = word.chars().count();
        let lettered = word.chars().all(char::is_alphabetic);
        let short = count < SHORTEST && word.is_ascii();
        if lettered
            && !short
            && (2..=LONGEST).contains(&count)
            && !skipped.is_some_and(|skipped| skipped.contains(word.as_str()))
        {
            each(&word);
        }
    }
}

fn is_han(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut guess = Guess::default();
        guess.add(text);
        let mut all = Vec::new();
        words(text, guess.language(), |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn words_that_say_what_are_left() {
        let english =
            "The quarterback's team didn't win the game, and it was 21 to 3 at http://nfl.com!";
        assert_eq!(all(english), ["quarterback", "team", "win", "game"]);
        let german = "Der Krieg war lang und die Häuser sind nicht mehr da.";
        assert_eq!(all(german), ["krieg", "lang", "häuser"]);
        let spanish = "El año pasado no había nada de agua en los ríos.";
        assert_eq!(all(spanish), ["año", "pasado", "agua", "ríos"]);
        assert_eq!(all("我喜欢北京"), ["我喜", "喜欢", "欢北", "北京"]);
        assert_eq!(all("中 文"), Vec::<String>::new());
        assert_eq!(all("Добрый день"), ["добрый", "день"]);
        assert_eq!(all(""), Vec::<String>::new());
        assert_eq!(all(&"x".repeat(1000)), Vec::<String>::new());
    }

    #[test]
    fn each_language_is_known_by_its_function_words() {
        let text = "war die an also";
        let mut guess = Guess::default();
        guess.add("The war will also be an end of it: they die.");
        let mut all = Vec::new();
        words(text, guess.language(), |word| all.push(word.to_owned()));
        assert_eq!(all, ["war", "die"]);
        assert_eq!(Guess::default().language(), Language(None));
    }
}
