//! Files as tables: `FROM 'reviews/*.parquet'`.

use crate::csv::{self, Uneven};
use crate::places::{Address, Places};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, UrlTableFactory};
use datafusion::common::{DataFusionError, Result, internal_err, plan_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::execution::SessionState;
use futures_util::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::RwLock;
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
            Self::Parquet => Arc::new(ParquetFormat::default()),
            Self::Csv => Arc::new(csv()),
            Self::Tsv => Arc::new(csv().with_delimiter(b'\t')),
            Self::JsonLines => Arc::new(JsonFormat::default()),
            Self::Arrow => Arc::new(ArrowFormat),
        }
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
    /// How their names end.
    ending: String,
}

impl Found {
    /// What is at an address.
    pub(crate) async fn at(state: &SessionState, name: &str, address: Address) -> Result<Self> {
        let (address, store) = found(state, name, address).await?;
        let listing = address.listing()?;
        let first = match address.is_folder() {
            false => address.url.path().to_owned(),
            true => {
                let mut files = store.list(Some(listing.prefix()));
                let mut first: Option<Key> = None;
                while let Some(file) = files.try_next().await? {
                    let key = file.location;
                    let format = Format::from_str(key.as_ref());
                    let fits = format.is_ok() && listing.contains(&key, false);
                    if fits && first.as_ref().is_none_or(|first| key < *first) {
                        first = Some(key);
                    }
                }
                match first {
                    Some(first) => first.to_string(),
                    None => {
                        return plan_err!(
                            "{name}: there is no table (.parquet, .csv, .tsv, .jsonl, .arrow)"
                        );
                    }
                }
            }
        };
        let format: Format = first
            .parse()
            .map_err(|error: NoFormat| DataFusionError::Plan(error.to_string()))?;
        let ending = first.rsplit('.').next().unwrap_or_default();
        Ok(Self {
            ending: ending.to_owned(),
            address,
            store,
            format,
        })
    }

    /// Their names, in order.
    pub(crate) async fn files(&self) -> Result<Vec<Key>> {
        let listing = self.address.listing()?;
        if !self.address.is_folder() {
            return Ok(vec![listing.prefix().clone()]);
        }
        let mut files = self.store.list(Some(listing.prefix()));
        let mut keys = Vec::new();
        while let Some(file) = files.try_next().await? {
            let key = file.location;
            if key.extension() == Some(&self.ending) && listing.contains(&key, false) {
                keys.push(key);
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// They as a table.
    pub(crate) async fn table(&self, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
        let listing = self.address.listing()?;
        let options = ListingOptions::new(self.format.reader())
            .with_file_extension(format!(".{}", self.ending));
        let schema = match self.format {
            Format::Csv | Format::Tsv => {
                let files = self.files().await?;
                let separator = self.format.separator();
                csv::schema(
                    &*self.store,
                    &files,
                    separator,
                    Typing::Inferred,
                    Uneven::Refused,
                )
                .await?
            }
            _ => options.infer_schema(state, &listing).await?,
        };
        let config = ListingTableConfig::new(listing)
            .with_listing_options(options)
            .with_schema(schema);
        Ok(Arc::new(ListingTable::try_new(config)?))
    }
}

/// The table that an address is.
pub(crate) async fn table(
    state: &SessionState,
    name: &str,
    address: Address,
) -> Result<Arc<dyn TableProvider>> {
    let found = Found::at(state, name, address).await?;
    found
        .table(state)
        .await
        .map_err(|error| unread(name, error))
}

/// An error with the name of the table.
pub(crate) fn unread(name: &str, error: DataFusionError) -> DataFusionError {
    error.context(format!("{name} cannot be read"))
}
