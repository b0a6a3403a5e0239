//! Small weights that are part of the binary: what was trained here. `weights/sentiment/README.md` says how.

/// A trained classifier without its base model: the two files of an adapter.
#[derive(Clone, Copy)]
pub struct Adapter {
    /// The catalogue's name of the base.
    pub base: &'static str,
    /// `adapter_config.json`.
    pub config: &'static str,
    /// `adapter_model.safetensors`.
    pub tensors: &'static [u8],
}

/// Sentiment of texts in many languages: low-rank adapters and a head.
pub const SENTIMENT: Adapter = Adapter {
    base: "multilingual-e5-small",
    config: include_str!("../sentiment/adapter_config.json"),
    tensors: include_bytes!("../sentiment/adapter_model.safetensors"),
};
