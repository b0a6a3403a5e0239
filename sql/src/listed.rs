//! Files of a place as one table, with columns for what their folders' names say: `year=2026/part-0.parquet` has a `year`.

use crate::engine::{BadRows, Settings};
use crate::files::{Format, memory};
use crate::pages::bounded;
use crate::score::rows::{Origin, Part, Wrong, of_query};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use std::fmt;
use std::sync::Arc;

/// Bytes that the values of a batch of rows take, about, where files say how large they are unpacked.
const BATCH_BYTES: usize = 64 << 20;
/// What folders are named that have rows without a value, by Hive and those that write as it does.
const NOTHING: &str = "__HIVE_DEFAULT_PARTITION__";
/// Bytes of lines of JSON that are worth a reader of their own.
const LEAST: u64 = 1 << 20;
/// Files whose statistics are read at the same time.
const AT_ONCE: usize = 16;

/// What the names of a file's folders say: names and values.
pub(crate) type Said = Vec<(String, String)>;

/// What the names of folders say, from the first.
pub(crate) fn said<'f>(folders: impl IntoIterator<Item = &'f str>) -> Said {
    let pairs = folders.into_iter().filter_map(|name| name.split_once('='));
    let pairs = pairs.filter(|(name, _)| !name.is_empty());
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A part of a path in which bytes may stand as `%20`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The columns that the names of all files' folders have in common, and each file's values: whole numbers, or texts.
fn keys(said: &[Said], known: &Schema) -> (Vec<Field>, Vec<Vec<ScalarValue>>) {
    let none = || (Vec::new(), vec![Vec::new(); said.len()]);
    let names =
        |said: &Said| -> Vec<String> { said.iter().map(|(name, _)| name.clone()).collect() };
    let Some(first) = said.first().map(names) else {
        return none();
    };
    let mut own = first.clone();
    own.sort_unstable();
    own.dedup();
    if own.len() < first.len() || said.iter().any(|said| names(said) != first) {
        return none();
    }
    let mut fields = Vec::new();
    let mut values: Vec<Vec<ScalarValue>> = vec![Vec::new(); said.len()];
    for (at, name) in first.iter().enumerate() {
        // What the file itself says is nearer.
        if known.field_with_name(name).is_ok() {
            continue;
        }
        let column = || {
            said.iter()
                .map(|said| &said[at].1)
                .map(|value| (value != NOTHING).then_some(value))
        };
        let whole = column().flatten().all(|value| value.parse::<i64>().is_ok());
        let whole = whole && column().flatten().next().is_some();
        let kind = if whole {
            DataType::Int64
        } else {
            DataType::Utf8
        };
        fields.push(Field::new(name, kind, true));
        for (value, values) in column().zip(&mut values) {
            values.push(match whole {
                true => ScalarValue::Int64(value.and_then(|value| value.parse().ok())),
                false => ScalarValue::Utf8(value.cloned()),
            });
        }
    }
    (fields, values)
}

/// The table.
pub(crate) struct Listed {
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
    format: Format,
    reader: Arc<dyn FileFormat>,
    /// What files have.
    known: SchemaRef,
    /// What their folders' names say.
    keys: Fields,
    /// Both.
    schema: SchemaRef,
    files: Vec<PartitionedFile>,
}

impl fmt::Debug for Listed {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.debug_struct("Listed")
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Listed {
    /// Files of one format, each with what its folders' names say.
    pub(crate) fn new(
        url: ObjectStoreUrl,
        store: Arc<dyn ObjectStore>,
        format: Format,
        reader: Arc<dyn FileFormat>,
        known: SchemaRef,
        files: Vec<(ObjectMeta, Said)>,
    ) -> Self {
        // What is empty has no rows, and for some readers no end.
        let (files, said): (Vec<ObjectMeta>, Vec<Said>) =
            files.into_iter().filter(|(file, _)| file.size > 0).unzip();
        let (keys, values) = keys(&said, &known);
        let fields = known.fields().iter().cloned();
        let all: Fields = fields.chain(keys.iter().cloned().map(Arc::new)).collect();
        let with =
            |(file, values)| PartitionedFile::new_from_meta(file).with_partition_values(values);
        Self {
            url,
            store,
            format,
            reader,
            known,
            keys: keys.into(),
            schema: Arc::new(Schema::new(all)),
            files: files.into_iter().zip(values).map(with).collect(),
        }
    }

    /// The files that can have rows of which all of this is true.
    fn left(&self, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name().as_str()).collect();
        let of_keys = filters.iter().filter(|filter| {
            !filter.column_refs().is_empty() && expr_applicable_for_cols(&names, filter)
        });
        let of_keys: Vec<Expr> = of_keys.cloned().collect();
        if of_keys.is_empty() {
            return Ok(self.files.clone());
        }
        let schema = DFSchema::from_unqualified_fields(self.keys.clone(), Default::default())?;
        let files = self.files.iter().cloned();
        let left =
            files.filter_map(|file| filter_partitioned_file(file, &of_keys, &schema).transpose());
        left.collect()
    }

    /// Files of lines that are read here, whose readers have about as many bytes each: parts of files of JSON, whole files of CSV.
    fn lines(
        &self,
        files: &[PartitionedFile],
        readers: usize,
        projection: &[usize],
        limit: Option<usize>,
        left_out: Option<Arc<Wrong>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.schema.project(projection)?);
        let own = self.known.fields().len();
        let is_json = self.format == Format::JsonLines;
        let (mut some, mut order) = (Vec::new(), Vec::new());
        for &at in projection {
            order.push(match at.checked_sub(own) {
                Some(key) => Origin::Key(key),
                None if is_json => {
                    some.push(at);
                    Origin::File(some.len() - 1)
                }
                None => Origin::File(at),
            });
        }
        let known = match is_json {
            true => Arc::new(self.known.project(&some)?),
            // A row has all values or is none.
            false => self.known.clone(),
        };
        let all: u64 = files.iter().map(|file| file.object_meta.size).sum();
        let most = all.div_ceil(readers.max(1) as u64).max(LEAST);
        let mut groups: Vec<Vec<Part>> = vec![Vec::new()];
        let mut room = most;
        for file in files {
            let length = file.object_meta.size;
            let mut from = 0;
            while from < length {
                if room == 0 {
                    groups.push(Vec::new());
                    room = most;
                }
                let to = match is_json {
                    true => length.min(from + room),
                    false => length,
                };
                if let Some(group) = groups.last_mut() {
                    group.push(Part {
                        file: file.object_meta.location.clone(),
                        range: Some(from..to),
                        keys: file.partition_values.clone(),
                    });
                }
                room = room.saturating_sub(to - from);
                from = to;
            }
        }
        let reader = |parts| {
            of_query(
                self.store.clone(),
                parts,
                self.format,
                known.clone(),
                schema.clone(),
                order.clone(),
                left_out.clone(),
            )
        };
        let readers = groups.into_iter().map(reader).collect();
        let exec = StreamingTableExec::try_new(schema.clone(), readers, None, [], false, limit)?;
        Ok(Arc::new(exec))
    }

    /// Files with what they say of their values.
    async fn counted(
        &self,
        session: &dyn Session,
        files: Vec<PartitionedFile>,
    ) -> Result<Vec<PartitionedFile>> {
        let counted = stream::iter(files).map(|file| async {
            let meta = &file.object_meta;
            let known = self.known.clone();
            let found = self
                .reader
                .infer_stats(session, &self.store, known, meta)
                .await?;
            Result::Ok(file.with_statistics(Arc::new(found)))
        });
        counted.buffered(AT_ONCE).try_collect().await
    }
}

/// How many rows a batch of files has, where as many as usual would be too much together by what the files say of these columns.
fn smaller(files: &[PartitionedFile], columns: &[usize], usual: usize) -> Option<usize> {
    let of_row = |file: &PartitionedFile| {
        let counted = file.statistics.as_deref()?;
        let rows = *counted.num_rows.get_value()?;
        let sizes = columns.iter().filter_map(|at| {
            let column = counted.column_statistics.get(*at)?;
            column.byte_size.get_value()
        });
        Some(sizes.sum::<usize>() / rows.max(1))
    };
    let most = files.iter().filter_map(of_row).max()?;
    let rows = BATCH_BYTES / most.max(1);
    (rows < usual).then_some(rows.max(1))
}

#[async_trait]
impl TableProvider for Listed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.left(filters)?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all);
        if files.is_empty() {
            let schema = Arc::new(self.schema.project(columns)?);
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // Rows that the filters would drop may be among the first.
        let limit = limit.filter(|_| filters.is_empty());
        let readers = session.config().target_partitions();
        let settings = Settings::of(session.config_options());
        let skips = settings.bad_rows == BadRows::Skip;
        let is_csv = matches!(self.format, Format::Csv | Format::Tsv);
        if self.format == Format::JsonLines || (is_csv && skips) {
            let left_out = skips.then_some(settings.left_out);
            return self.lines(&files, readers, columns, limit, left_out);
        }
        let files = self.counted(session, files).await?;
        let counted = files.iter().filter_map(|file| file.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(counted, &self.schema)?;
        let batch = smaller(&files, columns, session.config().batch_size());
        let table = TableSchema::builder(self.known.clone());
        let table = table.with_table_partition_cols(self.keys.clone()).build();
        let config = FileScanConfigBuilder::new(self.url.clone(), self.reader.file_source(table))
            .with_file_groups(FileGroup::new(files).split_files(readers.max(1)))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_batch_size(batch)
            .build();
        let plan = self.reader.create_physical_plan(session, config).await?;
        Ok(match memory(session) {
            Some(most) if self.format == Format::Parquet => bounded(plan, most),
            _ => plan,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_are_columns_where_all_have_them() {
        let of = |paths: &[&str]| {
            let said: Vec<Said> = paths.iter().map(|path| said(path.split('/'))).collect();
            let known = Schema::new(vec![Field::new("own", DataType::Utf8, true)]);
            let (fields, values) = keys(&said, &known);
            let fields = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), field.data_type()));
            let values = values.iter().map(|values| {
                let values: Vec<String> = values.iter().map(ScalarValue::to_string).collect();
                values.join("|")
            });
            (
                fields.collect::<Vec<_>>().join(", "),
                values.collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            of(&["y=2026/m=07/x", "y=2025/m=a%20b%2F/x"]),
            (
                "y Int64, m Utf8".to_owned(),
                vec!["2026|07".to_owned(), "2025|a b/".to_owned()]
            )
        );
        assert_eq!(
            of(&["y=1", "y=__HIVE_DEFAULT_PARTITION__"]),
            (
                "y Int64".to_owned(),
                vec!["1".to_owned(), "NULL".to_owned()]
            )
        );
        for none in [
            &["y=1", "z=1"][..],
            &["y=1", "x"],
            &["y=1/y=2"],
            &["own=1"],
            &["a", "b"],
        ] {
            assert_eq!(of(none).0, "", "{none:?}");
        }
        assert_eq!(decoded("50%"), "50%");
        assert_eq!(decoded("%ff"), "%ff");
    }
}
