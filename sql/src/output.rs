//! Rows as bytes: tables for people, lines of JSON, CSV, Arrow IPC, Parquet.

use crate::engine::Query;
use crate::files::Format;
use crate::kinds::Members;
use crate::score::rows::LINE;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{NamedTempFile, TempPath};

/// A table as people read it.
///
/// # Errors
/// When a value cannot be shown.
pub fn shown(batches: &[RecordBatch]) -> Result<String> {
    Ok(pretty_format_batches(batches)?.to_string())
}

/// Bytes that a writer has written and nobody has taken yet.
#[derive(Debug, Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Takes them.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes rows as they come.
pub struct Writer<W: Write + Send> {
    kind: Kind<W>,
}

enum Kind<W: Write + Send> {
    Json(datafusion::arrow::json::Writer<W, LineDelimited>),
    /// Lines as they were read, which this column has, with the columns behind it as more members.
    Lines {
        at: usize,
        to: W,
    },
    Csv(Box<datafusion::arrow::csv::Writer<W>>),
    Arrow(StreamWriter<W>),
    Parquet(Box<ArrowWriter<W>>),
}

/// Rows of a group of a Parquet file at most; what is held of it in memory at most.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 64 << 20;

impl<W: Write + Send> Writer<W> {
    /// Writes rows with these columns to `to`.
    ///
    /// # Errors
    /// When the format has no place for such columns.
    pub fn new(format: Format, schema: SchemaRef, to: W) -> Result<Self> {
        Self::with_header(format, schema, to, true)
    }

    /// The same; without a `header` a format that has lines goes on without the line of names, so that what is written can
    /// be put behind other rows.
    ///
    /// # Errors
    /// When the format has no place for such columns.
    pub fn with_header(format: Format, schema: SchemaRef, to: W, header: bool) -> Result<Self> {
        let csv = |separator: u8, to: W| -> Result<Kind<W>> {
            let builder = WriterBuilder::new().with_header(header);
            let mut writer = builder.with_delimiter(separator).build(to);
            // The names are there without rows, too.
            writer.write(&flat(&RecordBatch::new_empty(schema.clone()))?)?;
            Ok(Kind::Csv(Box::new(writer)))
        };
        let kind = match format {
            Format::JsonLines => match schema.index_of(LINE) {
                Ok(at) => Kind::Lines { at, to },
                Err(_) => Kind::Json(JsonBuilder::new().with_explicit_nulls(true).build(to)),
            },
            Format::Csv => csv(b',', to)?,
            Format::Tsv => csv(b'\t', to)?,
            Format::Arrow => Kind::Arrow(StreamWriter::try_new(to, &schema)?),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(to, schema, Some(properties))?;
                Kind::Parquet(Box::new(writer))
            }
        };
        Ok(Self { kind })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.kind {
            Kind::Json(writer) => writer.write(batch)?,
            Kind::Lines { at, to } => to.write_all(&longer(batch, *at)?)?,
            Kind::Csv(writer) => writer.write(&flat(batch)?)?,
            Kind::Arrow(writer) => writer.write(batch)?,
            Kind::Parquet(writer) => {
                writer.write(batch)?;
                if writer.in_progress_size() > GROUP_BYTES {
                    writer.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Ends what was written and gives its destination back.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn end(self) -> Result<W> {
        Ok(match self.kind {
            Kind::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Kind::Lines { to, .. } => to,
            Kind::Csv(writer) => writer.into_inner(),
            Kind::Arrow(writer) => writer.into_inner()?,
            Kind::Parquet(writer) => writer.into_inner()?,
        })
    }
}

/// Lines of JSON in the column `at`, with the columns behind it as their last members. A member that a line has stays its own.
fn longer(batch: &RecordBatch, at: usize) -> Result<Vec<u8>> {
    let added: Vec<usize> = (at + 1..batch.num_columns()).collect();
    let added = batch.project(&added)?;
    let answers = json(&added)?;
    let lines = batch.column(at).as_string_opt::<i32>();
    let mut out = Vec::with_capacity(answers.len() * 2);
    for (row, answer) in answers.lines().enumerate() {
        let line = lines.filter(|lines| lines.is_valid(row));
        let line = line.map(|lines| lines.value(row)).unwrap_or_default();
        let kept = line.trim_end().strip_suffix('}').map(str::trim_end);
        let Some(kept) = kept else {
            out.extend_from_slice(answer.as_bytes());
            out.push(b'\n');
            continue;
        };
        out.extend_from_slice(kept.as_bytes());
        let mut first = kept.ends_with('{') && kept.trim_start().len() == 1;
        let has = |name: &str| {
            // A name may be written with escapes.
            let maybe = line.contains(name) || line.contains('\\');
            let members = maybe
                .then(|| serde_json::from_str::<Members>(line).ok())
                .flatten();
            members.is_some_and(|members| members.0.iter().any(|(one, _)| one == name))
        };
        let members: Members = serde_json::from_str(answer)
            .map_err(|error| DataFusionError::External(error.into()))?;
        for (name, value) in members.0.iter().filter(|(name, _)| !has(name)) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, name)
                .map_err(|error| DataFusionError::External(error.into()))?;
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(out)
}

/// Rows as lines of JSON.
fn json(batch: &RecordBatch) -> Result<String> {
    let mut lines = Vec::new();
    let mut writer = JsonBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut lines);
    writer.write(batch)?;
    writer.finish()?;
    String::from_utf8(lines).map_err(|error| DataFusionError::External(error.into()))
}

/// Rows whose structures and lists are JSON in a text, for formats that have neither.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    use datafusion::arrow::array::{ArrayRef, StringArray};
    use datafusion::arrow::datatypes::{Field, Schema};
    let schema = batch.schema();
    if !schema
        .fields()
        .iter()
        .any(|field| field.data_type().is_nested())
    {
        return Ok(batch.clone());
    }
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        let one = RecordBatch::try_new(
            Arc::new(Schema::new(vec![Field::new(
                "v",
                field.data_type().clone(),
                true,
            )])),
            vec![column.clone()],
        )?;
        let lines = json(&one)?;
        let value = |line: &str| {
            let value = line.strip_prefix("{\"v\":")?.strip_suffix('}')?;
            (value != "null").then(|| value.to_owned())
        };
        columns.push(Arc::new(StringArray::from_iter(lines.lines().map(value))));
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// A file that is there when all of it was written, and not before.
pub struct File {
    writer: Writer<BufWriter<std::fs::File>>,
    temporary: TempPath,
    path: PathBuf,
}

impl File {
    /// Begins a file of the format that its name tells, beside which it grows under a temporary name.
    ///
    /// # Errors
    /// When the name tells no format, or the folder takes no files.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self> {
        let name = path.to_string_lossy();
        let format: Format = name
            .parse()
            .map_err(|error: crate::files::NoFormat| DataFusionError::Plan(error.to_string()))?;
        if path.is_dir() {
            return exec_err!("{name}: this is a folder");
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |error| explained(path, error);
        let file = NamedTempFile::with_prefix_in(".escala-", folder).map_err(failed)?;
        let (file, temporary) = file.into_parts();
        let writer = Writer::new(format, schema, BufWriter::new(file))?;
        Ok(Self {
            writer,
            temporary,
            path: path.to_owned(),
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch)
    }

    /// Puts the file on the disk and in its place.
    ///
    /// # Errors
    /// When that cannot be done; there is no file then.
    pub fn end(self) -> Result<()> {
        let failed = |error| explained(&self.path, error);
        let file = self.writer.end()?.into_inner();
        let file = file.map_err(|error| failed(error.into_error()))?;
        allow_as_usual(&file).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let placed = self.temporary.persist(&self.path);
        placed.map_err(|error| failed(error.error))
    }
}

/// Runs a query into a file; `each` is told how many rows have been written.
///
/// # Errors
/// What went wrong; there is no file then.
pub async fn write(query: &Query, path: &Path, mut each: impl FnMut(usize)) -> Result<usize> {
    let mut file = File::create(path, query.schema())?;
    let mut stream = query.rows()?;
    let mut rows = 0;
    while let Some(batch) = stream.try_next().await? {
        file.write(&batch)?;
        rows += batch.num_rows();
        each(rows);
    }
    file.end()?;
    Ok(rows)
}

fn explained(path: &Path, error: std::io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("{} cannot be written: {error}", path.display()))
}

/// Temporary files are for their owner only; this one is to be like any other.
#[cfg(unix)]
fn allow_as_usual(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn allow_as_usual(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
