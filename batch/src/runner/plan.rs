//! A plan: which objects are the inputs, as they are now, and how they are cut into tasks.

use super::{Cut, OF_INPUTS, Trouble, input_name, output_name};
use crate::job::{Input, Piece, Plan, Source, Spec, Split};
use crate::lines::read_line;
use crate::work::Bounds;
use escala_objects::{Error as ObjectError, Listed, WritableStore};
use std::collections::BTreeSet;
use std::io::BufReader;

/// Objects that are asked for at a time.
const PAGE: usize = 1000;
/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// Pieces that become tasks when they are enough.
struct Cutter {
    cut: Cut,
    plan: Plan,
    pieces: Vec<Piece>,
    bytes: u64,
    documents: u64,
}

impl Cutter {
    /// Adds some documents; a task ends where it has enough.
    fn add(&mut self, piece: Piece) {
        self.bytes += piece.to - piece.from;
        self.documents += piece.documents;
        self.pieces.push(piece);
        if self.bytes >= self.cut.bytes || self.documents >= self.cut.documents {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.pieces.is_empty() {
            self.plan.tasks.push(std::mem::take(&mut self.pieces));
        }
        (self.bytes, self.documents) = (0, 0);
    }

    /// Whether so much more would be enough.
    fn is_full(&self, piece: &Piece) -> bool {
        self.bytes + (piece.to - piece.from) >= self.cut.bytes
            || self.documents + piece.documents >= self.cut.documents
    }
}

/// Cuts the table of a key, the input of a number; `None` where it is passed over.
pub type Tabling<'a> = dyn Fn(u64, &Listed) -> Result<Option<Vec<Piece>>, Trouble> + 'a;

/// The objects that are inputs, some at a time, by key.
enum Listing {
    /// Those with a prefix that are behind a key.
    Prefix { after: String },
    /// These.
    Keys(std::collections::btree_set::IntoIter<String>),
}

impl Listing {
    fn page(
        &mut self,
        objects: &dyn WritableStore,
        source: &Source,
    ) -> Result<Vec<Listed>, Trouble> {
        let Source { bucket, prefix, .. } = source;
        let list = |prefix: &str, after: &str, most| {
            let page = objects.list(bucket, prefix, after, most);
            page.map_err(|error| Trouble::input(bucket, prefix, &error))
        };
        match self {
            Self::Prefix { after } => {
                let page = list(prefix, after, PAGE)?;
                if let Some(last) = page.last() {
                    after.clone_from(&last.key);
                }
                Ok(page)
            }
            Self::Keys(keys) => {
                let one = |key: String| {
                    // It is the first of all keys that begin with its own.
                    let found = list(&key, "", 1)?.pop().filter(|listed| listed.key == key);
                    found.ok_or_else(|| {
                        let absent = ObjectError::NoKey(bucket.clone(), key.clone());
                        Trouble::input(bucket, &key, &absent)
                    })
                };
                keys.by_ref().take(PAGE).map(one).collect()
            }
        }
    }
}

/// Looks at the inputs of a job: those of these keys, or all that begin with its prefix.
///
/// # Errors
/// There are none, there is too much, they cannot be read, or the output cannot be written.
pub fn plan(
    objects: &dyn WritableStore,
    spec: &Spec,
    bounds: Bounds,
    cut: Cut,
    keys: Option<Vec<String>>,
    tables: &Tabling<'_>,
    go_on: &dyn Fn() -> bool,
) -> Result<Plan, Trouble> {
    // What cannot be written in the end need not be begun. What is dropped never was.
    let probe = output_name(&spec.output, ".parts/probe")?;
    let probe = objects.create(&probe);
    drop(probe.map_err(|error| Trouble::output(&spec.output, &error))?);
    if spec.input.split == Split::Question {
        return Ok(question(bounds.documents.min(1)));
    }
    let mut cutter = Cutter {
        cut,
        plan: Plan::default(),
        pieces: Vec::new(),
        bytes: 0,
        documents: 0,
    };
    let (mut bytes, mut documents) = (0_u64, 0_u64);
    let mut listing = match keys {
        Some(keys) => Listing::Keys(BTreeSet::from_iter(keys).into_iter()),
        None => Listing::Prefix {
            after: String::new(),
        },
    };
    loop {
        let mut page = listing.page(objects, &spec.input)?;
        let prefix = &spec.input.prefix;
        if spec.input.split == Split::Manifest {
            // It is the first of all keys that begin with its own.
            page.retain(|listed| listed.key == *prefix);
        }
        if page.is_empty() {
            break;
        }
        for listed in page {
            // A folder that somebody's console made.
            if listed.key.ends_with('/') && listed.length == 0 {
                continue;
            }
            if !go_on() {
                return Err(Trouble::Rest);
            }
            bytes = bytes.saturating_add(listed.length);
            if bytes > bounds.bytes {
                let most = bounds.bytes;
                return Err(Trouble::Fails(format!(
                    "{OF_INPUTS}have more than {most} bytes, which a job may have"
                )));
            }
            let found = match spec.input.split {
                Split::Rows => {
                    let number = cutter.plan.inputs.len() as u64;
                    let Some(pieces) = tables(number, &listed)? else {
                        bytes -= listed.length;
                        continue;
                    };
                    let documents = pieces.iter().map(|piece| piece.documents).sum();
                    pieces.into_iter().for_each(|piece| cutter.add(piece));
                    Input {
                        key: listed.key.clone(),
                        length: listed.length,
                        etag: listed.etag.clone(),
                        documents,
                    }
                }
                Split::Files => file(&mut cutter, &listed),
                Split::Question => continue,
                Split::Lines | Split::Manifest => {
                    lines(objects, spec, &mut cutter, &listed, go_on)?
                }
            };
            documents += found.documents;
            if documents > bounds.documents {
                let most = bounds.documents;
                return Err(Trouble::Fails(format!(
                    "{OF_INPUTS}have more than {most} documents, which a job may have"
                )));
            }
            cutter.plan.inputs.push(found);
        }
    }
    cutter.end();
    if cutter.plan.inputs.is_empty() {
        let (bucket, prefix) = (&spec.input.bucket, &spec.input.prefix);
        if spec.input.split == Split::Manifest {
            let absent = ObjectError::NoKey(bucket.clone(), prefix.clone());
            return Err(Trouble::input(bucket, prefix, &absent));
        }
        return Err(Trouble::Fails(format!(
            "no object in the bucket {bucket} has a key that begins with `{prefix}`"
        )));
    }
    Ok(cutter.plan)
}

/// What is no object, and one document where it is any.
fn question(documents: u64) -> Plan {
    let input = Input {
        key: String::new(),
        length: 0,
        etag: String::new(),
        documents,
    };
    let piece = Piece {
        input: 0,
        from: 0,
        to: 0,
        first: 0,
        documents,
    };
    Plan {
        inputs: vec![input],
        tasks: vec![vec![piece]],
    }
}

fn file(cutter: &mut Cutter, listed: &Listed) -> Input {
    cutter.add(Piece {
        input: cutter.plan.inputs.len() as u64,
        from: 0,
        to: listed.length,
        first: 0,
        documents: 1,
    });
    Input {
        key: listed.key.clone(),
        length: listed.length,
        etag: listed.etag.clone(),
        documents: 1,
    }
}

fn lines(
    objects: &dyn WritableStore,
    spec: &Spec,
    cutter: &mut Cutter,
    listed: &Listed,
    go_on: &dyn Fn() -> bool,
) -> Result<Input, Trouble> {
    let key = &listed.key;
    let name = input_name(&spec.input, key)?;
    let object = objects.open(&name);
    let object = object.map_err(|error| Trouble::input(&spec.input.bucket, key, &error))?;
    if object.etag != listed.etag {
        return Err(Trouble::changed(key));
    }
    let unread = |error: std::io::Error| Trouble::Now(format!("`{key}` cannot be read: {error}"));
    let mut from = BufReader::with_capacity(BUFFER, object.bytes);
    let mut piece = Piece {
        input: cutter.plan.inputs.len() as u64,
        from: 0,
        to: 0,
        first: 0,
        documents: 0,
    };
    let (mut documents, mut since) = (0_u64, 0_u64);
    while let Some(line) = read_line(&mut from, 0).map_err(unread)? {
        piece.to += line.whole;
        piece.documents += 1;
        documents += 1;
        since += line.whole;
        if since > 16 << 20 {
            since = 0;
            if !go_on() {
                return Err(Trouble::Rest);
            }
        }
        if cutter.is_full(&piece) {
            cutter.add(piece);
            piece = Piece {
                from: piece.to,
                first: documents,
                documents: 0,
                ..piece
            };
        }
    }
    if piece.documents > 0 {
        cutter.add(piece);
    }
    if piece.to != object.length {
        return Err(Trouble::changed(key));
    }
    Ok(Input {
        key: key.clone(),
        length: object.length,
        etag: object.etag,
        documents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Form, Source, Target};
    use escala_objects::memory::Memory;
    use serde_json::Value;

    fn spec(split: Split) -> Spec {
        Spec {
            kind: "kind".to_owned(),
            name: None,
            priority: 0,
            input: Source {
                bucket: "texts".to_owned(),
                prefix: "in/".to_owned(),
                split,
            },
            output: Target {
                bucket: "answers".to_owned(),
                folder: "out/".to_owned(),
                form: Form::Archive {
                    name: "a".to_owned(),
                    member: "b".to_owned(),
                },
            },
            question: Value::Null,
            details: Value::Null,
        }
    }

    const BOUNDS: Bounds = Bounds {
        document: 100,
        documents: 100,
        bytes: 1000,
    };
    const CUT: Cut = Cut {
        bytes: 12,
        documents: 4,
    };

    fn no_tables(_: u64, _: &Listed) -> Result<Option<Vec<Piece>>, Trouble> {
        Ok(None)
    }

    fn planned(files: &[(&str, &[u8])], split: Split) -> Result<Plan, Trouble> {
        let objects = Memory::default();
        objects.bucket("answers");
        for (key, bytes) in files {
            objects.put("texts", key, bytes);
        }
        plan(
            &objects,
            &spec(split),
            BOUNDS,
            CUT,
            None,
            &no_tables,
            &|| true,
        )
    }

    fn said(trouble: Trouble) -> String {
        match trouble {
            Trouble::Fails(why) | Trouble::Now(why) => why,
            Trouble::Rest => "rest".to_owned(),
        }
    }

    #[test]
    fn lines_are_cut_where_they_end_and_small_files_share_a_task() {
        let plan = planned(
            &[
                ("in/a", b"one\r\ntwo\r\nthree\nfour"),
                ("in/b", b""),
                ("in/c", b"x\ny"),
                ("in/d/", b""),
                ("in/e", b"z\n\n\n\n\n"),
                ("other", b"not in it"),
            ],
            Split::Lines,
        )
        .map_err(said)
        .expect("a plan");
        let inputs: Vec<(&str, u64)> = plan
            .inputs
            .iter()
            .map(|input| (input.key.as_str(), input.documents))
            .collect();
        assert_eq!(
            inputs,
            [("in/a", 4), ("in/b", 0), ("in/c", 2), ("in/e", 5)],
            "what is not a folder"
        );
        let tasks: Vec<Vec<[u64; 5]>> = plan
            .tasks
            .iter()
            .map(|pieces| {
                let piece = |p: &Piece| [p.input, p.from, p.to, p.first, p.documents];
                pieces.iter().map(piece).collect()
            })
            .collect();
        assert_eq!(
            tasks,
            [
                vec![[0, 0, 16, 0, 3]],
                vec![[0, 16, 20, 3, 1], [2, 0, 3, 0, 2], [3, 0, 2, 0, 1]],
                vec![[3, 2, 6, 1, 4]],
            ]
        );
        assert_eq!(plan.total().documents, 11);
    }

    #[test]
    fn files_are_documents() {
        let plan = planned(
            &[("in/a", b"0123456789ab"), ("in/b", b""), ("in/c", b"x\ny")],
            Split::Files,
        )
        .map_err(said)
        .expect("a plan");
        let sizes: Vec<usize> = plan.tasks.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 2]);
        assert_eq!(plan.total().documents, 3);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let why = said(planned(&[("x", b"1")], Split::Lines).expect_err("nothing"));
        assert!(why.contains("texts") && why.contains("`in/`"), "{why}");
        let many = "\n".repeat(101);
        let why = said(planned(&[("in/a", many.as_bytes())], Split::Lines).expect_err("many"));
        assert!(why.contains("100 documents"), "{why}");
        let long = "x".repeat(1001);
        let why = said(planned(&[("in/a", long.as_bytes())], Split::Files).expect_err("long"));
        assert!(why.contains("1000 bytes"), "{why}");
        let objects = Memory::default();
        let planned = || {
            plan(
                &objects,
                &spec(Split::Lines),
                BOUNDS,
                CUT,
                None,
                &no_tables,
                &|| true,
            )
        };
        let no_output = planned();
        let why = said(no_output.expect_err("no bucket"));
        assert!(why.contains("there is no bucket answers"), "{why}");
        objects.bucket("answers");
        let no_input = planned();
        let why = said(no_input.expect_err("no bucket"));
        assert!(why.contains("there is no bucket texts"), "{why}");
    }
}
