//! Random messages, written straight from `protocol/messages.json`: a second encoder beside the generated one.

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A message of `messages.json`.
#[derive(Debug, Deserialize)]
pub struct Definition {
    pub name: String,
    versions: String,
    flexible: String,
    fields: Vec<Field>,
    #[serde(default)]
    structs: Vec<Struct>,
}

#[derive(Debug, Deserialize)]
struct Struct {
    name: String,
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: String,
    versions: String,
    #[serde(default = "none")]
    nullable: String,
    #[serde(default = "none")]
    tagged: String,
    tag: Option<u32>,
    fields: Option<Vec<Field>>,
}

fn none() -> String {
    "none".to_owned()
}

/// All messages.
pub fn all() -> &'static [Definition] {
    static ALL: OnceLock<Vec<Definition>> = OnceLock::new();
    ALL.get_or_init(|| {
        serde_json::from_str(include_str!("../../../protocol/messages.json")).expect("definitions")
    })
}

fn within(version: i16, range: &str) -> bool {
    if range == "none" {
        return false;
    }
    if let Some(low) = range.strip_suffix('+') {
        return version >= low.parse().expect("a version");
    }
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    (low.parse().expect("a version")..=high.parse().expect("a version")).contains(&version)
}

impl Definition {
    pub fn versions(&self) -> std::ops::RangeInclusive<i16> {
        let (low, high) = self
            .versions
            .split_once('-')
            .unwrap_or((&self.versions, &self.versions));
        low.parse().expect("a version")..=high.parse().expect("a version")
    }

    /// A random message of the version. Tagged fields are left out or differ from their defaults.
    pub fn bytes(&self, version: i16, seed: u64) -> Vec<u8> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut encoder = Encoder {
            version,
            flexible: within(version, &self.flexible),
            structs: self
                .structs
                .iter()
                .map(|one| (&*one.name, &*one.fields))
                .collect(),
            chance: TestRng::from_seed(RngAlgorithm::ChaCha, &key),
            out: Vec::new(),
        };
        encoder.fields(&self.fields);
        encoder.out
    }
}

struct Encoder<'a> {
    version: i16,
    flexible: bool,
    structs: HashMap<&'a str, &'a [Field]>,
    chance: TestRng,
    out: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn below(&mut self, limit: u32) -> u32 {
        self.chance.next_u32() % limit
    }

    fn varint(&mut self, mut value: u32) {
        while value > 127 {
            self.out.push((value & 127) as u8 | 128);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn length(&mut self, length: i32, text: bool) {
        if self.flexible {
            self.varint((length + 1) as u32);
        } else if text {
            self.out.extend((length as i16).to_be_bytes());
        } else {
            self.out.extend(length.to_be_bytes());
        }
    }

    fn fields(&mut self, fields: &'a [Field]) {
        let (version, mut tagged) = (self.version, Vec::new());
        for field in fields
            .iter()
            .filter(|field| within(version, &field.versions))
        {
            if !within(self.version, &field.tagged) {
                let nullable = within(self.version, &field.nullable);
                self.value(field, &field.kind, nullable);
            } else if self.below(2) == 0 {
                tagged.push(field);
            }
        }
        if !self.flexible {
            return;
        }
        tagged.sort_by_key(|field| field.tag);
        self.varint(tagged.len() as u32);
        for field in tagged {
            let mut out = std::mem::take(&mut self.out);
            // Random again until it is no value that a default could be.
            loop {
                self.value(field, &field.kind, false);
                if self
                    .out
                    .iter()
                    .any(|byte| ![0, 1, 0xff, 0x7f].contains(byte))
                {
                    break;
                }
                if field.kind == "bool" {
                    // The tagged flags are false unless said otherwise.
                    self.out = vec![1];
                    break;
                }
                self.out.clear();
            }
            std::mem::swap(&mut out, &mut self.out);
            self.varint(field.tag.expect("a tag"));
            self.varint(out.len() as u32);
            self.out.extend(out);
        }
    }

    fn value(&mut self, field: &'a Field, kind: &'a str, nullable: bool) {
        let null = nullable && self.below(4) == 0;
        if let Some(element) = kind.strip_prefix("[]") {
            if null {
                return self.length(-1, false);
            }
            let count = self.below(4);
            self.length(count as i32, false);
            for _ in 0..count {
                self.value(field, element, false);
            }
            return;
        }
        let size = match kind {
            "bool" => {
                let bit = self.below(2) as u8;
                return self.out.push(bit);
            }
            "int8" => 1,
            "int16" => 2,
            "int32" => 4,
            "int64" => 8,
            "uuid" => 16,
            "string" | "bytes" | "records" => {
                if null {
                    return self.length(-1, kind == "string");
                }
                let length = if self.below(8) == 0 {
                    self.below(5000)
                } else {
                    self.below(20)
                };
                self.length(length as i32, kind == "string");
                for _ in 0..length {
                    // Printable, so that it is UTF-8 as well.
                    let byte = 32 + self.below(95) as u8;
                    self.out.push(byte);
                }
                return;
            }
            _ => {
                let fields = field.fields.as_deref();
                let fields = fields.unwrap_or_else(|| self.structs[kind]);
                return self.fields(fields);
            }
        };
        let mut bytes = vec![0; size];
        self.chance.fill_bytes(&mut bytes);
        self.out.extend(bytes);
    }
}
