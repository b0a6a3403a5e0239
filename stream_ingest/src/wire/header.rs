//! What precedes every request and answer.

use super::{Api, Reader, Result, Tags, Writer};

/// The head of a request. Key, version and correlation id lie in the first eight bytes whatever the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub key: i16,
    /// In which version.
    pub version: i16,
    /// What the answer repeats.
    pub correlation: i32,
    /// How the client calls itself.
    pub client: Option<String>,
}

impl RequestHeader {
    /// Reads the head of a request.
    ///
    /// A request whose key nobody knows, or whose version is newer than its API's messages here, may have any head: only
    /// the first eight bytes are read then.
    ///
    /// # Errors
    /// When the bytes are not a head.
    pub fn read(reader: &mut Reader) -> Result<Self> {
        let (key, version, correlation) = (reader.int16()?, reader.int16()?, reader.int32()?);
        let mut header = Self {
            key,
            version,
            correlation,
            client: None,
        };
        if let Some(api) = Api::of(key).filter(|api| version <= *api.versions().end()) {
            // Never of the compact kind, whatever the version.
            header.client = reader.nullable_string(false, true)?;
            if api.flexible().is_some_and(|first| version >= first) {
                reader.tags(|_, _| Ok(false))?;
            }
        }
        Ok(header)
    }

    /// Writes the head of a request.
    ///
    /// # Errors
    /// When the client's name is too long.
    pub fn write(&self, writer: &mut Writer) -> Result<()> {
        writer.int16(self.key);
        writer.int16(self.version);
        writer.int32(self.correlation);
        writer.nullable_string(false, true, self.client.as_deref())?;
        let flexible = Api::of(self.key).and_then(Api::flexible);
        if flexible.is_some_and(|first| self.version >= first) {
            writer.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// Writes the head of an answer to a request of this API in this version.
///
/// The answer to ApiVersions has the oldest head in every version: a client that asks in a version nobody knows must be
/// able to read that it did.
///
/// # Errors
/// None in practice.
pub fn write_response_header(
    api: Api,
    version: i16,
    correlation: i32,
    writer: &mut Writer,
) -> Result<()> {
    writer.int32(correlation);
    if api != Api::ApiVersions && api.flexible().is_some_and(|first| version >= first) {
        writer.tags(Tags::default())?;
    }
    Ok(())
}
