//! Files as tables: `FROM 'reviews/*.parquet'`.

use crate::csv::{self, Uneven};
use crate::engine::{BadRows, Settings};
use crate::images::is_image;
use crate::ipc;
use crate::listed::{Listed, Said, said};
use crate::nested;
use crate::places::{Address, Places, S3};
use crate::score::rows;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, UrlTableFactory};
use datafusion::common::config::CsvOptions;
use datafusion::common::{DataFusionError, GetExt, Result, internal_err, plan_err};
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::{CsvFormat, CsvFormatFactory};
use datafusion::datasource::file_format::json::{JsonFormat, JsonFormatFactory};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryLimit;
use futures_util::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, OnceLock, Weak};

/// What tables are read from and written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values separated by commas, with a line of names.
    Csv,
    /// The same with tabulators.
    Tsv,
    /// A JSON object a line.
    JsonLines,
    /// Arrow IPC, as a file or a stream.
    Arrow,
}

/// A name that does not end like a table.
#[derive(Debug, thiserror::Error)]
#[error("{0}: the name must end in .parquet, .csv, .tsv, .jsonl or .arrow to tell the format")]
pub struct NoFormat(String);

impl FromStr for Format {
    type Err = NoFormat;

    /// The format that a file's name tells.
    fn from_str(name: &str) -> Result<Self, NoFormat> {
        let ending = name.rsplit(['/', '.']).next().unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "arrow" | "arrows" | "ipc" | "feather" => Ok(Self::Arrow),
            _ => Err(NoFormat(name.to_owned())),
        }
    }
}

impl Format {
    /// What is between the values of a row.
    pub(crate) fn separator(self) -> u8 {
        match self {
            Self::Tsv => b'\t',
            _ => b',',
        }
    }

    fn reader(self) -> Arc<dyn FileFormat> {
        // Texts have line ends; a file is then read from its beginning, and not by several at once.
        let csv = || {
            CsvFormat::default()
                .with_has_header(true)
                .with_newlines_in_values(true)
        };
        match self {
            // Columns stay what they are in the file, so that they are the same when they are written again.
            Self::Parquet => Arc::new(ParquetFormat::default().with_force_view_types(false)),
            Self::Csv => Arc::new(csv()),
            Self::Tsv => Arc::new(csv().with_delimiter(b'\t')),
            Self::JsonLines => Arc::new(JsonFormat::default()),
            Self::Arrow => Arc::new(ArrowFormat),
        }
    }
}

/// What `COPY … TO 'x.tsv'` and `STORED AS` take beside what DataFusion does.
pub(crate) fn endings() -> Vec<Arc<dyn FileFormatFactory>> {
    let lines = || Arc::new(JsonFormatFactory::new());
    let values = Arc::new(CsvFormatFactory::new_with_options(
        CsvOptions::default().with_delimiter(b'\t'),
    ));
    vec![
        Arc::new(Ending("jsonl", lines())),
        Arc::new(Ending("ndjson", lines())),
        Arc::new(Ending("tsv", values)),
    ]
}

/// A format by another name.
#[derive(Debug)]
struct Ending(&'static str, Arc<dyn FileFormatFactory>);

impl GetExt for Ending {
    fn get_ext(&self) -> String {
        self.0.to_owned()
    }
}

impl FileFormatFactory for Ending {
    fn create(
        &self,
        session: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        self.1.create(session, options)
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        self.1.default()
    }
}

/// What the columns of files without types are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// What the first rows look like.
    Inferred,
    /// Texts, so that they stay what they are: `007` is no number.
    Texts,
}

/// Finds the table that a path is.
#[derive(Debug)]
pub(crate) struct Files {
    places: Arc<Places>,
    session: OnceLock<Weak<RwLock<SessionState>>>,
}

impl Files {
    pub(crate) fn new(places: Arc<Places>) -> Self {
        let session = OnceLock::new();
        Self { places, session }
    }

    /// The session whose tables they are; the first stays.
    pub(crate) fn of(&self, session: Weak<RwLock<SessionState>>) {
        let _ = self.session.set(session);
    }

    fn state(&self) -> Result<SessionState> {
        let session = self.session.get().and_then(Weak::upgrade);
        match session {
            Some(session) => Ok(session.read().clone()),
            None => internal_err!("the session is over"),
        }
    }
}

#[async_trait]
impl UrlTableFactory for Files {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(address) = self.places.address(name)? else {
            return Ok(None);
        };
        let state = self.state()?;
        let table = table(&state, name, address).await?;
        Ok(Some(table))
    }
}

/// Checks what an address is: a file, or a folder with files.
pub(crate) async fn found(
    session: &dyn Session,
    name: &str,
    address: Address,
) -> Result<(Address, Arc<dyn ObjectStore>)> {
    let store = session.runtime_env().object_store(address.listing()?)?;
    if address.is_folder() {
        return Ok((address, store));
    }
    let key = Key::from_url_path(address.url.path()).map_err(object_store::Error::from)?;
    match store.head(&key).await {
        Ok(_) => Ok((address, store)),
        Err(object_store::Error::NotFound { .. }) => {
            let folder = address.into_folder();
            let mut files = store.list(Some(&key));
            match files.try_next().await? {
                Some(_) => {
                    drop(files);
                    Ok((folder, store))
                }
                None => plan_err!("{name}: there is no such file"),
            }
        }
        Err(error) => Err(DataFusionError::Plan(format!("{name}: {error}"))),
    }
}

/// Files that are a table together.
pub(crate) struct Found {
    address: Address,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) format: Format,
    /// The files, by their names.
    files: Vec<ObjectMeta>,
}

impl Found {
    /// What is at an address.
    pub(crate) async fn at(state: &SessionState, name: &str, address: Address) -> Result<Self> {
        let (address, store) = found(state, name, address).await?;
        let listing = address.listing()?;
        let mut files = Vec::new();
        let (mut pictures, mut first) = (false, None);
        if address.is_folder() {
            // All endings, until the first name says which it is.
            let mut listed = store.list(Some(listing.prefix()));
            while let Some(file) = listed.try_next().await? {
                if !address.takes(&file.location) {
                    continue;
                }
                match Format::from_str(file.location.as_ref()) {
                    Ok(_) => files.push(file),
                    Err(_) => pictures |= is_image(&file.location),
                }
            }
            files.sort_unstable_by(|one, other| one.location.cmp(&other.location));
            if let Some(file) = files.first() {
                first = Some(file.location.to_string());
            }
        } else {
            files.push(store.head(listing.prefix()).await?);
            first = Some(address.url.path().to_owned());
        }
        let Some(first) = first else {
            let kinds = ".parquet, .csv, .tsv, .jsonl, .arrow";
            return match pictures {
                true => plan_err!(
                    "{name}: there is no table ({kinds}), but images: a query reads them as images('{name}'), and `escala jobs score` scores those of a bucket"
                ),
                false => plan_err!("{name}: there is no table ({kinds})"),
            };
        };
        let format: Format = first
            .parse()
            .map_err(|error: NoFormat| DataFusionError::Plan(error.to_string()))?;
        let ending = first.rsplit('.').next().unwrap_or_default();
        if address.is_folder() {
            files.retain(|file| file.location.extension() == Some(ending));
        }
        let found = Self {
            address,
            store,
            format,
            files,
        };
        found.fits(state, name)?;
        Ok(found)
    }

    /// Whether what is read into memory whole fits there: files of Arrow in a bucket, whose ends say what is where in them.
    fn fits(&self, state: &SessionState, name: &str) -> Result<()> {
        let Some(most) = memory(state) else {
            return Ok(());
        };
        if self.format != Format::Arrow || self.address.url.scheme() != S3 {
            return Ok(());
        }
        // As many are read at a time as there are partitions.
        let mut sizes: Vec<u64> = self.files.iter().map(|file| file.size).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let at_once = sizes.iter().take(state.config().target_partitions());
        let bytes: u64 = at_once.sum();
        match bytes > most as u64 {
            false => Ok(()),
            true => plan_err!(
                "{name}: files of Arrow in a bucket are read into memory whole, and {bytes} bytes of these at a time are more than {most} (`sql.memory`); Parquet is read in parts"
            ),
        }
    }

    /// Their names, in order.
    pub(crate) fn files(&self) -> Vec<Key> {
        let files = self.files.iter();
        files.map(|file| file.location.clone()).collect()
    }

    /// They as a table.
    pub(crate) async fn table(
        &self,
        state: &SessionState,
        keys: Keys,
    ) -> Result<Arc<dyn TableProvider>> {
        let files = self.files();
        let reader = self.format.reader();
        let schema = match self.format {
            Format::Csv | Format::Tsv => {
                let separator = self.format.separator();
                let uneven = match Settings::of(state.config_options()).bad_rows {
                    BadRows::Error => Uneven::Refused,
                    BadRows::Skip => Uneven::PassedOver,
                };
                let typing = Typing::Inferred;
                csv::schema(&*self.store, &files, separator, typing, uneven).await?
            }
            Format::JsonLines => rows::json_schema(&*self.store, &files, Typing::Inferred).await?,
            Format::Parquet | Format::Arrow => {
                let with = self.files.iter().filter(|file| file.size > 0);
                let with: Vec<ObjectMeta> = with.cloned().collect();
                for file in &with {
                    match (self.format, memory(state)) {
                        (Format::Parquet, _) => {
                            nested::check(&*self.store, &file.location, file.size).await?;
                        }
                        (_, Some(most)) => {
                            let most = most as u64;
                            ipc::check(&*self.store, &file.location, file.size, most).await?;
                        }
                        _ => {}
                    }
                }
                reader.infer_schema(state, &self.store, &with).await?
            }
        };
        let url = self.address.listing()?.object_store();
        let said = |file: &ObjectMeta| match keys {
            Keys::Columns => said(
                self.address
                    .folders(&file.location)
                    .iter()
                    .map(String::as_str),
            ),
            Keys::PassedOver => Said::new(),
        };
        let files = self.files.iter().map(|file| (file.clone(), said(file)));
        let (store, files) = (self.store.clone(), files.collect());
        let listed = Listed::new(url, store, self.format, reader, schema, files);
        Ok(Arc::new(listed))
    }
}

/// The bytes that queries may take together; none where nothing is said.
pub(crate) fn memory(state: &dyn Session) -> Option<usize> {
    match state.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(most) => Some(most),
        _ => None,
    }
}

/// What becomes of folders' names like `year=2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They are columns.
    Columns,
    /// Nothing: rows are what files have.
    PassedOver,
}

/// The table that an address is.
pub(crate) async fn table(
    state: &SessionState,
    name: &str,
    address: Address,
) -> Result<Arc<dyn TableProvider>> {
    let found = Found::at(state, name, address).await?;
    found
        .table(state, Keys::Columns)
        .await
        .map_err(|error| unread(name, error))
}

/// An error with the name of the table.
pub(crate) fn unread(name: &str, error: DataFusionError) -> DataFusionError {
    error.context(format!("{name} cannot be read"))
}
