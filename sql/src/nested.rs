//! How deep columns of a Parquet file lie in others. What reads the file calls itself for each level, and a stack that is full
//! ends the whole process: a file of some kilobytes can have thousands. So the list of columns is looked at first, which needs no
//! recursion: its elements stand one behind the other, each with the number of those that are in it
//! (`SchemaElement.num_children` of parquet.thrift, in Thrift's compact protocol).

use datafusion::common::{DataFusionError, Result, plan_err};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

/// Most levels.
const MOST: usize = 100;

/// Bytes at the end of a file: the length of what is said of it, and `PAR1`.
const END: u64 = 8;

/// Most levels of Thrift's own structures in an element of the list.
const THRIFT: usize = 16;

/// Refuses a file with columns deeper than [`MOST`]. What is no Parquet file is left to whoever reads it.
pub(crate) async fn check(store: &dyn ObjectStore, file: &Key, length: u64) -> Result<()> {
    let Some(start) = length.checked_sub(END) else {
        return Ok(());
    };
    let read = |error: object_store::Error| DataFusionError::from(error);
    let end = store.get_range(file, start..length).await.map_err(read)?;
    let (Some(size), Some(b"PAR1")) = (end.first_chunk::<4>(), end.last_chunk::<4>()) else {
        return Ok(());
    };
    let size = u64::from(u32::from_le_bytes(*size));
    let Some(from) = start.checked_sub(size) else {
        return Ok(());
    };
    let said = store.get_range(file, from..start).await.map_err(read)?;
    match levels(&said) {
        Some(levels) if levels > MOST => {
            plan_err!("{file} has columns that lie {levels} levels deep in others; {MOST} are read")
        }
        _ => Ok(()),
    }
}

/// The levels of the columns; none where the bytes cannot be read so far.
fn levels(said: &[u8]) -> Option<usize> {
    let mut bytes = Bytes(said);
    let mut id = 0;
    loop {
        let kind = bytes.field(&mut id)?;
        if id == 2 && kind == LIST {
            break;
        }
        bytes.skip(kind, 0)?;
    }
    let (count, kind) = bytes.list()?;
    if kind != STRUCT {
        return None;
    }
    let (mut deepest, mut open) = (0, Vec::new());
    for _ in 0..count {
        let children = bytes.element()?;
        // Those that have all that is in them are done.
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            open.push(children);
        }
        deepest = deepest.max(open.len());
    }
    Some(deepest)
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;
/// Of the compact protocol it is 5.
const I32: u8 = 5;

/// What is not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The kind of the next field, whose number is put into `id`; none at the end of a structure.
    fn field(&mut self, id: &mut i64) -> Option<u8> {
        let head = self.byte()?;
        if head == 0 {
            return None;
        }
        match head >> 4 {
            0 => *id = zigzag(self.number()?),
            more => *id += i64::from(more),
        }
        Some(head & 15)
    }

    /// The number of elements of a list, and their kind.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.number()?,
            few => u64::from(few),
        };
        Some((count, head & 15))
    }

    /// The number of columns in the next one of the list.
    fn element(&mut self) -> Option<u64> {
        let (mut id, mut children) = (0, 0);
        loop {
            if self.0.first() == Some(&0) {
                self.byte()?;
                return Some(children);
            }
            let kind = self.field(&mut id)?;
            match (id, kind) {
                (5, I32) => children = u64::try_from(zigzag(self.number()?)).unwrap_or(0),
                _ => self.skip(kind, 0)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > THRIFT {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.byte().map(drop),
            4..=I64 => self.number().map(drop),
            DOUBLE => self.taken(8),
            BINARY => {
                let length = self.number()?;
                self.taken(length)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    match kind {
                        // In lists they are bytes.
                        TRUE | FALSE => self.byte().map(drop)?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
                Some(())
            }
            STRUCT => {
                let mut id = 0;
                loop {
                    if self.0.first() == Some(&0) {
                        return self.byte().map(drop);
                    }
                    let kind = self.field(&mut id)?;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => None,
        }
    }

    fn taken(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::properties::WriterProperties;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    /// A file with a plain column and one that lies in so many others.
    fn file(levels: usize) -> Vec<u8> {
        let mut array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        for _ in 0..levels {
            let field = Arc::new(Field::new("a", array.data_type().clone(), true));
            array = Arc::new(StructArray::from(vec![(field, array)]));
        }
        let plain: ArrayRef = Arc::new(Int64Array::from(vec![3, 4]));
        let schema = Arc::new(Schema::new(vec![
            Field::new("deep", array.data_type().clone(), true),
            Field::new("id", DataType::Int64, true),
        ]));
        let batch = RecordBatch::try_new(schema.clone(), vec![array, plain]).expect("a batch");
        let mut bytes = Vec::new();
        let settings = WriterProperties::builder().build();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(settings)).expect("begun");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        bytes
    }

    #[tokio::test]
    async fn files_are_read_down_to_so_many_levels() {
        let store = InMemory::new();
        let key = Key::from("a.parquet");
        for (levels, taken) in [(0, true), (1, true), (99, true), (100, false), (150, false)] {
            let bytes = file(levels);
            let length = bytes.len() as u64;
            store.put(&key, bytes.into()).await.expect("kept");
            let checked = check(&store, &key, length).await;
            assert_eq!(checked.is_ok(), taken, "{levels}: {checked:?}");
        }
        for bytes in [
            &b""[..],
            b"PAR1",
            b"abcdefghijklPAR1",
            b"\xff\xff\xff\xffPAR1",
        ] {
            store.put(&key, bytes.to_vec().into()).await.expect("kept");
            check(&store, &key, bytes.len() as u64)
                .await
                .expect("left to others");
        }
    }

    #[test]
    fn damage_is_no_panic() {
        let whole = file(3);
        let size = u32::from_le_bytes(*whole[..whole.len() - 4].last_chunk().expect("a length"));
        let said = &whole[whole.len() - 8 - size as usize..whole.len() - 8];
        assert_eq!(levels(said), Some(4));
        for at in 0..said.len() {
            levels(&said[..at]);
            for bit in 0..8 {
                let mut broken = said.to_vec();
                broken[at] ^= 1 << bit;
                levels(&broken);
            }
        }
    }
}
