//! Pages of Parquet files whose heads say more than there is room for, or less than is in them.
//!
//! Who unpacks a page makes room for what its head says, and some codecs write whatever comes out. So the bytes of columns are looked
//! at when they are read: a page that would take more than queries may have ([`Room::memory`](crate::engine::Room)), or that unpacks to more than its
//! head says, is an error before anybody unpacks it.

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::errors::{ParquetError, Result as Read};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use escala_objects::parquet::page;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// How many times as large what these codecs unpack can be, at most.
const DEFLATE: u64 = 1032;
const LZ4: u64 = 255;

/// A scan of Parquet files, whose pages take at most so many bytes each.
pub(crate) fn bounded(plan: Arc<dyn ExecutionPlan>, most: usize) -> Arc<dyn ExecutionPlan> {
    let bounded = || {
        let exec = (plan.as_ref() as &dyn Any).downcast_ref::<DataSourceExec>()?;
        let config = (exec.data_source().as_ref() as &dyn Any).downcast_ref::<FileScanConfig>()?;
        let source = (config.file_source.as_ref() as &dyn Any).downcast_ref::<ParquetSource>()?;
        let inner = source.parquet_file_reader_factory()?.clone();
        let source = source
            .clone()
            .with_parquet_file_reader_factory(Arc::new(Bounded {
                inner,
                most: most as u64,
            }));
        let config = FileScanConfigBuilder::from(config.clone())
            .with_source(Arc::new(source))
            .build();
        let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Some(plan)
    };
    bounded().unwrap_or(plan)
}

/// Makes readers that look at pages.
#[derive(Debug)]
struct Bounded {
    inner: Arc<dyn ParquetFileReaderFactory>,
    most: u64,
}

impl ParquetFileReaderFactory for Bounded {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.to_string();
        let inner = self.inner.create_reader(partition, file, hint, metrics)?;
        Ok(Box::new(Reader {
            inner,
            name,
            most: self.most,
            columns: None,
        }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    name: String,
    most: u64,
    /// Where the columns are, and how they are packed.
    columns: Option<Vec<(Range<u64>, Compression)>>,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Read<Bytes>> {
        async move {
            let bytes = self.inner.get_bytes(range.clone()).await?;
            self.check(&range, &bytes).await?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Read<Vec<Bytes>>> {
        async move {
            let all = self.inner.get_byte_ranges(ranges.clone()).await?;
            for (range, bytes) in ranges.iter().zip(&all) {
                self.check(range, bytes).await?;
            }
            Ok(all)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Read<Arc<ParquetMetaData>>> {
        async move {
            let said = self.inner.get_metadata(options).await?;
            self.columns = Some(columns(&said));
            Ok(said)
        }
        .boxed()
    }
}

fn columns(said: &ParquetMetaData) -> Vec<(Range<u64>, Compression)> {
    let groups = said.row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    let place = |(start, length): (u64, u64)| start..start.saturating_add(length);
    columns
        .map(|column| (place(column.byte_range()), column.compression()))
        .collect()
}

impl Reader {
    /// Looks at the pages of what was read, where that is of a column: it begins with one then.
    async fn check(&mut self, range: &Range<u64>, bytes: &Bytes) -> Read<()> {
        let columns = match &mut self.columns {
            Some(columns) => columns,
            none => {
                let said = self.inner.get_metadata(None).await?;
                none.insert(columns(&said))
            }
        };
        let column = columns
            .iter()
            .find(|(place, _)| place.contains(&range.start));
        let Some((_, codec)) = column else {
            return Ok(());
        };
        let (codec, most, bytes) = (*codec, self.most, bytes.clone());
        // What is unpacked to be counted takes a while.
        let found = tokio::task::spawn_blocking(move || first_too_large(codec, &bytes, most));
        let found = found
            .await
            .map_err(|error| ParquetError::External(error.into()))?;
        match found {
            None => Ok(()),
            Some(why) => Err(ParquetError::General(format!("{}: {why}", self.name))),
        }
    }
}

/// What is wrong with the first page that is too large.
fn first_too_large(codec: Compression, bytes: &[u8], most: u64) -> Option<String> {
    let mut rest = bytes;
    while let Some(page) = page(rest) {
        let body = rest.get(page.head..)?;
        let body = &body[..page.packed.min(body.len())];
        if codec != Compression::UNCOMPRESSED && page.unpacked as u64 > most {
            return Some(format!(
                "a page would have {} bytes when it is unpacked; at most {most} are read (`sql.memory`)",
                page.unpacked
            ));
        }
        if is_more(codec, body, page.unpacked as u64, most) {
            return Some(format!(
                "a page has more than the {} bytes that it says it has when it is unpacked",
                page.unpacked
            ));
        }
        rest = &rest[page.head + body.len()..];
    }
    None
}

/// Whether bytes unpack to more than they should, by codecs that go on as long as something comes, where it could be more than so much.
fn is_more(codec: Compression, packed: &[u8], should: u64, most: u64) -> bool {
    let could = |times: u64| (packed.len() as u64).saturating_mul(times) > most;
    match codec {
        Compression::GZIP(_) if could(DEFLATE) => {
            goes_on(flate2::read::MultiGzDecoder::new(packed), should)
        }
        Compression::BROTLI(_) => goes_on(brotli::Decompressor::new(packed, 4096), should),
        Compression::LZ4 if could(LZ4) => {
            goes_on(lz4_flex::frame::FrameDecoder::new(packed), should)
        }
        // The others stop where the room ends.
        _ => false,
    }
}

/// Whether more than so many bytes come.
pub(crate) fn goes_on(from: impl std::io::Read, should: u64) -> bool {
    let mut from = from.take(should.saturating_add(1));
    // What is damaged is found by whoever reads it.
    std::io::copy(&mut from, &mut std::io::sink()).is_ok_and(|bytes| bytes > should)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::parquet::basic::{BrotliLevel, GzipLevel};
    use std::io::Write;

    /// A page with this head and body.
    fn made(unpacked: u32, body: &[u8]) -> Vec<u8> {
        let number = |number: u32| {
            let mut left = u64::from(number) << 1;
            let mut bytes = Vec::new();
            while left >= 0x80 {
                bytes.push(left as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
            bytes
        };
        let mut page = vec![0x15, 0, 0x15];
        page.extend(number(unpacked));
        page.push(0x15);
        page.extend(number(body.len() as u32));
        page.push(0);
        page.extend(body);
        page
    }

    #[test]
    fn pages_say_what_they_unpack_to() {
        let zeros = vec![0_u8; 64 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).expect("packed");
        let gzip = gzip.finish().expect("packed");
        let mut brotli = Vec::new();
        let mut packing = brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22);
        packing.write_all(&zeros).expect("packed");
        drop(packing);
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&zeros).expect("packed");
        let lz4 = lz4.finish().expect("packed");
        for (codec, packed) in [
            (Compression::GZIP(GzipLevel::default()), gzip),
            (Compression::BROTLI(BrotliLevel::default()), brotli),
            (Compression::LZ4, lz4),
        ] {
            let of = |unpacked, most| {
                // Behind one that is as it should be.
                let good = made(3, b"abc");
                let bytes = [good, made(unpacked, &packed)].concat();
                first_too_large(codec, &bytes, most)
            };
            assert_eq!(of(64 << 20, 64 << 20), None, "{codec}");
            let lies = of(1 << 20, 32 << 20).expect("it lies");
            assert!(
                lies.contains("more than the 1048576 bytes"),
                "{codec}: {lies}"
            );
            let large = of(64 << 20, 63 << 20).expect("too large");
            assert!(
                large.contains("would have 67108864 bytes"),
                "{codec}: {large}"
            );
        }
        let zstd = first_too_large(
            Compression::ZSTD(Default::default()),
            &made(i32::MAX as u32, b"x"),
            1 << 30,
        );
        assert!(zstd.is_some_and(|why| why.contains("would have 2147483647")));
        // What is not packed is as large as it is.
        let plain = first_too_large(Compression::UNCOMPRESSED, &made(1 << 30, b"x"), 10);
        assert_eq!(plain, None);
    }
}
