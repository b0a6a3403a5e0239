//! How deep columns of a Parquet file lie in others, looked at before somebody calls itself for each level
//! ([`escala_objects::parquet`]).

use datafusion::common::{DataFusionError, Result, plan_err};
use escala_objects::parquet::{END, MOST_LEVELS, levels, said};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

/// Refuses a file with columns deeper than [`MOST_LEVELS`]. What is no Parquet file is left to whoever reads it.
pub(crate) async fn check(store: &dyn ObjectStore, file: &Key, length: u64) -> Result<()> {
    let Some(start) = length.checked_sub(END as u64) else {
        return Ok(());
    };
    let read = |error: object_store::Error| DataFusionError::from(error);
    let end = store.get_range(file, start..length).await.map_err(read)?;
    let size = end.first_chunk().copied().and_then(said);
    let Some(from) = size.and_then(|size| start.checked_sub(size)) else {
        return Ok(());
    };
    let said = store.get_range(file, from..start).await.map_err(read)?;
    match levels(&said) {
        Some(levels) if levels > MOST_LEVELS => {
            plan_err!(
                "{file} has columns that lie {levels} levels deep in others; {MOST_LEVELS} are read"
            )
        }
        _ => Ok(()),
    }
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
}
