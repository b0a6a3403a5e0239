//! Which mentions name the same thing.
//!
//! A mention joins an earlier one that says the same name, a part of a person's name (`Obama`, `Barack Obama`), or
//! the same noun when nothing tells the two apart (`the old menu`, `the new menu` are two). A noun that names what
//! stands beside it (`our guide Tomas`) or what its subject is (`she is a gifted player`) joins that. A pronoun
//! joins the nearest mention that fits in number, gender and kind, subjects before others.
//!
//! The scores say how sure each rule is; they are set by hand.

use super::TargetType;
use super::mentions::{Form, Mention, Person, first_joined};
use super::tree::{SUBJECTS, Tree};
use super::types::{self, Gender};
use crate::syntax::PartOfSpeech;
use std::collections::HashMap;

/// How many earlier mentions a pronoun may stand for.
pub const REACH: usize = 24;
/// How many sentences back they may stand.
const SENTENCES: usize = 2;

const SAME_NAME: f32 = 0.98;
const PART_OF_NAME: f32 = 0.9;
const BESIDE: f32 = 0.9;
const SAME_NOUN: f32 = 0.8;
const PREDICATE: f32 = 0.8;
const PRONOUN: f32 = 0.75;

/// Groups of mentions, each with how sure its place in the group is. A mention whose group says more about what
/// it names takes the group's type.
pub fn group(tree: &Tree<'_>, mentions: &mut [Mention]) -> Vec<Vec<(usize, f32)>> {
    let mut links: Vec<Option<(usize, f32)>> = vec![None; mentions.len()];
    let mut names: HashMap<String, usize> = HashMap::new();
    // The last word of a person's name, and the mention that had the whole of it.
    let mut parts: HashMap<String, usize> = HashMap::new();
    let mut nouns: HashMap<String, usize> = HashMap::new();
    let at_head: HashMap<usize, usize> = mentions
        .iter()
        .enumerate()
        .map(|(index, mention)| (mention.head, index))
        .collect();
    let mut speakers: [Option<usize>; 3] = [None; 3];
    for index in 0..mentions.len() {
        let mention = &mentions[index];
        let text = tree.text_of(&mention.words).to_lowercase();
        let beside = named_beside(tree, mention, &at_head)
            .filter(|other| *other < index && mentions[*other].kind != TargetType::PersonalTitle);
        links[index] = match mention.form {
            Form::Name => {
                let same = names.get(&text).map(|other| (*other, SAME_NAME));
                let part = || parts.get(&text).map(|other| (*other, PART_OF_NAME));
                let link = same
                    .or_else(part)
                    .or(beside.map(|other| (other, BESIDE)))
                    .filter(|(other, _)| agrees(&mentions[*other], mention));
                names.entry(text.clone()).or_insert(index);
                if mention.kind == TargetType::Person {
                    for part in text.split_whitespace() {
                        parts.entry(part.to_owned()).or_insert(index);
                    }
                }
                link
            }
            Form::Noun => {
                let countable = !matches!(
                    mention.kind,
                    TargetType::Date | TargetType::Quantity | TargetType::PersonalTitle
                );
                let lemma = match mention.words.len() {
                    1 => tree.lemma(mention.head).to_lowercase(),
                    _ => text,
                };
                let same = nouns
                    .get(&lemma)
                    .copied()
                    .filter(|other| countable && same_thing(tree, &mentions[*other], mention))
                    .map(|other| (other, SAME_NOUN));
                // A name that is a noun as well: "Tim Cook … Cook".
                let part = || {
                    let named = tree.part(mention.head) == PartOfSpeech::ProperNoun;
                    let part = parts.get(&lemma).filter(|_| named);
                    part.map(|other| (*other, PART_OF_NAME))
                };
                // The next mention is compared with this one, which says more recently what is meant.
                let part = part();
                nouns.insert(lemma, index);
                same.or(part)
                    .or(beside.map(|other| (other, BESIDE)))
                    .or_else(|| {
                        predicate_of(tree, mention, &at_head)
                            .filter(|other| {
                                *other < index && fits_predicate(tree, &mentions[*other], mention)
                            })
                            .map(|other| (other, PREDICATE))
                    })
            }
            Form::Pronoun(person) => match person {
                Person::Speaker | Person::Speakers | Person::Addressee => {
                    let place = match person {
                        Person::Speaker => &mut speakers[0],
                        Person::Speakers => &mut speakers[1],
                        _ => &mut speakers[2],
                    };
                    let link = place.map(|other| (other, SAME_NAME));
                    place.get_or_insert(index);
                    link
                }
                _ => {
                    antecedent(tree, mentions, &links, index, person).map(|other| (other, PRONOUN))
                }
            },
        };
        if let Some((other, _)) = links[index] {
            let known = mentions[other].kind;
            let own = mentions[index].kind;
            let unsaid = own == TargetType::Other
                || !matches!(mentions[index].form, Form::Name | Form::Noun);
            if unsaid {
                mentions[index].kind = known;
            } else if known == TargetType::Other {
                mentions[other].kind = own;
            }
        }
    }
    let mut groups: Vec<Vec<(usize, f32)>> = Vec::new();
    let mut group_of = vec![0; mentions.len()];
    for (index, link) in links.iter().enumerate() {
        // "It" that found nothing to stand for is no mention of anything.
        match link {
            Some((other, score)) => {
                group_of[index] = group_of[*other];
                groups[group_of[index]].push((index, *score));
            }
            None => {
                group_of[index] = groups.len();
                groups.push(vec![(index, 1.0)]);
            }
        }
    }
    let lost = |group: &Vec<(usize, f32)>| matches!(group[..], [(only, _)] if mentions[only].form == Form::Pronoun(Person::It));
    groups.retain(|group| !lost(group));
    groups
}

/// Two mentions may be of one thing.
fn agrees(one: &Mention, other: &Mention) -> bool {
    let vague = |kind| {
        matches!(
            kind,
            TargetType::Other
                | TargetType::Brand
                | TargetType::Organization
                | TargetType::CommercialItem
        )
    };
    one.kind == other.kind || vague(one.kind) || vague(other.kind)
}

/// The mention that a mention stands beside as another name of the same: "our guide Tomas", "Tomas, our guide".
fn named_beside(
    tree: &Tree<'_>,
    mention: &Mention,
    at_head: &HashMap<usize, usize>,
) -> Option<usize> {
    let head = mention.head;
    if tree.dep(head) == "appos" {
        // Lists are read as if each stood for the one before it: "Great camera, terrible battery".
        let named = mention.form == Form::Name
            || tree.part(tree.head(head)) == PartOfSpeech::ProperNoun
            || mention.kind == TargetType::Person && tree.has(head, &["det"]);
        let list = tree.token(head).tag == "NNS"
            || (tree.head(head)..head).any(|word| tree.lower(word) == ":");
        return at_head
            .get(&tree.head(head))
            .copied()
            .filter(|_| named && !list);
    }
    // "A woman called Rita".
    let verb = tree.head(head);
    if matches!(tree.dep(head), "oprd" | "dobj")
        && tree.dep(verb) == "acl"
        && matches!(tree.lemma(verb), "call" | "name")
    {
        return at_head.get(&tree.head(verb)).copied();
    }
    let before = mention.words.start.checked_sub(1)?;
    let describes = matches!(tree.dep(before), "compound" | "nmod")
        && mention.words.contains(&tree.head(before))
        && mention.kind == TargetType::Person;
    at_head.get(&before).copied().filter(|_| describes)
}

/// The subject that a noun says what it is: "she is a gifted player".
fn predicate_of(
    tree: &Tree<'_>,
    mention: &Mention,
    at_head: &HashMap<usize, usize>,
) -> Option<usize> {
    let bottom = first_joined(tree, mention.head);
    let verb = tree.head(bottom);
    if tree.dep(bottom) != "attr" || tree.lemma(verb) != "be" || tree.negated(verb) {
        return None;
    }
    let subject = tree.dependents(verb, &["nsubj"]).next()?;
    at_head.get(&subject).copied()
}

/// A subject and what is said that it is name one thing: they are of one kind, and the noun is no property.
fn fits_predicate(tree: &Tree<'_>, subject: &Mention, noun: &Mention) -> bool {
    let plain = !matches!(
        noun.kind,
        TargetType::Attribute | TargetType::Date | TargetType::Quantity
    );
    let known = !matches!(subject.form, Form::Pronoun(person) if person.speaks())
        && !types::only_presents(tree.lemma(subject.head));
    let same = subject.kind == noun.kind
        || subject.kind == TargetType::Other
        || noun.kind == TargetType::Other && subject.kind != TargetType::Person;
    plain && known && same && is_plural(tree, subject) == is_plural(tree, noun)
}

/// Two uses of a noun name one thing: the later one is definite and says nothing that the earlier one does not.
fn same_thing(tree: &Tree<'_>, earlier: &Mention, later: &Mention) -> bool {
    if is_plural(tree, earlier) != is_plural(tree, later) {
        return false;
    }
    let told = |mention: &Mention, relations: &[&str]| -> Vec<String> {
        tree.dependents(mention.head, relations)
            .map(|word| tree.lower(word).to_owned())
            .collect()
    };
    let determiner = told(later, &["det"]);
    let indefinite = determiner.iter().any(|word| {
        matches!(
            word.as_str(),
            "a" | "an" | "another" | "every" | "each" | "no" | "some" | "any"
        )
    });
    let tells = told(later, &["amod", "nummod", "compound"]);
    let told_before = told(earlier, &["amod", "nummod", "compound"]);
    let owners = (told(earlier, &["poss"]), told(later, &["poss"]));
    let same_owner = owners.0 == owners.1 || owners.0.is_empty() || owners.1.is_empty();
    !indefinite && same_owner && tells.iter().all(|word| told_before.contains(word))
}

/// It names several.
fn is_plural(tree: &Tree<'_>, mention: &Mention) -> bool {
    match mention.form {
        Form::Pronoun(person) => matches!(person, Person::They | Person::Speakers),
        Form::Noun => matches!(tree.token(mention.head).tag.as_str(), "NNS" | "NNPS"),
        Form::Name => tree.token(mention.head).tag == "NNPS",
    }
}

/// What a pronoun of the third person stands for: of the mentions that fit, the best by place.
fn antecedent(
    tree: &Tree<'_>,
    mentions: &[Mention],
    links: &[Option<(usize, f32)>],
    index: usize,
    person: Person,
) -> Option<usize> {
    let pronoun = mentions[index].head;
    let possessive = tree.dep(pronoun) == "poss";
    let acted = !possessive && !SUBJECTS.contains(&tree.dep(pronoun));
    let here = tree.sentence(pronoun);
    let mut best: Option<(usize, i32)> = None;
    for other in (index.saturating_sub(REACH)..index).rev() {
        let mention = &mentions[other];
        let sentence = tree.sentence(mention.head);
        if sentence + SENTENCES < here {
            break;
        }
        if !fits(tree, mentions, links, other, person) {
            continue;
        }
        let role = first_joined(tree, mention.head);
        let subject = SUBJECTS.contains(&tree.dep(role));
        let same_predicate = tree.predicate(mention.head) == tree.predicate(pronoun);
        // "Emma saw her": what one predicate says of two things is of two things; "Emma saw her son" is not.
        if same_predicate
            && !possessive
            && tree.head(role) == tree.head(first_joined(tree, pronoun))
        {
            continue;
        }
        if possessive && tree.head(pronoun) == mention.head {
            continue;
        }
        // "The shop refused to replace it": not the shop.
        if !possessive && tree.subject(tree.predicate(pronoun)) == Some(role) && acted {
            continue;
        }
        let sentences = i32::try_from(here.saturating_sub(sentence)).unwrap_or(i32::MAX / 2);
        let between = i32::try_from(index - other).unwrap_or(i32::MAX / 2);
        let place = match tree.dep(role) {
            _ if subject => 6,
            "dobj" | "attr" | "ROOT" => 4,
            "pobj" => 1,
            "poss" | "compound" => 0,
            _ => 2,
        };
        let named = i32::from(mention.form == Form::Name);
        // A subject takes up a subject; what is acted on, the thing just spoken of.
        let parallel = i32::from(subject && !acted) * 2;
        // Who does something is rather a person than a thing.
        let does = !acted && !possessive && tree.lemma(tree.head(pronoun)) != "be";
        let alive = i32::from(does && mention.kind == TargetType::Person) * 3;
        let of_subject = i32::from(possessive && same_predicate && subject) * 3;
        let said = place + named + parallel + alive + of_subject - 4 * sentences - between;
        if best.is_none_or(|(_, most)| said > most) {
            best = Some((other, said));
        }
    }
    best.map(|(other, _)| other)
}

/// A mention may be what a pronoun stands for.
fn fits(
    tree: &Tree<'_>,
    mentions: &[Mention],
    links: &[Option<(usize, f32)>],
    other: usize,
    person: Person,
) -> bool {
    let mention = &mentions[other];
    if let Form::Pronoun(theirs) = mention.form {
        // Through a pronoun that is alike, to what it stands for.
        return theirs == person && (links[other].is_some() || person != Person::It);
    }
    let named_person = mention.kind == TargetType::Person;
    let several = is_plural(tree, mention) || joined(tree, mention);
    let gender = match mention.form {
        Form::Name => types::gender_of_name(tree.lower(mention.words.start)),
        _ => types::gender_of_noun(tree.lemma(mention.head)),
    };
    let unfit = matches!(
        mention.kind,
        TargetType::Date | TargetType::Quantity | TargetType::PersonalTitle
    );
    match person {
        Person::He => named_person && !several && gender != Gender::Female,
        Person::She => named_person && !several && gender != Gender::Male,
        Person::It => !unfit && !named_person && !several,
        Person::They => {
            !unfit
                && (several
                    || types::is_collective(tree.lemma(mention.head))
                    || mention.kind == TargetType::Organization)
        }
        _ => false,
    }
}

/// It is one of several joined by `and`.
fn joined(tree: &Tree<'_>, mention: &Mention) -> bool {
    let and = |head: usize| {
        tree.dependents(head, &["cc"])
            .any(|word| tree.lower(word) == "and")
    };
    let nouns = |head: usize| {
        tree.dependents(head, &["conj"])
            .any(|word| tree.is_noun(word))
    };
    nouns(mention.head) && and(mention.head)
}
