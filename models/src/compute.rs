//! What a network runs on: a device and, for the CPU, the team of threads.

use crate::team::Team;
pub use candle_core::Device;
use std::sync::{Mutex, PoisonError};

/// Where to compute, as the user says it: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if there is one and support is built in, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this ordinal.
    Cuda(usize),
}

/// How text encoders multiply on the CPU, as the user says it: `full` or `int8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In 32-bit floats, as the reference implementations do.
    #[default]
    Full,
    /// In 8-bit whole numbers ([`QuantizedMatrix`](crate::kernels::QuantizedMatrix)): a quarter of the memory and, with dot product
    /// instructions, a multiple of the speed, for answers that differ a little.
    Int8,
}

/// The text is not a precision.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a precision: use full or int8")]
pub struct UnknownPrecision(String);

impl std::str::FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        match text {
            "full" => Ok(Self::Full),
            "int8" => Ok(Self::Int8),
            _ => Err(UnknownPrecision(text.to_owned())),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Int8 => "int8",
        })
    }
}

/// What a text encoder is loaded for. A device alone is one in full precision.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where tensors live.
    pub device: &'a Device,
    /// How products are made on the CPU; elsewhere they are in full.
    pub precision: Precision,
}

impl<'a> From<&'a Device> for Target<'a> {
    fn from(device: &'a Device) -> Self {
        Self {
            device,
            precision: Precision::Full,
        }
    }
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The text is not a device.
    #[error("`{0}` is not a device: use auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// This build has no CUDA support.
    #[error("this binary is built without CUDA: build with `--features cuda`, or use --device cpu")]
    NotBuilt,
    /// The driver refused.
    #[error("CUDA device {ordinal} cannot be used")]
    Cuda {
        /// Number of the device.
        ordinal: usize,
        /// What the driver said.
        source: candle_core::Error,
    },
}

impl std::str::FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.to_owned())),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// When a CUDA device was asked for by name and cannot be used. `Auto` falls back to the CPU.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if candle_core::utils::cuda_is_available() => {
                Ok(Device::new_cuda(0).unwrap_or(Device::Cpu))
            }
            Self::Auto => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt),
            Self::Cuda(ordinal) => {
                Device::new_cuda(ordinal).map_err(|source| DeviceError::Cuda { ordinal, source })
            }
        }
    }
}

/// A device and the threads that work for it: what every network's forward pass is given.
pub struct Compute {
    /// The threads for kernels and for work on single items (tokenising, decoding).
    pub team: Team,
    /// Where tensors live.
    pub device: Device,
    /// What encoders of texts were shown.
    pub shown: Shown,
}

/// Tokens that encoders of texts were shown for each text of a batch, special ones included.
///
/// An encoder says so of the texts that it is given, by their numbers. Who gives it parts of texts takes what it said and says it
/// of the texts.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Vec<u64>>);

impl Shown {
    /// So many tokens more were shown for a text.
    pub fn add(&self, text: usize, tokens: u64) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() <= text {
            shown.resize(text + 1, 0);
        }
        shown[text] += tokens;
    }

    /// What was said since it was taken before, by text; there is nothing behind the last of which something was said.
    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Compute {
    /// The CPU with a team of `threads`.
    pub fn cpu(threads: usize) -> Self {
        Self {
            team: Team::new(threads),
            device: Device::Cpu,
            shown: Shown::default(),
        }
    }

    /// `device` with a team of `threads` for the calling thread alone ([`Team::own`]).
    pub fn own(device: Device, threads: usize) -> Self {
        Self {
            team: Team::own(threads),
            device,
            shown: Shown::default(),
        }
    }

    /// `device` with a team of `threads`.
    pub fn new(device: Device, threads: usize) -> Self {
        Self {
            team: Team::new(threads),
            device,
            shown: Shown::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_of_the_text_that_they_were_shown_for() {
        let shown = Shown::default();
        for (text, tokens) in [(2, 7), (0, 1), (2, 3)] {
            shown.add(text, tokens);
        }
        assert_eq!(shown.take(), [1, 0, 10]);
        assert!(shown.take().is_empty());
    }

    #[test]
    fn devices_are_read_and_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:7"] {
            assert_eq!(text.parse::<DeviceChoice>().expect(text).to_string(), text);
        }
        assert_eq!(
            "cuda".parse::<DeviceChoice>().expect("cuda"),
            DeviceChoice::Cuda(0)
        );
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
        for text in ["full", "int8"] {
            assert_eq!(text.parse::<Precision>().expect(text).to_string(), text);
        }
        assert!("fp16".parse::<Precision>().is_err());
    }
}
