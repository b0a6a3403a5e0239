//! Files of Arrow whose buffers say that they are large: who reads a batch makes room for what its buffers say that they
//! unpack to, and for a body as long as its message says. Both are looked at first, in the heads of the messages and the
//! first bytes of the buffers.

use crate::pages::goes_on;
use bytes::Bytes;
use datafusion::arrow::ipc::{
    BodyCompression, Buffer, CompressionType, Message, root_as_footer, root_as_message,
};
use datafusion::common::{DataFusionError, Result, exec_err};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use std::ops::Range;

/// What a file begins and ends with that knows where its batches are; others are a stream of messages.
const MARK: &[u8] = b"ARROW1";
/// Bytes of the end: the length of what is said of the batches, and the mark.
const END: u64 = 10;
/// What stands before the length of a message.
const GOES_ON: [u8; 4] = [0xff; 4];
/// Bytes before a packed buffer: its length when it is unpacked, which is this where it is not packed.
const LENGTH: u64 = 8;
const PLAIN: i64 = -1;
/// How many times as large what LZ4 unpacks can be, at most.
const LZ4: u64 = 255;

/// Refuses a file with a batch that takes more than so many bytes. What is no file of Arrow is left to whoever reads it.
///
/// # Errors
/// It cannot be read, or has such a batch.
pub(crate) async fn check(
    store: &dyn ObjectStore,
    file: &Key,
    length: u64,
    most: u64,
) -> Result<()> {
    let looking = Looking {
        store,
        file,
        length,
        most,
    };
    let mark = looking.read(0..MARK.len() as u64).await?;
    match mark.as_deref() {
        Some(MARK) => looking.blocks().await,
        _ => looking.messages().await,
    }
}

struct Looking<'a> {
    store: &'a dyn ObjectStore,
    file: &'a Key,
    length: u64,
    most: u64,
}

impl Looking<'_> {
    /// Some bytes; none where the file has not so many.
    async fn read(&self, range: Range<u64>) -> Result<Option<Bytes>> {
        if range.is_empty() || range.end > self.length {
            return Ok(None);
        }
        let read = self.store.get_range(self.file, range).await;
        Ok(Some(read.map_err(DataFusionError::from)?))
    }

    /// Looks at the batches that the end names.
    async fn blocks(&self) -> Result<()> {
        let Some(start) = self.length.checked_sub(END) else {
            return Ok(());
        };
        let Some(end) = self.read(start..self.length).await? else {
            return Ok(());
        };
        let said = end
            .first_chunk()
            .map_or(0, |length| i32::from_le_bytes(*length));
        let from = u64::try_from(said)
            .ok()
            .and_then(|said| start.checked_sub(said));
        let Some(from) = from.filter(|_| end.ends_with(MARK)) else {
            return Ok(());
        };
        let Some(said) = self.read(from..start).await? else {
            return Ok(());
        };
        let Ok(footer) = root_as_footer(&said) else {
            return Ok(());
        };
        let dictionaries = footer.dictionaries().into_iter().flatten();
        let batches = footer.recordBatches().into_iter().flatten();
        for block in dictionaries.chain(batches) {
            let place = (
                u64::try_from(block.offset()),
                u64::try_from(block.metaDataLength()),
                u64::try_from(block.bodyLength()),
            );
            let (Ok(offset), Ok(head), Ok(body)) = place else {
                return exec_err!("{}: a batch has no place in the file", self.file);
            };
            self.within(offset, head, body)?;
            let Some(bytes) = self.read(offset..offset + head).await? else {
                continue;
            };
            // The length of the message stands before it, in older files alone.
            let message = bytes.strip_prefix(&GOES_ON).unwrap_or(&bytes);
            if let Some(message) = message.get(4..) {
                self.message(message, offset + head, body).await?;
            }
        }
        Ok(())
    }

    /// Looks at one message after the other.
    async fn messages(&self) -> Result<()> {
        let mut at = 0;
        loop {
            let Some(begin) = self.read(at..at + 4).await? else {
                return Ok(());
            };
            let begin = match *begin == GOES_ON {
                true => {
                    at += 4;
                    match self.read(at..at + 4).await? {
                        Some(begin) => begin,
                        None => return Ok(()),
                    }
                }
                false => begin,
            };
            let said = begin
                .first_chunk()
                .map_or(0, |length| i32::from_le_bytes(*length));
            // The end of a stream.
            let Some(said) = u64::try_from(said).ok().filter(|said| *said > 0) else {
                return Ok(());
            };
            at += 4;
            self.within(at, said, 0)?;
            let Some(head) = self.read(at..at + said).await? else {
                return Ok(());
            };
            let Ok(message) = root_as_message(&head) else {
                return Ok(());
            };
            at += said;
            let Ok(body) = u64::try_from(message.bodyLength()) else {
                return exec_err!("{}: a batch has a negative length", self.file);
            };
            self.within(at, 0, body)?;
            self.message(&head, at, body).await?;
            at += body;
        }
    }

    /// Whether what is said to be there can be.
    fn within(&self, offset: u64, head: u64, body: u64) -> Result<()> {
        let end = offset
            .checked_add(head)
            .and_then(|end| end.checked_add(body));
        match end.is_some_and(|end| end <= self.length) {
            true => Ok(()),
            false => exec_err!(
                "{}: a batch is said to end behind the file, which has {} bytes",
                self.file,
                self.length
            ),
        }
    }

    /// Looks at the buffers of a message whose body begins at `body`.
    async fn message(&self, message: &[u8], body: u64, length: u64) -> Result<()> {
        let Some((packing, buffers)) = root_as_message(message).ok().and_then(packed) else {
            return Ok(());
        };
        let mut all = 0_u64;
        for buffer in buffers {
            let place = (
                u64::try_from(buffer.offset()),
                u64::try_from(buffer.length()),
            );
            let (Ok(offset), Ok(bytes)) = place else {
                return exec_err!("{}: a buffer has no place in its batch", self.file);
            };
            if offset.checked_add(bytes).is_none_or(|end| end > length) {
                return exec_err!("{}: a buffer ends behind its batch", self.file);
            }
            if bytes < LENGTH {
                continue;
            }
            let from = body + offset;
            let Some(said) = self.read(from..from + LENGTH).await? else {
                continue;
            };
            let said = said
                .first_chunk()
                .map_or(0, |length| i64::from_le_bytes(*length));
            if said == PLAIN {
                continue;
            }
            let Ok(said) = u64::try_from(said) else {
                return exec_err!("{}: a buffer has a negative length", self.file);
            };
            all = all.saturating_add(said);
            if all > self.most {
                return exec_err!(
                    "{}: a batch would have {all} bytes or more when it is unpacked; at most {} are read (`sql.memory`)",
                    self.file,
                    self.most
                );
            }
            // The other codec stops where the room ends.
            let could = (bytes - LENGTH).saturating_mul(LZ4) > self.most;
            if packing == CompressionType::LZ4_FRAME && could {
                let Some(packed) = self.read(from + LENGTH..from + bytes).await? else {
                    continue;
                };
                let looking = tokio::task::spawn_blocking(move || {
                    goes_on(lz4_flex::frame::FrameDecoder::new(&*packed), said)
                });
                let more = looking.await;
                if more.map_err(|error| DataFusionError::External(error.into()))? {
                    return exec_err!(
                        "{}: a buffer has more than the {said} bytes that it says it has when it is unpacked",
                        self.file
                    );
                }
            }
        }
        Ok(())
    }
}

/// How the buffers of a message are packed, and where they are; none where they are not.
fn packed(message: Message<'_>) -> Option<(CompressionType, Vec<Buffer>)> {
    let batch = match message.header_as_dictionary_batch() {
        Some(dictionary) => dictionary.data()?,
        None => message.header_as_record_batch()?,
    };
    let packing = batch.compression().as_ref().map(BodyCompression::codec)?;
    let buffers = batch.buffers()?.iter().copied().collect();
    Some((packing, buffers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use object_store::memory::InMemory;
    use std::sync::Arc;

    fn batch(rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; rows as usize]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["text"; rows as usize]));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("a batch")
    }

    fn written(packing: Option<CompressionType>, stream: bool) -> Vec<u8> {
        let options = IpcWriteOptions::default()
            .try_with_compression(packing)
            .expect("options");
        let batch = batch(10_000);
        let mut bytes = Vec::new();
        if stream {
            let writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options);
            let mut writer = writer.expect("begun");
            writer.write(&batch).expect("written");
            writer.finish().expect("ended");
        } else {
            let writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options);
            let mut writer = writer.expect("begun");
            writer.write(&batch).expect("written");
            writer.finish().expect("ended");
        }
        bytes
    }

    async fn checked(bytes: &[u8], most: u64) -> Result<()> {
        let (store, key) = (InMemory::new(), Key::from("a.arrow"));
        store.put(&key, bytes.to_vec().into()).await.expect("kept");
        check(&store, &key, bytes.len() as u64, most).await
    }

    #[tokio::test]
    async fn batches_have_the_room_that_they_say() {
        // 80,000 bytes of numbers, 40,000 of texts and where they end.
        let usual = 1 << 20;
        for stream in [false, true] {
            for packing in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
                let good = written(Some(packing), stream);
                checked(&good, usual).await.expect("as it should be");
                let error = checked(&good, 100_000).await.expect_err("too large");
                assert!(error.to_string().contains("`sql.memory`"), "{error}");
                // The numbers say that they are four gigabytes.
                let length = 80_000_i64.to_le_bytes();
                let places = good.windows(8).enumerate();
                let mut places = places.filter(|(_, bytes)| *bytes == length);
                let (place, _) = places.next().expect("the length of a buffer");
                let mut hostile = good.clone();
                hostile[place..place + 8].copy_from_slice(&(4_i64 << 30).to_le_bytes());
                let error = checked(&hostile, usual).await.expect_err("too large");
                let why = "would have 4294967296 bytes or more when it is unpacked";
                assert!(error.to_string().contains(why), "{error}");
            }
            let plain = written(None, stream);
            checked(&plain, 1000).await.expect("as large as it is");
            // Damage is no panic, and no room for what is not there.
            for at in 0..plain.len().min(2000) {
                let mut broken = plain.clone();
                broken[at] ^= 0x40;
                let _ = checked(&broken, usual).await;
                let _ = checked(&plain[..at], usual).await;
            }
        }
    }

    #[tokio::test]
    async fn bodies_are_in_the_file() {
        let good = written(None, true);
        // The length of the only body stands in the head of its message.
        let body = (good.len() as i64).to_le_bytes();
        let places = good.windows(8).enumerate();
        let near = |bytes: &[u8]| {
            let number = i64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
            number > 120_000 && number < i64::from_le_bytes(body)
        };
        let mut places = places.filter(|(_, bytes)| near(bytes));
        let (place, _) = places.next().expect("the length of the body");
        let mut hostile = good.clone();
        hostile[place..place + 8].copy_from_slice(&(1_i64 << 40).to_le_bytes());
        let error = checked(&hostile, 1 << 20)
            .await
            .expect_err("it is not there");
        assert!(error.to_string().contains("behind the file"), "{error}");
    }
}
