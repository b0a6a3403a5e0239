//! A safetensors file, memory-mapped and read by name; or several, where a checkpoint is too large for one
//! ([`Parts`]).
//!
//! The header is checked once when the file is opened (sizes, offsets, overflow, and that the file is exactly
//! as long as the header says), so a truncated or damaged file is an error and never a panic. Tensors are
//! borrowed from the map where their alignment allows and copied where it does not.

use crate::parts::Parts;
use bytemuck::{AnyBitPattern, NoUninit};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the header's length, which comes first in the file.
const LENGTH: usize = 8;

/// A tensor's dimensions and its elements in row-major order.
pub type Array<'a, T> = (Vec<usize>, Cow<'a, [T]>);

/// What is wrong with a tensor file, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or mapped.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not a whole, well-formed safetensors file.
    #[error("{} is not a whole safetensors file: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        source: SafeTensorError,
    },
    /// What lists the files of a checkpoint is not understood, or says what does not hold.
    #[error("{} does not list the files of a checkpoint: {why}", path.display())]
    Parts {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No tensor of this name.
    #[error("{} has no tensor \"{name}\"", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor asked for.
        name: String,
    },
    /// The tensor is of another type.
    #[error("tensor \"{name}\" of {} is {found:?}, not {wanted:?}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type asked for.
        wanted: Dtype,
        /// The type it has.
        found: Dtype,
    },
    /// The tensor has other dimensions.
    #[error("tensor \"{name}\" of {} has shape {found:?}, not {wanted:?}", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape asked for.
        wanted: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// The file's metadata lacks a key.
    #[error("{} has no metadata \"{key}\"", path.display())]
    MissingMetadata {
        /// The file.
        path: PathBuf,
        /// The key asked for.
        key: String,
    },
    /// A value of the file's metadata is not of the type asked for.
    #[error("metadata \"{key}\" of {} is \"{value}\", which is not {wanted}", path.display())]
    WrongMetadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it says.
        value: String,
        /// The type asked for.
        wanted: &'static str,
    },
}

/// An open tensor file, or several that belong together.
#[derive(Debug)]
pub struct Tensors {
    path: PathBuf,
    /// At least one.
    files: Vec<Mapped>,
    /// Which of them has a tensor, where there are several.
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Mapped {
    map: Mmap,
    header: Metadata,
    /// Where tensor data starts.
    start: usize,
}

impl Mapped {
    fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: a map is sound while nobody changes the file. Published files are written once under
        // another name, made visible by a rename and only ever unlinked, never written or truncated.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let malformed = |source| Error::Malformed {
            path: path.to_owned(),
            source,
        };
        let (length, header) = SafeTensors::read_metadata(&map).map_err(malformed)?;
        Ok(Self {
            start: LENGTH + length,
            map,
            header,
        })
    }
}

impl Tensors {
    /// Maps a file and checks its header; of [`crate::parts::FILE`] the files that it lists, which are beside it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] and [`Error::Parts`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        if path
            .file_name()
            .is_some_and(|name| name == crate::parts::FILE)
        {
            return Self::open_parts(path);
        }
        Ok(Self {
            files: vec![Mapped::open(&path)?],
            places: HashMap::new(),
            path,
        })
    }

    fn open_parts(path: PathBuf) -> Result<Self, Error> {
        let parts = Parts::open(&path)?;
        let mut files = Vec::new();
        for name in parts.files() {
            files.push(Mapped::open(&path.with_file_name(name))?);
        }
        let mut places = HashMap::new();
        for (tensor, file) in parts.tensors() {
            if files[file].header.info(tensor).is_none() {
                return Err(Error::Missing {
                    path: path.with_file_name(&parts.files()[file]),
                    name: tensor.to_owned(),
                });
            }
            places.insert(tensor.to_owned(), file);
        }
        Ok(Self {
            path,
            files,
            places,
        })
    }

    /// The file; of several what lists them.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the files in bytes, which is what the maps can take of memory.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.map.len() as u64).sum()
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = match self.files.as_slice() {
            [file] if self.places.is_empty() => file.header.offset_keys(),
            _ => self.places.keys().cloned().collect(),
        };
        names.sort();
        names
    }

    /// A tensor's type and dimensions.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn info(&self, name: &str) -> Result<(Dtype, &[usize]), Error> {
        self.find(name)
            .map(|(_, info)| (info.dtype, info.shape.as_slice()))
    }

    /// A tensor's raw little-endian bytes, whatever its type.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn raw(&self, name: &str) -> Result<&[u8], Error> {
        let (file, info) = self.find(name)?;
        let (from, to) = info.data_offsets;
        // The header check holds every offset inside the file.
        Ok(&file.map[file.start + from..file.start + to])
    }

    /// A tensor of 32-bit floats.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`].
    pub fn f32(&self, name: &str) -> Result<Array<'_, f32>, Error> {
        self.typed(name, Dtype::F32, f32::from_le_bytes)
    }

    /// A tensor of 32-bit floats of exactly these dimensions.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`], [`Error::WrongShape`].
    pub fn f32_of(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, Error> {
        let (found, data) = self.f32(name)?;
        if found == shape {
            return Ok(data);
        }
        Err(Error::WrongShape {
            path: self.path.clone(),
            name: name.to_owned(),
            wanted: shape.to_vec(),
            found,
        })
    }

    /// A tensor of bytes.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`].
    pub fn u8(&self, name: &str) -> Result<(Vec<usize>, &[u8]), Error> {
        let info = self.expect_type(name, Dtype::U8)?;
        Ok((info.shape.clone(), self.raw(name)?))
    }

    /// A tensor of signed 32-bit integers.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`].
    pub fn i32(&self, name: &str) -> Result<Array<'_, i32>, Error> {
        self.typed(name, Dtype::I32, i32::from_le_bytes)
    }

    /// A tensor of unsigned 32-bit integers.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`].
    pub fn u32(&self, name: &str) -> Result<Array<'_, u32>, Error> {
        self.typed(name, Dtype::U32, u32::from_le_bytes)
    }

    /// A tensor of signed 64-bit integers.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::WrongType`].
    pub fn i64(&self, name: &str) -> Result<Array<'_, i64>, Error> {
        self.typed(name, Dtype::I64, i64::from_le_bytes)
    }

    /// A value of the file's metadata; of several files, of the first one's.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.files
            .first()?
            .header
            .metadata()
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    /// A value of the file's metadata, read as a number or another type.
    ///
    /// # Errors
    /// [`Error::MissingMetadata`], [`Error::WrongMetadata`].
    pub fn metadata_as<T: std::str::FromStr>(&self, key: &str) -> Result<T, Error> {
        let value = self.metadata(key).ok_or_else(|| Error::MissingMetadata {
            path: self.path.clone(),
            key: key.to_owned(),
        })?;
        value.parse().map_err(|_| Error::WrongMetadata {
            path: self.path.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            wanted: std::any::type_name::<T>(),
        })
    }

    fn find(&self, name: &str) -> Result<(&Mapped, &TensorInfo), Error> {
        let file = match self.places.is_empty() {
            true => self.files.first(),
            false => self.places.get(name).map(|&place| &self.files[place]),
        };
        file.and_then(|file| Some((file, file.header.info(name)?)))
            .ok_or_else(|| Error::Missing {
                path: self.path.clone(),
                name: name.to_owned(),
            })
    }

    fn expect_type(&self, name: &str, wanted: Dtype) -> Result<&TensorInfo, Error> {
        let (_, info) = self.find(name)?;
        if info.dtype == wanted {
            return Ok(info);
        }
        Err(Error::WrongType {
            path: self.path.clone(),
            name: name.to_owned(),
            wanted,
            found: info.dtype,
        })
    }

    fn typed<T: AnyBitPattern + NoUninit, const SIZE: usize>(
        &self,
        name: &str,
        wanted: Dtype,
        read: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Array<'_, T>, Error> {
        let shape = self.expect_type(name, wanted)?.shape.clone();
        let bytes = self.raw(name)?;
        let data = match bytemuck::try_cast_slice(bytes) {
            Ok(aligned) if cfg!(target_endian = "little") => Cow::Borrowed(aligned),
            _ => Cow::Owned(
                bytes
                    .as_chunks::<SIZE>()
                    .0
                    .iter()
                    .map(|&chunk| read(chunk))
                    .collect(),
            ),
        };
        Ok((shape, data))
    }
}
