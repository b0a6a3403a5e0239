//! The images of a job's channels, and the classes that they are of.
//!
//! A channel says in one of four ways what its images are: with a list beside it (`train_lst` beside `train`, lines of
//! `number<TAB>class<TAB>path`), by the folder that each lies in, by MXNet's record files (which come here as such folders), or
//! as an augmented manifest (`{"source-ref": "s3://…", "class": 1}`).
//!
//! With `multi_label` an image has any number of classes, which are told for all of them, 0 or 1 each: in so many columns of a
//! list, labels of a record, or numbers of a manifest's array; or, where a manifest's content type says `label-format=class-id`,
//! by the numbers of those that hold. Sources: the developer guide, "Input/Output Interface for the Image Classification
//! Algorithm"; amazon-sagemaker-examples, `imageclassification_mscoco_multi_label`.

use super::job::client;
use super::model::CLASSES;
use escala_models::train::set_aside;
use escala_sagemaker::names::s3;
use escala_sagemaker::training::{Channel, Failure, File, Lesson};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};

/// Most bytes of a line of a list: of one with a column for each of [`CLASSES`], too.
const LINE: usize = 64 << 10;
/// Most images of a channel.
const MOST: usize = 1_000_000;

/// An image and the places of its classes, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    pub file: File,
    pub classes: Vec<u32>,
}

/// What there is to learn from.
pub struct Lists<'a> {
    /// The classes, in the order of their places.
    pub classes: Vec<String>,
    /// Images to learn from.
    pub train: Vec<Labelled>,
    /// Images to look at, and their channel.
    pub held: Vec<Labelled>,
    pub validation: &'a Channel,
}

impl<'a> Lists<'a> {
    /// The images of the channels of `lesson`, of which `channel` is learned from; `several` says whether images are of several classes, `wanted` how many classes
    /// the caller said that there are.
    ///
    /// # Errors
    /// A sentence with what is wrong with a channel, a line or an image.
    pub fn read(
        lesson: &'a Lesson<'_>,
        channel: &'a Channel,
        several: bool,
        wanted: Option<usize>,
    ) -> Result<Self, Failure> {
        let train = said(lesson, "train", several)?.unwrap_or_default();
        let held = said(lesson, "validation", several)?;
        let validation = lesson.channel("validation").unwrap_or(channel);
        let classes = match several {
            false => order(&train),
            true => {
                let all = train.iter().chain(held.iter().flatten());
                (0..width(all, wanted)?)
                    .map(|place| place.to_string())
                    .collect()
            }
        };
        if classes.len() < 2 {
            return Err(client(match several {
                false => "all images are of one class: there is nothing to tell apart",
                true => "multi_label is for two classes or more: set num_classes",
            }));
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != classes.len()) {
            return Err(client(format!(
                "hyperparameter num_classes is {wanted}, and the images are of {} classes",
                classes.len()
            )));
        }
        let mut train = placed(train, &classes)?;
        let held = match held {
            Some(held) => placed(held, &classes)?,
            None => set_aside(&mut train, |image| image.classes.clone()),
        };
        Ok(Self {
            classes,
            train,
            held,
            validation,
        })
    }
}

/// What is said of an image.
enum Said {
    /// The name of its one class.
    Class(String),
    /// 0 or 1 for each class.
    Each(Vec<bool>),
    /// The numbers of its classes.
    Numbers(Vec<u32>),
}

/// An image, and what is said of it.
type Told = (File, Said);

/// What is said of the images of a channel.
fn said(lesson: &Lesson<'_>, name: &str, several: bool) -> Result<Option<Vec<Told>>, Failure> {
    let Some(channel) = lesson.channel(name) else {
        return Ok(None);
    };
    let list = format!("{name}_lst");
    let found = match lesson.channel(&list) {
        Some(list) => by_list(lesson, channel, list, several)?,
        None if !channel.attributes.is_empty() => by_manifest(lesson, channel, several)?,
        None => by_folder(channel, several)?,
    };
    match found.len() {
        0 => Err(client(format!("channel {name:?} has no images"))),
        many if many > MOST => Err(client(format!(
            "channel {name:?} has more than {MOST} images"
        ))),
        _ => Ok(Some(found)),
    }
}

/// The lines of a channel's files.
fn lines(
    lesson: &Lesson<'_>,
    channel: &Channel,
    mut each: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for file in &channel.files {
        let mut reader = BufReader::new(lesson.open(channel, file)?);
        for number in 1_u64.. {
            let mut line = String::new();
            let read = reader.by_ref().take(LINE as u64 + 1).read_line(&mut line);
            let wrong =
                |why: &dyn std::fmt::Display| client(format!("{file}: line {number}: {why}"));
            let read = read.map_err(|error| wrong(&error))?;
            if read == 0 {
                break;
            }
            if read > LINE {
                return Err(wrong(&format!("it has more than {LINE} bytes")));
            }
            if !line.trim().is_empty() {
                each(line.trim_end()).map_err(|failure| match failure {
                    Failure::Client(why) => wrong(&why),
                    other => other,
                })?;
            }
        }
    }
    Ok(())
}

/// What stands behind the last slash.
fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// That there is room for one more.
fn few(found: &[Told]) -> Result<(), Failure> {
    match found.len() < MOST {
        true => Ok(()),
        false => Err(client(format!("a channel has at most {MOST} images"))),
    }
}

/// Why an image with so many labels is refused.
fn many(labels: usize) -> Failure {
    client(format!(
        "it has {labels} labels: images of several classes are learned from with multi_label 1"
    ))
}

/// Whether a class holds.
fn holds(label: &str) -> Result<bool, Failure> {
    match label.trim().parse::<f64>() {
        Ok(0.0) => Ok(false),
        Ok(1.0) => Ok(true),
        _ => Err(client(format!(
            "the label {label:?} is neither 0 nor 1, as multi_label 1 has them for each class"
        ))),
    }
}

/// What is wrong with labels of each class, which may be meant to be the numbers of some.
fn by_class(wrong: Failure) -> Failure {
    match wrong {
        Failure::Client(why) => client(format!(
            "{why}; lists of the numbers of classes are of the content type application/x-recordio; label-format=class-id"
        )),
        other => other,
    }
}

/// `number<TAB>class<TAB>path`, or a column for each class, the path from the channel's folder.
fn by_list(
    lesson: &Lesson<'_>,
    channel: &Channel,
    list: &Channel,
    several: bool,
) -> Result<Vec<Told>, Failure> {
    // By the last part of their keys, so that a line is not compared with every image.
    let mut images: HashMap<&str, Vec<&File>> = HashMap::new();
    for file in &channel.files {
        images.entry(last(&file.key)).or_default().push(file);
    }
    let mut found = Vec::new();
    lines(lesson, list, |line| {
        few(&found)?;
        let parts: Vec<&str> = line.split('\t').collect();
        let [_, labels @ .., path] = &parts[..] else {
            return Err(client("it is not number<TAB>class<TAB>path"));
        };
        let said = match labels {
            [] => return Err(client("it is not number<TAB>class<TAB>path")),
            labels if several => {
                let each = labels.iter().map(|label| holds(label));
                Said::Each(each.collect::<Result<_, _>>()?)
            }
            [class] => {
                let class = class
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|class| class.fract() == 0.0 && *class >= 0.0);
                let class = class.ok_or_else(|| client("its class is no whole number"))?;
                Said::Class((class as u64).to_string())
            }
            labels => return Err(many(labels.len())),
        };
        let ending = format!("/{path}");
        let named = images.get(last(path)).into_iter().flatten();
        let file = named
            .copied()
            .find(|file| file.key == *path || file.key.ends_with(&ending));
        let file = file.ok_or_else(|| {
            client(format!(
                "there is no image {path} in the channel {:?}",
                channel.name
            ))
        })?;
        found.push((file.clone(), said));
        Ok(())
    })?;
    Ok(found)
}

/// The name of the folder that an image lies in is its class; or all labels of a record, with commas between.
fn by_folder(channel: &Channel, several: bool) -> Result<Vec<Told>, Failure> {
    if several && !channel.records {
        return Err(client(format!(
            "the folders of the channel {:?} say one class of an image: multi_label 1 takes a channel {0}_lst, an augmented manifest, or record files",
            channel.name
        )));
    }
    channel
        .files
        .iter()
        .map(|file| {
            let mut parts = file.key.rsplit('/');
            parts.next();
            let class = parts.next().ok_or_else(|| {
                client(format!(
                    "{file} lies in no folder that would name its class"
                ))
            })?;
            let wrong = |failure| match failure {
                Failure::Client(why) => client(format!("{file}: {why}")),
                other => other,
            };
            let labels = class.split(',');
            let said = match several {
                true => {
                    let each = labels.map(holds).collect::<Result<_, _>>();
                    Said::Each(each.map_err(wrong)?)
                }
                false if channel.records && class.contains(',') => {
                    return Err(wrong(many(labels.count())));
                }
                false => Said::Class(class.to_owned()),
            };
            Ok((file.clone(), said))
        })
        .collect()
}

/// Whether the labels of a manifest are the numbers of classes.
fn numbers(channel: &Channel) -> Result<bool, Failure> {
    let said = channel.content_type.as_deref().unwrap_or_default();
    let mut parameters = said
        .split(';')
        .skip(1)
        .filter_map(|part| part.split_once('='));
    let format = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("label-format"));
    match format.map(|(_, format)| format.trim().trim_matches('"')) {
        None | Some("multi-hot") => Ok(false),
        Some("class-id") => Ok(true),
        Some(other) => Err(client(format!(
            "channel {:?}: label-format is {other:?}, and may be multi-hot or class-id",
            channel.name
        ))),
    }
}

/// `{"source-ref": "s3://…", "class": 1}`, under the names of the request's attributes.
fn by_manifest(
    lesson: &Lesson<'_>,
    channel: &Channel,
    several: bool,
) -> Result<Vec<Told>, Failure> {
    let [source, class] = &channel.attributes[..] else {
        return Err(client(
            "an augmented manifest of images takes two AttributeNames: the image, and its class",
        ));
    };
    let by_number = numbers(channel)?;
    let mut found = Vec::new();
    lines(lesson, channel, |line| {
        few(&found)?;
        let read: serde_json::Value = serde_json::from_str(line).map_err(client)?;
        let address = read[source].as_str().and_then(s3);
        let (bucket, key) =
            address.ok_or_else(|| client(format!("{source:?} is no address of S3's")))?;
        // Text, too, as Ground Truth writes it: "1", "[0, 1]".
        let text;
        let value = match &read[class] {
            serde_json::Value::String(written) if several => {
                text = serde_json::from_str(written).map_err(client)?;
                &text
            }
            value => value,
        };
        let said = match value {
            serde_json::Value::Array(labels) if several => {
                let texts = labels.iter().map(|label| match label {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                match by_number {
                    false => {
                        let each: Result<Vec<bool>, Failure> =
                            texts.map(|label| holds(&label)).collect();
                        Said::Each(each.map_err(by_class)?)
                    }
                    true => {
                        let each = texts.map(|label| match label.parse::<u32>() {
                            Ok(number) if (number as usize) < CLASSES => Ok(number),
                            _ => Err(client(format!(
                                "the class {label:?} is no whole number below {CLASSES}"
                            ))),
                        });
                        Said::Numbers(each.collect::<Result<_, _>>()?)
                    }
                }
            }
            _ if several => return Err(client(format!("{class:?} is no array of labels"))),
            serde_json::Value::Array(labels) => return Err(many(labels.len())),
            serde_json::Value::String(text) => Said::Class(text.clone()),
            serde_json::Value::Number(number) => Said::Class(number.to_string()),
            _ => return Err(client(format!("{class:?} is neither a number nor text"))),
        };
        found.push((lesson.file(bucket, key)?, said));
        Ok(())
    })?;
    Ok(found)
}

/// Classes in the order of their numbers: numbers by value, names by name.
fn order(told: &[Told]) -> Vec<String> {
    let names = told.iter().filter_map(|(_, said)| match said {
        Said::Class(class) => Some(class),
        _ => None,
    });
    let names: BTreeSet<&String> = names.collect();
    let numbers: Option<BTreeMap<u64, &String>> = names
        .iter()
        .map(|name| Some((name.parse().ok()?, *name)))
        .collect();
    match numbers {
        // Those that no image has keep their places.
        Some(numbers) => {
            let last = numbers.keys().last().copied().unwrap_or(0);
            match last < CLASSES as u64 {
                true => (0..=last).map(|number| number.to_string()).collect(),
                false => numbers.into_values().cloned().collect(),
            }
        }
        None => names.into_iter().cloned().collect(),
    }
}

/// How many classes images of several are of.
fn width<'a>(
    told: impl Iterator<Item = &'a Told>,
    wanted: Option<usize>,
) -> Result<usize, Failure> {
    let mut most = wanted.unwrap_or(0);
    for (file, said) in told {
        match said {
            Said::Each(each) => {
                if most != 0 && each.len() != most {
                    return Err(by_class(client(format!(
                        "{file} has labels for {} classes, and there are {most}",
                        each.len()
                    ))));
                }
                most = each.len();
            }
            Said::Numbers(numbers) => {
                let last = numbers.iter().max().map_or(0, |last| *last as usize + 1);
                match wanted {
                    Some(wanted) if last > wanted => {
                        return Err(client(format!(
                            "{file} is of class {}, and num_classes is {wanted}: numbers begin with 0",
                            last - 1
                        )));
                    }
                    Some(_) => {}
                    None => most = most.max(last),
                }
            }
            Said::Class(_) => {}
        }
    }
    Ok(most)
}

/// Images with the places of their classes.
fn placed(told: Vec<Told>, classes: &[String]) -> Result<Vec<Labelled>, Failure> {
    let places: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    told.into_iter()
        .map(|(file, said)| {
            let classes = match said {
                Said::Class(class) => {
                    let place = places.get(class.as_str()).copied();
                    vec![place.ok_or_else(|| {
                        client(format!(
                            "{file}: no image to learn from has its class {class}"
                        ))
                    })?]
                }
                Said::Each(each) => {
                    let held = each.iter().zip(0..).filter(|(held, _)| **held);
                    held.map(|(_, place)| place).collect()
                }
                Said::Numbers(mut numbers) => {
                    numbers.sort_unstable();
                    numbers.dedup();
                    numbers
                }
            };
            Ok(Labelled { file, classes })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: Vec<Said>) -> Vec<Told> {
        let file = File {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            length: 0,
            etag: String::new(),
        };
        said.into_iter().map(|said| (file.clone(), said)).collect()
    }

    #[test]
    fn classes_have_an_order() {
        let of = |classes: &[&str]| {
            let said = classes.iter().map(|class| Said::Class((*class).to_owned()));
            order(&told(said.collect()))
        };
        assert_eq!(of(&["10", "2", "2"]).len(), 11);
        assert_eq!(of(&["b", "a", "b"]), ["a", "b"]);
        assert_eq!(of(&["1", "a"]), ["1", "a"]);
        assert_eq!(of(&["99999999", "1"]), ["1", "99999999"]);
    }

    #[test]
    fn several_classes_are_told_for_each_or_by_their_numbers() {
        let classes: Vec<String> = (0..3).map(|place| place.to_string()).collect();
        let both = told(vec![
            Said::Each(vec![true, false, true]),
            Said::Each(vec![false; 3]),
            Said::Numbers(vec![2, 0, 2]),
        ]);
        assert_eq!(width(both.iter(), None), Ok(3));
        assert_eq!(width(both.iter(), Some(3)), Ok(3));
        assert!(
            matches!(width(both.iter(), Some(4)), Err(Failure::Client(why)) if why.contains("class-id"))
        );
        let placed = placed(both, &classes).expect("places");
        let found: Vec<Vec<u32>> = placed.into_iter().map(|image| image.classes).collect();
        assert_eq!(found, [vec![0, 2], vec![], vec![0, 2]]);
        let numbers = told(vec![Said::Numbers(vec![4])]);
        assert_eq!(width(numbers.iter(), None), Ok(5));
        assert_eq!(width(numbers.iter(), Some(7)), Ok(7));
        assert!(
            matches!(width(numbers.iter(), Some(4)), Err(Failure::Client(why)) if why.contains("num_classes is 4"))
        );
    }

    #[test]
    fn a_content_type_says_how_labels_are_told() {
        let channel = |said: &str| Channel {
            name: "train".to_owned(),
            content_type: Some(said.to_owned()),
            gzip: false,
            files: Vec::new(),
            attributes: Vec::new(),
            records: false,
        };
        for (said, is) in [
            ("application/x-recordio; label-format=class-id", Ok(true)),
            ("application/x-recordio;Label-Format=\"class-id\"", Ok(true)),
            ("application/x-recordio; label-format=multi-hot", Ok(false)),
            ("application/x-image", Ok(false)),
        ] {
            assert_eq!(numbers(&channel(said)), is, "{said}");
        }
        assert!(numbers(&channel("application/x-image; label-format=words")).is_err());
    }
}
