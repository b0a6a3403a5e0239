//! Tests without weights: what is asked of the classifier, and what is made of readings of any shape.

use super::mentions::Form;
use super::*;
use crate::syntax::{Entity, EntityType, PartOfSpeech, Token};
use proptest::prelude::*;

/// A reading of words that are one space apart: each with its part of speech, tag, relation and head.
fn reading(words: &[(&str, PartOfSpeech, &str, &str, usize)]) -> (String, Syntax) {
    let mut text = String::new();
    let mut spans = Vec::new();
    for (word, ..) in words {
        if !text.is_empty() {
            text.push(' ');
        }
        spans.push(text.len()..text.len() + word.len());
        text.push_str(word);
    }
    let offsets = Offsets::new(&text);
    let extent = |bytes: &std::ops::Range<usize>| offsets.extent(bytes.clone()).expect("fits");
    let tokens = words
        .iter()
        .zip(&spans)
        .map(|((word, part, tag, dependency, head), bytes)| Token {
            extent: extent(bytes),
            part_of_speech: *part,
            score: 0.5,
            tag: (*tag).to_owned(),
            lemma: word.to_lowercase(),
            dependency: (*dependency).to_owned(),
            head: *head,
        });
    let syntax = Syntax {
        tokens: tokens.collect(),
        sentences: vec![extent(&(0..text.len()))],
        ..Syntax::default()
    };
    (text, syntax)
}

/// "The soup was great but the waiter ignored us ."
fn soup() -> (String, Syntax) {
    use PartOfSpeech::*;
    reading(&[
        ("The", Determiner, "DT", "det", 1),
        ("soup", Noun, "NN", "nsubj", 2),
        ("was", Auxiliary, "VBD", "ROOT", 2),
        ("great", Adjective, "JJ", "acomp", 2),
        ("but", CoordinatingConjunction, "CC", "cc", 2),
        ("the", Determiner, "DT", "det", 6),
        ("waiter", Noun, "NN", "nsubj", 7),
        ("ignored", Verb, "VBD", "conj", 2),
        ("us", Pronoun, "PRP", "dobj", 7),
        (".", Punctuation, ".", "punct", 7),
    ])
}

/// "Trains are better than buses"
fn trains() -> (String, Syntax) {
    use PartOfSpeech::*;
    reading(&[
        ("Trains", Noun, "NNS", "nsubj", 1),
        ("are", Auxiliary, "VBP", "ROOT", 1),
        ("better", Adjective, "JJR", "acomp", 1),
        ("than", Adposition, "IN", "prep", 2),
        ("buses", Noun, "NNS", "pobj", 3),
    ])
}

#[test]
fn each_subject_is_judged_in_its_own_clause_and_the_writer_in_none() {
    let (text, syntax) = soup();
    let plan = Plan::of(&text, &syntax).expect("plan");
    assert_eq!(
        plan.clauses(),
        ["The soup was great", "The waiter ignored us"]
    );
    let good = [0.9, 0.05, 0.03, 0.02];
    let bad = [0.1, 0.7, 0.1, 0.1];
    let answer = plan.answer(&[good, bad]).expect("answer");
    let said: Vec<_> = answer
        .iter()
        .map(|group| {
            let target = &group.mentions[0];
            assert_eq!(group.descriptive, [0]);
            assert_eq!((group.mentions.len(), target.group_score), (1, 1.0));
            (
                target.extent.of(&text),
                target.kind,
                target.sentiment(),
                target.scores,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("soup", TargetType::Other, Sentiment::Positive, good),
            ("waiter", TargetType::Person, Sentiment::Negative, bad),
            ("us", TargetType::Person, Sentiment::Neutral, NEUTRAL),
        ]
    );
}

#[test]
fn what_is_behind_than_has_the_other_sentiment() {
    let (text, syntax) = trains();
    let plan = Plan::of(&text, &syntax).expect("plan");
    assert_eq!(plan.clauses(), ["Trains are better than buses"]);
    let answer = plan.answer(&[[0.8, 0.1, 0.07, 0.03]]).expect("answer");
    assert_eq!(answer[0].mentions[0].scores, [0.8, 0.1, 0.07, 0.03]);
    assert_eq!(answer[1].mentions[0].scores, [0.1, 0.8, 0.07, 0.03]);
    assert_eq!(answer[1].mentions[0].sentiment(), Sentiment::Negative);
}

#[test]
fn scores_that_do_not_fit_are_errors() {
    let (text, syntax) = soup();
    let scores = [0.25; 4];
    let answer = |scores: &[Scores]| Plan::of(&text, &syntax).expect("plan").answer(scores);
    assert!(answer(&[scores, scores]).is_ok());
    assert!(answer(&[scores]).is_err());
    assert!(answer(&[scores, scores, scores]).is_err());
    for bad in [f32::NAN, f32::INFINITY, -0.5, 1.5] {
        let error = answer(&[scores, [0.0, bad, 0.0, 0.0]]).expect_err("no probability");
        assert_eq!(error.kind(), Kind::Internal);
    }
}

#[test]
fn a_reading_of_another_text_is_an_error() {
    let (_, syntax) = soup();
    assert!(Plan::of("The soup", &syntax).is_err());
    let mut astray = syntax.clone();
    astray.tokens[3].head = 99;
    let (text, _) = soup();
    assert!(Plan::of(&text, &astray).is_err());
}

#[test]
fn the_lists_of_words_are_read() {
    assert_eq!(types::of_noun("waiter"), Some(TargetType::Person));
    assert_eq!(
        types::of_noun("customer service"),
        Some(TargetType::Attribute)
    );
    // From WordNet alone.
    assert_eq!(types::of_noun("carpenter"), Some(TargetType::Person));
    assert_eq!(types::of_noun("burger"), None);
    assert_eq!(types::of_known_name("minecraft"), Some(TargetType::Game));
    let file = include_str!("../../data/noun_types.tsv");
    for line in file.lines() {
        let (word, kind) = line.split_once('\t').expect(line);
        assert!(!word.is_empty(), "{line}");
        assert!(
            TargetType::ALL.iter().any(|known| known.name() == kind),
            "{line}"
        );
    }
}

const PARTS: &[(PartOfSpeech, &str)] = &[
    (PartOfSpeech::Noun, "NN"),
    (PartOfSpeech::Noun, "NNS"),
    (PartOfSpeech::ProperNoun, "NNP"),
    (PartOfSpeech::Pronoun, "PRP"),
    (PartOfSpeech::Verb, "VBD"),
    (PartOfSpeech::Auxiliary, "VBZ"),
    (PartOfSpeech::Adjective, "JJ"),
    (PartOfSpeech::Adposition, "IN"),
    (PartOfSpeech::Determiner, "DT"),
    (PartOfSpeech::Numeral, "CD"),
    (PartOfSpeech::Punctuation, "."),
    (PartOfSpeech::CoordinatingConjunction, "CC"),
];
const WORDS: &[&str] = &[
    "soup", "waiters", "It", "she", "of", "lot", "is", "not", "Dr.", "Obama", "than", "than",
    "two", "weeks", "a", "and", "great", "Über", "👋", "like", "say", "her", "they", "hotel", ",",
    "so",
];
const RELATIONS: &[&str] = &[
    "ROOT",
    "nsubj",
    "dobj",
    "pobj",
    "prep",
    "conj",
    "cc",
    "amod",
    "compound",
    "poss",
    "attr",
    "acomp",
    "ccomp",
    "advcl",
    "relcl",
    "appos",
    "nummod",
    "det",
    "neg",
    "mark",
    "xcomp",
    "expl",
    "punct",
    "parataxis",
    "dep",
];

proptest! {
    /// Whatever hangs on whatever, in circles too: mentions do not overlap, each is in at most one group, and
    /// clauses are short pieces of the text.
    #[test]
    fn readings_of_any_shape_are_answered(
        words in prop::collection::vec(
            (0..WORDS.len(), 0..PARTS.len(), 0..RELATIONS.len(), 0usize..60), 0..60),
        entities in prop::collection::vec((0usize..60, 1usize..4, 0usize..6), 0..8),
    ) {
        let count = words.len();
        let words: Vec<_> = words
            .iter()
            .map(|(word, part, relation, head)| {
                let (part, tag) = PARTS[*part];
                (WORDS[*word], part, tag, RELATIONS[*relation], head % count)
            })
            .collect();
        let (text, mut syntax) = reading(&words);
        let labels = ["PERSON", "DATE", "GPE", "ORG", "WORK_OF_ART", "MONEY"];
        for (first, length, label) in entities {
            let (Some(from), Some(to)) = (syntax.tokens.get(first), syntax.tokens.get(first + length - 1)) else {
                continue;
            };
            let extent = Offsets::new(&text)
                .extent(from.extent.begin_byte..to.extent.end_byte)
                .expect("fits");
            let label = labels[label].to_owned();
            syntax.entities.push(Entity { extent, kind: EntityType::Other, label, score: 0.5 });
        }
        let plan = Plan::of(&text, &syntax).expect("plan");
        let most = 2 * scope::WINDOW + 1;
        for clause in plan.clauses() {
            prop_assert!(!clause.trim().is_empty());
            prop_assert!(clause.split(' ').count() <= most, "{}", clause);
        }
        let scores = vec![[0.4, 0.3, 0.2, 0.1]; plan.clauses().len()];
        let answer = plan.answer(&scores).expect("answer");
        let mut places = Vec::new();
        for group in &answer {
            prop_assert!(!group.descriptive.is_empty());
            prop_assert!(group.descriptive.iter().all(|place| *place < group.mentions.len()));
            prop_assert!(group.mentions.is_sorted_by_key(|target| target.extent));
            places.extend(group.mentions.iter().map(|target| target.extent));
        }
        places.sort();
        for pair in places.windows(2) {
            prop_assert!(pair[0].end_byte <= pair[1].begin_byte, "{:?}", pair);
        }
        let again = Plan::of(&text, &syntax).expect("plan").answer(&scores).expect("answer");
        prop_assert_eq!(answer, again);
    }
}

#[test]
fn names_are_better_than_nouns_and_pronouns() {
    let ranks = [
        Form::Pronoun(mentions::Person::It).rank(),
        Form::Noun.rank(),
        Form::Name.rank(),
    ];
    assert!(ranks.is_sorted());
}
