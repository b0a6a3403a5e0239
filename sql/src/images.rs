//! `images('folder')`: the images of a folder and of the folders in it, as rows.

use crate::files::found;
use crate::places::{Address, Places};
use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, RecordBatch, RecordBatchOptions, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;

/// What names of images end in.
const ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
];
/// Rows of a batch, and the bytes of images after which it ends.
const ROWS: usize = 32;
const BYTES: usize = 16 << 20;
/// Most bytes of a file that is read.
const MOST: u64 = 64 << 20;

/// The columns: path, bytes (null when the file is too large), and width and height (null when its header does not tell).
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("bytes", DataType::Binary, true),
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
    ]))
}

/// The function.
#[derive(Debug)]
pub(crate) struct Images {
    places: Arc<Places>,
}

impl Images {
    pub(crate) fn new(places: Arc<Places>) -> Self {
        Self { places }
    }
}

impl TableFunctionImpl for Images {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(name)), _)] = arguments.exprs() else {
            return plan_err!("images() takes a folder in quotes");
        };
        // A name without a separator is a folder, too.
        let address = match self.places.address(name)? {
            Some(address) => address,
            None => match self.places.address(&format!("{name}/"))? {
                Some(address) => address,
                None => return plan_err!("{name}: no folder"),
            },
        };
        Ok(Arc::new(Folder {
            name: name.clone(),
            address,
            schema: schema(),
        }))
    }
}

#[derive(Debug)]
struct Folder {
    name: String,
    address: Address,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Folder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (address, store) = found(session, &self.name, self.address.clone()).await?;
        let listing = address.listing()?;
        let mut keys = Vec::new();
        if address.is_folder() {
            let mut files = store.list(Some(listing.prefix()));
            while let Some(file) = files.try_next().await? {
                if is_image(&file.location) && listing.contains(&file.location, false) {
                    keys.push(file.location);
                }
            }
            keys.sort();
        } else {
            keys.push(listing.prefix().clone());
        }
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&columns)?);
        let reader = Reader {
            root: listing.prefix().clone(),
            store,
            keys,
            columns,
            schema: schema.clone(),
        };
        let exec =
            StreamingTableExec::try_new(schema, vec![Arc::new(reader)], None, [], false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// Whether it is named like an image.
pub(crate) fn is_image(key: &Key) -> bool {
    let ending = key.extension().unwrap_or_default().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

/// Reads images one after the other.
#[derive(Debug)]
struct Reader {
    store: Arc<dyn ObjectStore>,
    root: Key,
    keys: Vec<Key>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let state = (
            VecDeque::from(self.keys.clone()),
            self.store.clone(),
            self.root.clone(),
            self.columns.clone(),
            self.schema.clone(),
        );
        let batches = stream::try_unfold(state, |mut state| async move {
            let (keys, store, root, columns, schema) = &mut state;
            if keys.is_empty() {
                return Ok(None);
            }
            let batch = batch(keys, store, root, columns, schema).await?;
            Ok(Some((batch, state)))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            batches.boxed(),
        ))
    }
}

async fn batch(
    keys: &mut VecDeque<Key>,
    store: &Arc<dyn ObjectStore>,
    root: &Key,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    // Who wants no more than names opens nothing.
    let opens = columns.iter().any(|column| *column != 0);
    let wants_bytes = columns.contains(&1);
    let mut paths = Vec::new();
    let (mut files, mut widths, mut heights) = (
        BinaryBuilder::new(),
        Int32Builder::new(),
        Int32Builder::new(),
    );
    let mut bytes = 0;
    while paths.len() < ROWS && bytes < BYTES {
        let Some(key) = keys.pop_front() else {
            break;
        };
        let mut image = None;
        if opens {
            let failed = |error| DataFusionError::External(format!("{key}: {error}").into());
            let found = store.get(&key).await.map_err(failed)?;
            if found.meta.size <= MOST {
                let read = found.bytes().await.map_err(failed)?;
                bytes += read.len();
                image = Some(read);
            }
        }
        let size = image.as_ref().and_then(|image| {
            let reader = image::ImageReader::new(Cursor::new(image));
            reader.with_guessed_format().ok()?.into_dimensions().ok()
        });
        let side = |side: Option<u32>| side.and_then(|side| i32::try_from(side).ok());
        widths.append_option(side(size.map(|(width, _)| width)));
        heights.append_option(side(size.map(|(_, height)| height)));
        files.append_option(image.filter(|_| wants_bytes));
        paths.push(below(root, &key));
    }
    let rows = paths.len();
    let all: [ArrayRef; 4] = [
        Arc::new(StringArray::from(paths)),
        Arc::new(files.finish()),
        Arc::new(widths.finish()),
        Arc::new(heights.finish()),
    ];
    let columns = columns.iter().map(|column| all[*column].clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// A file's path below the folder that was named.
fn below(root: &Key, key: &Key) -> String {
    let parts: Vec<String> = match key.prefix_match(root) {
        Some(parts) => parts.map(|part| part.as_ref().to_owned()).collect(),
        None => Vec::new(),
    };
    match parts.is_empty() {
        true => key.filename().unwrap_or_default().to_owned(),
        false => parts.join("/"),
    }
}
