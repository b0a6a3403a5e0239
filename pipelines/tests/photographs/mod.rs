//! Photographs of people that packages carry and that may not lie here: pulled as weights are.

// Not every test uses all of them.
#![allow(dead_code)]

use bytes::Bytes;
use escala_weights::{Catalog, Silent, Store, StoreOptions};
use std::fmt::Write;

/// A package's photographs.
pub struct Photographs {
    name: &'static str,
    notice: &'static str,
    /// Kind of source, package, version; name, size and digest of its archive, and the folder in it.
    source: [&'static str; 3],
    archive: (&'static str, u64, &'static str),
    folder: &'static str,
    files: &'static [(&'static str, u64, &'static str)],
}

/// Official portraits of two presidents; the first letters of a name are the person.
pub const PORTRAITS: Photographs = Photographs {
    name: "portraits",
    notice: "From the Python package face-recognition 1.3.0, copyright (c) 2017, Adam Geitgey, MIT licence. Unchanged.",
    source: ["pip", "face-recognition", "1.3.0"],
    archive: (
        "face_recognition-1.3.0.tar.gz",
        3_182_249,
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    ),
    folder: "face_recognition-1.3.0/tests/test_images",
    files: &[
        (
            "biden.jpg",
            353_723,
            "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
        ),
        (
            "obama.jpg",
            279_922,
            "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
        ),
        (
            "obama2.jpg",
            184_455,
            "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
        ),
        (
            "obama3.jpg",
            595_944,
            "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
        ),
        (
            "obama_partial_face.jpg",
            423_060,
            "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117",
        ),
        (
            "obama_partial_face2.jpg",
            478_346,
            "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028",
        ),
    ],
};

/// Six photographs of three to five people, 22 faces in all.
pub const GROUPS: Photographs = Photographs {
    name: "groups",
    notice: "From the npm package @vladmandic/face-api 1.7.15, copyright (c) Vladimir Mandic, MIT licence, who took them. Unchanged.",
    source: ["npm", "@vladmandic/face-api", "1.7.15"],
    archive: (
        "vladmandic-face-api-1.7.15.tgz",
        12_677_476,
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ),
    folder: "package/demo",
    files: &[
        (
            "sample1.jpg",
            144_516,
            "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51",
        ),
        (
            "sample2.jpg",
            181_758,
            "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691",
        ),
        (
            "sample3.jpg",
            221_049,
            "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936",
        ),
        (
            "sample4.jpg",
            210_824,
            "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc",
        ),
        (
            "sample5.jpg",
            166_400,
            "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938",
        ),
        (
            "sample6.jpg",
            302_445,
            "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87",
        ),
    ],
};

impl Photographs {
    /// Names and encoded images.
    pub fn pull(&self) -> Vec<(&'static str, Bytes)> {
        let text = self.entry();
        let catalog = Catalog::parse([("photographs.toml", text.as_str())]).expect("catalogue");
        let store = Store::open(StoreOptions {
            catalog: Some(catalog),
            ..StoreOptions::default()
        })
        .expect("store");
        let files = store.ensure(self.name, &Silent).expect("photographs");
        let read = |name: &'static str| {
            let path = files.path(name).expect("a photograph");
            (name, Bytes::from(std::fs::read(path).expect("a file")))
        };
        self.files.iter().map(|(name, ..)| read(name)).collect()
    }

    /// An entry as the catalogue has them.
    fn entry(&self) -> String {
        let Self { name, notice, .. } = self;
        let [kind, package, version] = self.source;
        let (archive, bytes, sha256) = self.archive;
        let mut text = format!(
            "name = \"{name}\"\nversion = \"1\"\ntask = \"test\"\ntitle = \"Photographs of {package}\"\n\
             licence = \"MIT\"\nnotice = \"{notice}\"\n"
        );
        let mut paths = String::new();
        let mut outputs = String::new();
        let folder = self.folder;
        for (file, bytes, sha256) in self.files {
            write!(
                text,
                "[[files]]\nname = \"{file}\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n"
            )
            .and_then(|()| writeln!(paths, "\"{file}\" = \"{folder}/{file}\""))
            .and_then(|()| {
                write!(
                    outputs,
                    "[[outputs]]\nname = \"{file}\"\nfrom = \"{file}\"\nconvert = {{ kind = \"copy\" }}\n"
                )
            })
            .expect("a text grows");
        }
        format!(
            "{text}[[sources]]\nkind = \"{kind}\"\npackage = \"{package}\"\nversion = \"{version}\"\n\
             [sources.archive]\nname = \"{archive}\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n\
             [sources.paths]\n{paths}{outputs}"
        )
    }
}
