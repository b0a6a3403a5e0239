//! Where a text names something: names, heads of noun phrases, amounts, times, pronouns.
//!
//! A name is what the recogniser found, without articles and with its title apart. A noun that only describes
//! another (`customer service`) is part of its mention, unless the text speaks of it elsewhere (`the burger … the
//! burger bun`). Left out are nouns that name nothing: of fixed phrases (`on time`), comparisons with `like`, and
//! predicates that only judge (`a nightmare`).

use super::TargetType;
use super::tree::Tree;
use super::types;
use crate::syntax::{Entity, PartOfSpeech, Syntax};
use std::collections::HashSet;
use std::ops::Range;

/// Who a pronoun stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// `I`.
    Speaker,
    /// `we`.
    Speakers,
    /// `you`.
    Addressee,
    /// `he`.
    He,
    /// `she`.
    She,
    /// `it`.
    It,
    /// `they`.
    They,
}

impl Person {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "i" | "me" | "my" | "mine" | "myself" => Self::Speaker,
            "we" | "us" | "our" | "ours" | "ourselves" => Self::Speakers,
            "you" | "your" | "yours" | "yourself" | "yourselves" => Self::Addressee,
            "he" | "him" | "his" => Self::He,
            "she" | "her" | "hers" => Self::She,
            "it" | "its" => Self::It,
            "they" | "them" | "their" | "theirs" => Self::They,
            _ => return None,
        })
    }

    /// The writer or the reader, whose identity needs no other mention.
    pub fn speaks(self) -> bool {
        matches!(self, Self::Speaker | Self::Speakers | Self::Addressee)
    }
}

/// How something is mentioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By its name.
    Name,
    /// By a noun.
    Noun,
    /// By a pronoun.
    Pronoun(Person),
}

impl Form {
    /// How well it names the thing.
    pub fn rank(self) -> u8 {
        match self {
            Self::Name => 2,
            Self::Noun => 1,
            Self::Pronoun(_) => 0,
        }
    }
}

/// A mention among the words of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// Its words.
    pub words: Range<usize>,
    /// The word the others hang on.
    pub head: usize,
    /// How it mentions.
    pub form: Form,
    /// What it names.
    pub kind: TargetType,
    /// Probability of the name or of the word's tag.
    pub score: f32,
}

/// Finds the mentions in the order of the text; no two overlap.
pub fn find(tree: &Tree<'_>, syntax: &Syntax) -> Vec<Mention> {
    let mut taken = vec![false; tree.len()];
    let mut found = Vec::new();
    for entity in &syntax.entities {
        name(tree, entity, &mut taken, &mut found);
    }
    nouns(tree, &mut taken, &mut found);
    let free = (0..tree.len()).filter(|index| !taken[*index]);
    for index in free {
        let token = tree.token(index);
        let kind = match token.part_of_speech {
            PartOfSpeech::Pronoun => match Person::of(tree.lower(index)) {
                Some(person) if !stands_for_nothing(tree, index, person) => {
                    let kind = match person {
                        Person::It => TargetType::Other,
                        _ => TargetType::Person,
                    };
                    Some((Form::Pronoun(person), kind))
                }
                _ => None,
            },
            PartOfSpeech::Numeral if token.dependency == "nummod" && tree.lower(index) != "one" => {
                Some((Form::Noun, TargetType::Quantity))
            }
            _ => None,
        };
        if let Some((form, kind)) = kind {
            found.push(Mention {
                words: index..index + 1,
                head: index,
                form,
                kind,
                score: token.score,
            });
        }
    }
    found.sort_by_key(|mention| mention.words.start);
    found
}

/// Adds an entity, without articles and its title.
fn name(tree: &Tree<'_>, entity: &Entity, taken: &mut [bool], found: &mut Vec<Mention>) {
    let extent = entity.extent;
    let inside = |index: &usize| {
        let word = tree.token(*index).extent;
        word.begin_byte >= extent.begin_byte && word.end_byte <= extent.end_byte
    };
    // Words are in order: the first of the entity by halving, the rest follow.
    let (mut low, mut high) = (0, tree.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match tree.token(middle).extent.begin_byte < extent.begin_byte {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let mut words = low..(low..tree.len()).take_while(inside).count() + low;
    let amount = matches!(
        entity.label.as_str(),
        "MONEY" | "PERCENT" | "QUANTITY" | "DATE" | "TIME"
    );
    let mut counted = false;
    while let Some(first) = words.clone().next() {
        let part = tree.part(first);
        let article = part == PartOfSpeech::Determiner
            || tree.dep(first) == "poss"
            || matches!(part, PartOfSpeech::Adposition | PartOfSpeech::Punctuation)
            || amount
                && matches!(
                    tree.lower(first),
                    "about" | "around" | "nearly" | "almost" | "over"
                );
        if !article {
            break;
        }
        counted |= matches!(tree.lower(first), "a" | "an");
        words.start += 1;
    }
    while let Some(last) = words.clone().next_back() {
        let part = tree.part(last);
        if !matches!(
            part,
            PartOfSpeech::Particle | PartOfSpeech::Punctuation | PartOfSpeech::Adposition
        ) || tree.is_noun(last)
        {
            break;
        }
        words.end -= 1;
    }
    let nominal = |index: usize| tree.is_noun(index) || tree.part(index) == PartOfSpeech::Numeral;
    if words.clone().any(|word| taken[word]) || !words.clone().any(nominal) {
        return;
    }
    let Some(head) = words
        .clone()
        .find(|word| !words.contains(&tree.head(*word)) || tree.head(*word) == *word)
    else {
        return;
    };
    let label = entity.label.as_str();
    let kind = match label {
        // Counts belong to what is counted, and "first" to nothing.
        "CARDINAL" | "ORDINAL" => return,
        "DATE" | "TIME" => {
            if !tree.is_noun(head) && tree.part(head) != PartOfSpeech::Numeral {
                return;
            }
            let time = |kind| matches!(kind, TargetType::Date | TargetType::Quantity);
            if types::of_noun(tree.lemma(head)).is_some_and(|kind| !time(kind)) {
                return;
            }
            let number = |word: usize| tree.part(word) == PartOfSpeech::Numeral;
            let unit = types::is_unit_of_time(tree.lemma(head));
            match unit && (counted || words.clone().any(number)) {
                true => TargetType::Quantity,
                false => TargetType::Date,
            }
        }
        "MONEY" | "PERCENT" | "QUANTITY" => TargetType::Quantity,
        _ => {
            // The recogniser takes a common noun at the start of a sentence for a name now and then.
            let named = |word: usize| tree.part(word) == PartOfSpeech::ProperNoun;
            if !words.clone().any(named) {
                return;
            }
            while words.len() > 1 && types::is_title(tree.lower(words.start)) {
                title(tree, words.start, taken, found);
                words.start += 1;
            }
            types::of_name(tree, label, &words, head)
        }
    };
    for word in words.clone() {
        taken[word] = true;
    }
    let form = match kind {
        TargetType::Date | TargetType::Quantity => Form::Noun,
        _ => Form::Name,
    };
    found.push(Mention {
        head: if words.contains(&head) {
            head
        } else {
            words.end - 1
        },
        words,
        form,
        kind,
        score: entity.score,
    });
}

fn title(tree: &Tree<'_>, index: usize, taken: &mut [bool], found: &mut Vec<Mention>) {
    taken[index] = true;
    found.push(Mention {
        words: index..index + 1,
        head: index,
        form: Form::Noun,
        kind: TargetType::PersonalTitle,
        score: tree.token(index).score,
    });
}

/// Adds the nouns that no entity holds, each with the nouns before it that describe it.
fn nouns(tree: &Tree<'_>, taken: &mut [bool], found: &mut Vec<Mention>) {
    let describes = |index: usize| {
        let head = tree.head(index);
        matches!(tree.dep(index), "compound" | "nmod") && head > index && tree.is_noun(head)
    };
    let alone: HashSet<&str> = (0..tree.len())
        .filter(|index| tree.is_noun(*index) && !describes(*index))
        .map(|index| tree.lemma(index))
        .collect();
    // From the right, so that a head takes what describes it before that is looked at.
    for index in (0..tree.len()).rev() {
        if taken[index] || !tree.is_noun(index) || names_nothing(tree, index) {
            continue;
        }
        if types::is_title(tree.lower(index))
            && describes(index)
            && tree.part(tree.head(index)) == PartOfSpeech::ProperNoun
        {
            title(tree, index, taken, found);
            continue;
        }
        let mut start = index;
        while let Some(before) = start.checked_sub(1) {
            let joins = tree.is_noun(before)
                && describes(before)
                && tree.head(before) <= index
                && tree.head(before) >= start
                && !taken[before];
            let apart = alone.contains(tree.lemma(before)) || types::is_title(tree.lower(before));
            if !joins || apart {
                break;
            }
            start = before;
        }
        // A noun that describes a name stands apart from it: "our guide Tomas".
        let words = start..index + 1;
        for word in words.clone() {
            taken[word] = true;
        }
        let proper = tree.part(index) == PartOfSpeech::ProperNoun;
        let text = tree.text_of(&words).to_lowercase();
        let whole = (words.len() > 1).then(|| types::of_noun(&text)).flatten();
        let common = whole.or_else(|| types::of_noun(&tree.lemma(index).to_lowercase()));
        // A known name may be tagged as a noun where its sentence starts.
        let capital = tree.text_of(&words).starts_with(char::is_uppercase);
        let known = types::of_known_name(&text).is_some();
        let proper = proper || known && capital && common.is_none();
        let given = proper && types::gender_of_name(&text) != types::Gender::Open;
        let kind = match proper && (known || common.is_none() || given) {
            true => types::of_name(tree, "", &words, index),
            false => common.unwrap_or(TargetType::Other),
        };
        // A loud fan is no person.
        let blows = tree
            .dependents(index, &["amod", "compound"])
            .any(|word| types::is_of_machines(tree.lower(word)));
        let kind = match kind == TargetType::Person && tree.lemma(index) == "fan" && blows {
            true => TargetType::Other,
            false => kind,
        };
        // "Twice a day" measures, "that day" dates.
        let measured = types::is_unit_of_time(tree.lemma(index))
            && tree
                .dependents(index, &["det"])
                .any(|word| matches!(tree.lower(word), "a" | "an"));
        let kind = match measured {
            true => TargetType::Quantity,
            false => kind,
        };
        found.push(Mention {
            words,
            head: index,
            form: match proper && (common.is_none() || given) {
                true => Form::Name,
                false => Form::Noun,
            },
            kind,
            score: tree.token(index).score,
        });
    }
}

/// A noun that names nothing where it stands.
fn names_nothing(tree: &Tree<'_>, index: usize) -> bool {
    let lemma = tree.lemma(index);
    if types::is_empty_noun(lemma) || !tree.lower(index).contains(char::is_alphanumeric) {
        return true;
    }
    let head = tree.head(index);
    let dep = tree.dep(index);
    if dep == "pobj" {
        let preposition = tree.lower(head);
        let told = tree.has(index, &["det", "poss", "amod", "compound"]);
        if types::is_fixed(preposition, tree.lower(index)) && !told {
            return true;
        }
        // "sleeps like a log": a comparison, not a thing; "like" before a clause's noun is one as well.
        if preposition == "like" && (tree.is_verb(tree.head(head))) {
            return true;
        }
    }
    if dep == "dobj" && types::is_fixed(tree.lemma(head), tree.lower(index)) {
        return true;
    }
    // "Staff rude": what the thing before it is like.
    let described = index > 0
        && tree.head(index - 1) == index
        && tree.dep(index - 1) == "compound"
        && types::is_adjective_too(tree.lower(index));
    if described {
        return true;
    }
    let bottom = first_joined(tree, index);
    // An adjective that the tagger took for a noun: "her boss was ruder".
    let bare = tree.token(index).tag == "NN" && tree.children(index).is_empty();
    if bare && tree.dep(bottom) == "attr" {
        return true;
    }
    let predicate = matches!(tree.dep(bottom), "attr" | "oprd")
        || tree.dep(bottom) == "ROOT" && !tree.has(bottom, super::tree::SUBJECTS);
    predicate && types::only_judges(lemma) && !tree.has(index, &["poss"])
}

/// The first of the nouns that a noun is joined to by `and`, `or`, commas.
pub fn first_joined(tree: &Tree<'_>, index: usize) -> usize {
    let mut at = index;
    for _ in 0..16 {
        let head = tree.head(at);
        let joined = tree.dep(at) == "conj" && !tree.is_verb(head);
        if !joined || head == at {
            break;
        }
        at = head;
    }
    at
}

/// An `it` that stands for a clause, the weather or the state of things.
fn stands_for_nothing(tree: &Tree<'_>, index: usize, person: Person) -> bool {
    if person != Person::It || tree.lower(index) != "it" {
        return false;
    }
    let verb = tree.head(index);
    if tree.lower(verb) == "worth" || tree.lemma(verb) == "do" && tree.dep(index) == "dobj" {
        return true;
    }
    let clause = ["ccomp", "xcomp", "csubj", "advcl"];
    let later = |above: usize| {
        tree.dependents(above, &clause).any(|child| {
            let mark = tree.dependents(child, &["mark", "aux"]).next();
            child > index
                && mark
                    .is_some_and(|mark| matches!(tree.lower(mark), "that" | "to" | "when" | "if"))
        })
    };
    match tree.dep(index) {
        "expl" => true,
        "nsubj" | "nsubjpass" => {
            let about = |adjective: usize| later(adjective);
            types::is_weather(tree.lemma(verb))
                || tree.lemma(verb) == "be"
                    && (later(verb) || tree.dependents(verb, &["acomp", "attr"]).any(about))
                || tree.lemma(verb) == "take" && later(verb)
        }
        "dobj" => later(verb) && matches!(tree.lemma(verb), "make" | "find" | "take"),
        _ => false,
    }
}
