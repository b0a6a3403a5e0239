//! Where files can be parted, so that each part can be scored alone.
//!
//! Text formats are read once, from beginning to end: a value of CSV may have line ends, and only who has read what is
//! before knows whether a line end is one of a row. Parquet says what it has at its end; a group of its rows can be read from
//! its beginning only, so parts of it are larger than those of lines.

use super::Part;
use crate::csv::Records;
use crate::engine::Session;
use crate::files::Format;
use crate::nested;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::parquet::arrow::async_reader::MetadataFetch;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use std::ops::Range;
use std::sync::Arc;

/// How many times as many rows a part of Parquet has.
const LARGER: u64 = 8;

/// How large parts are, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of lines.
    pub bytes: u64,
    /// Rows; of Parquet a few times as many.
    pub rows: u64,
}

/// Rows that lie one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where its bytes are; of Parquet about.
    pub bytes: Range<u64>,
    /// Which rows they are, counted from 0.
    pub rows: Range<u64>,
}

impl Piece {
    /// The part that it is of a file of some format.
    pub fn part(&self, format: Format) -> Part {
        match format {
            Format::Parquet => Part::Rows(self.rows.clone()),
            Format::Csv | Format::Tsv | Format::JsonLines => Part::Bytes(self.bytes.clone()),
            Format::Arrow => Part::All,
        }
    }
}

/// Cuts a file. There is at least one piece, which may have no rows.
///
/// # Errors
/// It cannot be read, or is not what its name says.
pub async fn cut(session: &Session, file: &str, format: Format, size: Size) -> Result<Vec<Piece>> {
    match format {
        Format::Parquet => {
            let (metadata, length) = metadata(session, file).await?;
            let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
            Ok(evenly(rows, length, size.rows.saturating_mul(LARGER)))
        }
        Format::Arrow => {
            let (_, _, length) = opened(session, file).await?;
            let table = session.places().address(file)?;
            let Some(table) = table else {
                return plan_err!("{file}: no path of a table");
            };
            let state = session.context().state();
            let table = crate::files::table(&state, file, table).await?;
            let rows = session.context().read_table(table)?.count().await?;
            Ok(vec![Piece {
                bytes: 0..length,
                rows: 0..rows as u64,
            }])
        }
        Format::Csv | Format::Tsv | Format::JsonLines => lines(session, file, format, size).await,
    }
}

/// The same number of rows in each piece but the last.
fn evenly(rows: u64, length: u64, most: u64) -> Vec<Piece> {
    let most = most.max(1);
    let at = |row: u64| {
        let part = u128::from(length) * u128::from(row) / u128::from(rows.max(1));
        u64::try_from(part).unwrap_or(length)
    };
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < rows {
        let to = rows.min(from.saturating_add(most));
        pieces.push(Piece {
            bytes: at(from)..at(to),
            rows: from..to,
        });
        from = to;
    }
    if pieces.is_empty() {
        pieces.push(Piece {
            bytes: 0..length,
            rows: 0..0,
        });
    }
    pieces
}

async fn opened(session: &Session, file: &str) -> Result<(Arc<dyn ObjectStore>, Key, u64)> {
    let Some(address) = session.places().address(file)? else {
        return plan_err!("{file}: no path of a table");
    };
    if address.is_folder() {
        return plan_err!("{file}: only single files are cut");
    }
    let state = session.context().state();
    let store = state.runtime_env().object_store(address.listing()?)?;
    let key = Key::from_url_path(address.url.path()).map_err(object_store::Error::from)?;
    let length = store.head(&key).await?.size;
    Ok((store, key, length))
}

/// Reads ranges of an object.
struct Ranges(Arc<dyn ObjectStore>, Key);

impl MetadataFetch for Ranges {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        Box::pin(async move {
            let read = self.0.get_range(&self.1, range).await;
            read.map_err(|error| ParquetError::External(error.into()))
        })
    }
}

async fn metadata(session: &Session, file: &str) -> Result<(ParquetMetaData, u64)> {
    let (store, key, length) = opened(session, file).await?;
    nested::check(&*store, &key, length).await?;
    let reader = ParquetMetaDataReader::new();
    let metadata = reader.load_and_finish(Ranges(store, key), length).await;
    let unread = |error| DataFusionError::from(error).context(format!("{file} cannot be read"));
    Ok((metadata.map_err(unread)?, length))
}

/// A group of rows of a Parquet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number, from 0.
    pub number: usize,
    /// Its rows, counted from the file's first.
    pub rows: Range<u64>,
}

/// The group that a row of a Parquet file is in.
///
/// # Errors
/// The file cannot be read, or has no such row.
pub async fn group_of(session: &Session, file: &str, row: u64) -> Result<Group> {
    let (metadata, _) = metadata(session, file).await?;
    let mut rows: Range<u64> = 0..0;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let count = u64::try_from(group.num_rows()).unwrap_or_default();
        rows = rows.end..rows.end.saturating_add(count);
        if rows.contains(&row) {
            return Ok(Group { number, rows });
        }
    }
    exec_err!("{file} has no row {row}")
}

/// What is read of a Parquet file for some of its rows.
pub(super) async fn selection(
    session: &Session,
    file: &str,
    rows: &Range<u64>,
) -> Result<ParquetAccessPlan> {
    let (metadata, _) = metadata(session, file).await?;
    let all = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
    if rows.start > rows.end || rows.end > all {
        return exec_err!("{file} has {all} rows");
    }
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    let selectors = vec![
        RowSelector::skip(count(rows.start)),
        RowSelector::select(count(rows.end - rows.start)),
        RowSelector::skip(count(all - rows.end)),
    ];
    ParquetAccessPlan::try_new_from_overall_row_selection(
        RowSelection::from(selectors),
        metadata.row_groups(),
    )
}

async fn lines(session: &Session, file: &str, format: Format, size: Size) -> Result<Vec<Piece>> {
    let (store, key, length) = opened(session, file).await?;
    let mut chunks = store.get(&key).await?.into_stream();
    let mut cutter = Cutter {
        size,
        pieces: Vec::new(),
        piece: Piece {
            bytes: 0..0,
            rows: 0..0,
        },
    };
    match format {
        Format::JsonLines => {
            let (mut at, mut blank) = (0, true);
            while let Some(chunk) = chunks.try_next().await? {
                for &byte in &chunk {
                    at += 1;
                    if byte == b'\n' {
                        cutter.end(at, !blank);
                        blank = true;
                    } else {
                        blank &= byte.is_ascii_whitespace();
                    }
                }
            }
            cutter.finish(at, !blank);
        }
        _ => {
            let mut records = Records::new(format.separator());
            // The first row has the names.
            let mut names = true;
            while let Some(chunk) = chunks.try_next().await? {
                records.read(&chunk, &mut |at| {
                    cutter.end(at, !std::mem::take(&mut names));
                });
            }
            let at = records.at;
            let more = records.end();
            cutter.finish(at, more && !names);
        }
    }
    match cutter.piece.bytes.end == length {
        true => Ok(cutter.pieces),
        false => exec_err!("{file} has changed while it was read"),
    }
}

/// Puts rows into pieces.
struct Cutter {
    size: Size,
    pieces: Vec<Piece>,
    piece: Piece,
}

impl Cutter {
    /// Here something ends: a row, or what is none.
    fn end(&mut self, at: u64, row: bool) {
        self.piece.bytes.end = at;
        self.piece.rows.end += u64::from(row);
        let bytes = at - self.piece.bytes.start;
        let rows = self.piece.rows.end - self.piece.rows.start;
        if rows > 0 && (bytes >= self.size.bytes || rows >= self.size.rows) {
            self.pieces.push(self.piece.clone());
            self.piece.bytes.start = at;
            self.piece.rows.start = self.piece.rows.end;
        }
    }

    /// Here the file ends.
    fn finish(&mut self, at: u64, row: bool) {
        self.end(at, row);
        match self.pieces.last_mut() {
            // What has no rows goes with what has.
            Some(last) if self.piece.rows.is_empty() => last.bytes.end = at,
            _ => self.pieces.push(self.piece.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_evenly() {
        let of = |rows, most| -> Vec<(Range<u64>, Range<u64>)> {
            let pieces = evenly(rows, 1000, most).into_iter();
            pieces.map(|piece| (piece.bytes, piece.rows)).collect()
        };
        assert_eq!(
            of(10, 4),
            [(0..400, 0..4), (400..800, 4..8), (800..1000, 8..10)]
        );
        assert_eq!(of(0, 4), [(0..1000, 0..0)]);
        assert_eq!(of(3, 4), [(0..1000, 0..3)]);
    }
}
