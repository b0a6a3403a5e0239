//! The words in which a mention is judged.
//!
//! | the mention is | it is judged in |
//! | --- | --- |
//! | the subject | its clause, without the clauses joined to it that have subjects of their own |
//! | the subject of a verb of opinion (`the kids adored the zoo`) | nothing: it only holds the opinion |
//! | the object, and the subject is the writer, nobody, or holds the opinion | the predicate with its subject |
//! | another object, a place, a part (`the screen on this laptop`) | its noun phrase when that says something |
//! | what something is (`he is a gifted player`) | its noun phrase, or the clause |
//! | with what it is like, between commas and without a verb (`service slow, prices high`) | these words |
//! | in a sentence without a verb (`Great camera, terrible battery`) | its noun phrase |
//! | behind `than`, `unlike`, `instead of`, `prefer … to` | the clause, turned: what is good there is bad here |
//! | before nothing but `is not`, `doesn't` | the clause before, turned |
//! | the writer or the reader, an owner (`her boss`) | nothing |
//!
//! A noun phrase says something when an adjective, a clause or a participle hangs on its noun.

use super::TargetType;
use super::mentions::{Form, Mention, first_joined};
use super::tree::{SUBJECTS, Tree};
use super::types;
use crate::syntax::PartOfSpeech;

/// How many words before and after a mention are looked at.
pub const WINDOW: usize = 40;

/// How many steps up the tree are looked at.
const STEPS: usize = 60;

/// What judges a mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Indices of the words in order; at least one.
    pub words: Vec<usize>,
    /// What is good in the words is bad for the mention, and the other way round.
    pub turned: bool,
}

/// The words that judge a mention; `None` when nothing is said of it.
pub fn of(tree: &Tree<'_>, mention: &Mention) -> Option<Scope> {
    let scope = find(tree, mention, true)?;
    (!scope.words.is_empty()).then_some(scope)
}

/// The scope of a mention, or of the amount that stands in for it (`plenty of toppings`), but of no amount's amount.
fn find(tree: &Tree<'_>, mention: &Mention, may_stand_in: bool) -> Option<Scope> {
    if let Form::Pronoun(person) = mention.form
        && person.speaks()
    {
        return None;
    }
    if mention.kind == TargetType::PersonalTitle {
        return None;
    }
    if let Some(scope) = item(tree, mention) {
        return Some(scope);
    }
    let head = mention.head;
    let bottom = first_joined(tree, head);
    let above = tree.head(bottom);
    let phrase = || noun_phrase(tree, mention);
    match tree.dep(bottom) {
        "poss" | "compound" | "nmod" | "nummod" | "quantmod" | "npadvmod" => phrase(),
        dep if SUBJECTS.contains(&dep) => subject(tree, mention, above),
        "attr" | "oprd" => match tree.has(above, &["expl"]) {
            true => Some(plain(clause(tree, mention, tree.clause(above), None))),
            false => {
                phrase().or_else(|| Some(plain(clause(tree, mention, tree.clause(above), None))))
            }
        },
        "dobj" | "dative" => object(tree, mention, above),
        "pobj" | "pcomp" => behind_preposition(tree, mention, above, may_stand_in),
        // "It blew us away: the waterfalls, the silence": a list of what was spoken of.
        "appos" if !tree.is_noun(above) || tree.clause(above) != above => phrase().or_else(|| {
            let top = tree.clause(above);
            Some(plain(clause(tree, mention, top, None)))
        }),
        _ => {
            // A sentence or part of one without a verb.
            let top = tree.clause(bottom);
            let verbless = !tree.is_verb(top) && !tree.has(top, SUBJECTS);
            match phrase() {
                Some(scope) => Some(scope),
                None if verbless => Some(plain(clause(
                    tree,
                    mention,
                    top,
                    Some(tree.predicate(bottom)),
                ))),
                None => None,
            }
        }
    }
}

/// The item of a list without verbs that is a thing and behind it how it is: between commas or a sentence's ends there
/// is nothing else. Who reads such lists as sentences hangs the words on whatever stands near.
fn item(tree: &Tree<'_>, mention: &Mention) -> Option<Scope> {
    const WORDS: usize = 5;
    let sentence = tree.sentence(mention.head);
    let ends = |word: usize| {
        tree.sentence(word) != sentence
            || matches!(tree.lower(word), "," | ";" | "." | "!" | "?" | "…")
    };
    let before = (0..mention.words.start)
        .rev()
        .take(WORDS)
        .take_while(|word| !ends(*word))
        .count();
    let start = mention.words.start - before;
    let after = (mention.words.end..tree.len())
        .take(WORDS)
        .take_while(|word| !ends(*word))
        .count();
    let end = mention.words.end + after;
    // What the tagger makes of words before it and behind it.
    let leads = |word: usize| {
        matches!(
            tree.part(word),
            PartOfSpeech::Determiner | PartOfSpeech::CoordinatingConjunction
        )
    };
    let like = |word: usize| {
        matches!(
            tree.part(word),
            PartOfSpeech::Adjective | PartOfSpeech::Adverb
        ) || types::is_adjective_too(tree.lower(word))
    };
    let told = end > mention.words.end
        && end - start <= WORDS
        && (start..mention.words.start).all(leads)
        && (mention.words.end..end).all(like)
        && (mention.words.end..end).any(|word| tree.part(word) != PartOfSpeech::Adverb);
    told.then(|| plain(trimmed(tree, (start..end).collect())))
}

fn plain(words: Vec<usize>) -> Scope {
    Scope {
        words,
        turned: false,
    }
}

/// The scope of the subject of a verb.
fn subject(tree: &Tree<'_>, mention: &Mention, verb: usize) -> Option<Scope> {
    let top = tree.clause(verb);
    let has_object = tree.has(verb, &["dobj", "ccomp", "xcomp"]) || tree.has(verb, &["prep"]);
    if holds_opinion(tree, verb) && has_object && mention.kind == TargetType::Person
        || is_of_saying(tree.lemma(verb)) && tree.has(verb, &["ccomp"])
        || mention.kind == TargetType::Person && feels(tree, verb)
    {
        return noun_phrase(tree, mention);
    }
    let words = clause(tree, mention, top, None);
    if let Some(scope) = elliptical(tree, mention, top, &words) {
        return Some(scope);
    }
    Some(plain(words))
}

/// A verb says what its subject feels about something: "they are grateful to it".
fn feels(tree: &Tree<'_>, verb: usize) -> bool {
    tree.dependents(verb, &["acomp", "attr"])
        .any(|word| is_feeling(tree.lemma(word)) && tree.has(word, &["prep"]))
}

/// The scope of a clause that leaves out what it says: "the other one is not", "so were the potatoes".
fn elliptical(tree: &Tree<'_>, mention: &Mention, top: usize, words: &[usize]) -> Option<Scope> {
    let mut turned = false;
    if tree.has(top, &["acomp", "attr", "dobj", "xcomp", "prep"]) {
        return None;
    }
    for &word in words {
        let own = tree.within(word, first_joined(tree, mention.head), STEPS);
        let mark = matches!(tree.dep(word), "mark" | "cc" | "punct" | "advmod")
            && matches!(
                tree.part(word),
                PartOfSpeech::Punctuation
                    | PartOfSpeech::CoordinatingConjunction
                    | PartOfSpeech::SubordinatingConjunction
            );
        let lower = tree.lower(word);
        let echo = matches!(lower, "so" | "too" | "either" | "neither" | "nor");
        let auxiliary =
            tree.part(word) == PartOfSpeech::Auxiliary || matches!(tree.lemma(word), "do" | "be");
        if tree.dep(word) == "neg" {
            turned = true;
        } else if !(own || mark || echo || auxiliary) {
            return None;
        }
    }
    // The clause it echoes: the one it hangs on, one that hangs on it before it, or that of the sentence before.
    let first = *words.first()?;
    let above = tree.clause(tree.head(top));
    let hanging = tree
        .dependents(top, &["ccomp", "parataxis"])
        .find(|clause| *clause < first);
    let before = first
        .checked_sub(1)
        .filter(|word| tree.sentence(*word) + 1 == tree.sentence(top))
        .map(|word| tree.clause(word));
    let echoed = match above != top && above < top {
        true => Some(above),
        false => hanging.or(before),
    }?;
    let words = around(tree, mention.head, |word| tree.clause(word) == echoed);
    Some(Scope { words, turned })
}

/// The scope of an object of a verb.
fn object(tree: &Tree<'_>, mention: &Mention, verb: usize) -> Option<Scope> {
    if !is_opinion_of(tree, verb) {
        return noun_phrase(tree, mention);
    }
    let measure = matches!(mention.kind, TargetType::Quantity);
    match measure {
        true => noun_phrase(tree, mention),
        false => Some(plain(clause(
            tree,
            mention,
            tree.clause(verb),
            Some(tree.predicate(verb)),
        ))),
    }
}

/// What is said with a verb is what its subject thinks: the writer, nobody, no subject, or who holds an opinion.
fn is_opinion_of(tree: &Tree<'_>, verb: usize) -> bool {
    match tree.subject(verb) {
        None => true,
        Some(subject) => {
            matches!(
                tree.lower(subject),
                "i" | "we"
                    | "you"
                    | "nobody"
                    | "everyone"
                    | "everybody"
                    | "anyone"
                    | "somebody"
                    | "someone"
                    | "no"
                    | "one"
                    | "who"
            ) || holds_opinion(tree, verb)
        }
    }
}

/// The scope of a noun behind a preposition.
fn behind_preposition(
    tree: &Tree<'_>,
    mention: &Mention,
    preposition: usize,
    may_stand_in: bool,
) -> Option<Scope> {
    let word = tree.lower(preposition);
    let mut above = tree.head(preposition);
    // "out of", "because of", "compared with".
    for _ in 0..4 {
        if !matches!(tree.dep(above), "prep" | "pcomp") || tree.lemma(above) == "compare" {
            break;
        }
        above = tree.head(above);
    }
    let turns = match word {
        "than" | "unlike" => true,
        "of" => preposition > 0 && tree.lower(preposition - 1) == "instead",
        "to" => matches!(tree.lemma(above), "prefer" | "compare"),
        "with" => tree.lemma(above) == "compare",
        _ => false,
    };
    if turns {
        let top = tree.clause(above);
        let words = around(tree, mention.head, |word| tree.clause(word) == top);
        return Some(Scope {
            words: trimmed(tree, words),
            turned: true,
        });
    }
    if tree.is_noun(above) {
        // "plenty of toppings", "the rest of the book": the amount stands where the noun is meant.
        let part = word == "of" && is_portion(tree.lemma(above));
        let thanks = word == "to" && tree.lemma(above).starts_with("thank");
        return match part || thanks {
            true if thanks => Some(plain(clause(tree, mention, tree.clause(above), None))),
            true => {
                let stand_in = Mention {
                    head: above,
                    ..mention.clone()
                };
                match tree.dep(above) {
                    "pobj" => noun_phrase(tree, mention),
                    _ if may_stand_in => find(tree, &stand_in, false),
                    _ => None,
                }
            }
            false => noun_phrase(tree, mention),
        };
    }
    let timed = matches!(mention.kind, TargetType::Date | TargetType::Quantity);
    let complement = matches!(
        word,
        "about" | "with" | "by" | "at" | "of" | "for" | "from" | "to" | "in" | "on"
    );
    let adjective = tree.part(above) == PartOfSpeech::Adjective;
    let judging = adjective && !matches!(word, "for" | "to" | "in" | "on" | "at")
        || word == "for" && is_praise(tree.lemma(above));
    let felt = is_feeling(tree.lemma(above));
    // "Unbearable since the redesign": what comes of something tells of it.
    let cause = matches!(word, "since" | "due" | "because")
        || matches!(word, "of" | "to")
            && matches!(tree.lower(tree.head(preposition)), "because" | "due");
    let told = complement && (judging && is_opinion_of(tree, above) || felt) || cause;
    if told && !timed {
        let top = tree.clause(above);
        return Some(plain(clause(
            tree,
            mention,
            top,
            Some(tree.predicate(above)),
        )));
    }
    noun_phrase(tree, mention)
}

/// The mention's noun phrase, when something in it judges.
fn noun_phrase(tree: &Tree<'_>, mention: &Mention) -> Option<Scope> {
    let head = mention.head;
    if matches!(mention.form, Form::Pronoun(_)) {
        return None;
    }
    // Joined nouns share what stands before the first: "great food and service".
    let bottom = first_joined(tree, head);
    let says = |noun: usize| {
        tree.dependents(noun, &["amod", "relcl", "acl", "advmod"])
            .any(|word| !mention.words.contains(&word) && !is_plain(tree.lower(word)))
    };
    let own = says(head);
    // The reading may have hung the adjective elsewhere: "great nightlife and awful winters".
    let before = mention.words.start.checked_sub(1).filter(|word| {
        tree.part(*word) == PartOfSpeech::Adjective
            && tree.head(*word) != head
            && !is_plain(tree.lower(*word))
    });
    if let Some(before) = before {
        let adjective = |word: &usize| {
            matches!(
                tree.part(*word),
                PartOfSpeech::Adjective | PartOfSpeech::Adverb
            )
        };
        let first = (0..=before).rev().take(4).take_while(adjective).last();
        return Some(plain(
            (first.unwrap_or(before)..mention.words.end).collect(),
        ));
    }
    let shared =
        bottom != head && !tree.has(head, &["det", "poss", "amod"]) && tree.has(bottom, &["amod"]);
    if !own && !shared {
        return None;
    }
    let words = around(tree, head, |word| {
        if shared && tree.head(word) == bottom && tree.dep(word) == "amod" {
            return true;
        }
        // Up from the word to the head, not through what is joined to it or named beside it.
        let mut at = word;
        for _ in 0..STEPS {
            if at == head {
                return true;
            }
            if matches!(tree.dep(at), "conj" | "cc" | "appos") && tree.head(at) == head {
                return false;
            }
            let above = tree.head(at);
            if above == at {
                return false;
            }
            at = above;
        }
        false
    });
    Some(plain(trimmed(tree, words)))
}

/// A clause as it is about a mention: with the relative clauses of the mention and of no other noun; of only one of
/// several predicates, with their subject, where one is given.
fn clause(tree: &Tree<'_>, mention: &Mention, top: usize, predicate: Option<usize>) -> Vec<usize> {
    // "I don't think that the food is good": the `not` belongs to what is said.
    let matrix = tree.head(top);
    let denied = tree.dep(top) == "ccomp" && top > matrix && tree.negated(matrix);
    let also = denied.then(|| tree.clause(matrix));
    let subject = predicate.and_then(|verb| tree.subject(verb));
    let words = around(tree, mention.head, |word| {
        let clause = tree.clause(word);
        if also == Some(clause) {
            return true;
        }
        if clause != top {
            // A clause of the mention's own noun.
            return matches!(tree.dep(clause), "relcl") && tree.head(clause) == mention.head;
        }
        match predicate {
            None => true,
            Some(verb) => {
                tree.predicate(word) == verb
                    || subject.is_some_and(|subject| tree.within(word, subject, STEPS))
            }
        }
    });
    trimmed(tree, words)
}

/// The words around a mention that are wanted.
fn around(tree: &Tree<'_>, head: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let from = head.saturating_sub(WINDOW);
    let to = (head + WINDOW + 1).min(tree.len());
    (from..to).filter(|word| wanted(*word)).collect()
}

/// Without the marks and conjunctions at its ends.
fn trimmed(tree: &Tree<'_>, mut words: Vec<usize>) -> Vec<usize> {
    let loose = |word: usize| {
        matches!(
            tree.part(word),
            PartOfSpeech::Punctuation | PartOfSpeech::CoordinatingConjunction
        ) || tree.dep(word) == "mark" && tree.lower(word) != "if"
    };
    while words
        .last()
        .is_some_and(|word| loose(*word) && !matches!(tree.lower(*word), "!" | "?"))
    {
        words.pop();
    }
    let kept = words.iter().take_while(|word| loose(**word)).count();
    words.drain(..kept);
    // A mark or conjunction that joined what is left out.
    let stands = |place: usize| {
        let next = words.get(place + 1);
        !loose(words[place]) || next.is_none_or(|next| *next == words[place] + 1 && !loose(*next))
    };
    (0..words.len())
        .filter(|place| stands(*place))
        .map(|place| words[place])
        .collect()
}

/// Adjectives and adverbs that judge nothing.
fn is_plain(word: &str) -> bool {
    matches!(
        word,
        "only"
            | "other"
            | "same"
            | "own"
            | "next"
            | "last"
            | "first"
            | "second"
            | "new"
            | "several"
            | "many"
            | "such"
            | "whole"
            | "entire"
            | "previous"
            | "following"
            | "even"
            | "just"
            | "also"
            | "about"
            | "here"
            | "there"
    )
}

/// Verbs whose subject holds an opinion about their object.
fn holds_opinion(tree: &Tree<'_>, verb: usize) -> bool {
    matches!(
        tree.lemma(verb),
        "love"
            | "adore"
            | "like"
            | "enjoy"
            | "hate"
            | "dislike"
            | "detest"
            | "despise"
            | "loathe"
            | "prefer"
            | "praise"
            | "admire"
            | "appreciate"
            | "recommend"
            | "criticise"
            | "criticize"
            | "condemn"
            | "thank"
            | "welcome"
            | "applaud"
            | "regret"
            | "fear"
            | "miss"
            | "want"
            | "trust"
            | "favour"
            | "favor"
            | "hail"
            | "slam"
            | "disappoint"
            | "impress"
            | "please"
            | "delight"
            | "annoy"
            | "anger"
            | "bother"
            | "complain"
    ) && (tree.has(verb, &["dobj", "xcomp", "agent"]) || is_feeling(tree.lemma(verb)))
        && (!is_feeling(tree.lemma(verb)) || tree.has(verb, &["auxpass", "nsubjpass", "prep"]))
}

/// Verbs that say what somebody has done well or badly.
fn is_praise(lemma: &str) -> bool {
    matches!(
        lemma,
        "thank"
            | "praise"
            | "criticise"
            | "criticize"
            | "blame"
            | "condemn"
            | "admire"
            | "applaud"
            | "slam"
            | "hail"
    )
}

/// Words of feeling whose preposition names what is felt about.
fn is_feeling(lemma: &str) -> bool {
    matches!(
        lemma,
        "disappoint"
            | "disappointed"
            | "impress"
            | "impressed"
            | "please"
            | "pleased"
            | "delight"
            | "delighted"
            | "annoy"
            | "annoyed"
            | "anger"
            | "bother"
            | "complain"
            | "satisfied"
            | "happy"
            | "unhappy"
            | "thrilled"
            | "grateful"
            | "thankful"
            | "sick"
            | "tired"
            | "proud"
            | "fond"
            | "angry"
            | "furious"
            | "upset"
            | "sell"
            | "sold"
            | "blow"
            | "rave"
            | "look"
            | "fall"
            | "surprise"
            | "surprised"
            | "fan"
            | "care"
    )
}

/// Verbs that report what somebody says.
fn is_of_saying(lemma: &str) -> bool {
    matches!(
        lemma,
        "say"
            | "tell"
            | "think"
            | "believe"
            | "claim"
            | "report"
            | "announce"
            | "argue"
            | "state"
            | "hope"
            | "expect"
            | "know"
            | "feel"
            | "add"
            | "note"
            | "suggest"
            | "admit"
            | "insist"
            | "warn"
    )
}

/// Nouns that name a part or an amount of what follows them.
fn is_portion(lemma: &str) -> bool {
    matches!(
        lemma,
        "plenty"
            | "lot"
            | "rest"
            | "most"
            | "half"
            | "couple"
            | "number"
            | "dozen"
            | "hundred"
            | "thousand"
            | "bit"
            | "piece"
            | "slice"
            | "cup"
            | "glass"
            | "bottle"
            | "pair"
            | "part"
            | "all"
            | "some"
            | "variety"
            | "range"
            | "selection"
            | "kind"
            | "sort"
            | "type"
    )
}
