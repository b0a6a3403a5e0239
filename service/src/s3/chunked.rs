//! Bodies in the encoding `aws-chunked`: pieces with their sizes before them, and trailers with checksums at the end.
//!
//! Signatures of pieces are not looked at, like all signatures here; the checksums of trailers are.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// Most bytes of a line: a size with a signature, or a trailer.
const LONGEST_LINE: usize = 4 << 10;
/// Most trailers.
const MOST_TRAILERS: usize = 16;

/// The trailers of a body, there when it was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Trailers(Arc<Mutex<Vec<(String, String)>>>);

impl Trailers {
    /// The value of a trailer, by its name in small letters.
    pub fn get(&self, name: &str) -> Option<String> {
        let trailers = self.0.lock();
        let found = trailers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.clone())
    }
}

/// A body that is being decoded.
pub struct Chunked<S> {
    body: S,
    buffer: BytesMut,
    /// Bytes of the current piece that are to come; none before the first.
    left: Option<u64>,
    done: bool,
    trailers: Trailers,
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Chunked<S> {
    /// The body behind `body`, whose trailers become those of `trailers`.
    pub fn new(body: S, trailers: Trailers) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            left: None,
            done: false,
            trailers,
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.body.next().await {
            Some(bytes) => self.buffer.extend_from_slice(&bytes?),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                let line = std::str::from_utf8(&line).map(str::to_owned);
                return line.map_err(|_| malformed("a line that is no text"));
            }
            if self.buffer.len() > LONGEST_LINE {
                return Err(malformed("a line that is too long"));
            }
            self.more().await?;
        }
    }

    /// The next bytes of the content; none at its end.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.left {
                _ if self.done => return Ok(None),
                Some(left) if left > 0 => {
                    if self.buffer.is_empty() {
                        self.more().await?;
                    }
                    let here = usize::try_from(left).unwrap_or(usize::MAX);
                    let bytes = self.buffer.split_to(here.min(self.buffer.len()));
                    self.left = Some(left - bytes.len() as u64);
                    return Ok(Some(bytes.freeze()));
                }
                Some(_) => {
                    let rest = self.line().await?;
                    if !rest.is_empty() {
                        return Err(malformed("a piece that is longer than its size"));
                    }
                }
                None => (),
            }
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16);
            match size.map_err(|_| malformed("a piece without a size"))? {
                0 => {
                    self.trail().await?;
                    self.done = true;
                    if !self.buffer.is_empty() || self.body.next().await.is_some() {
                        return Err(malformed("bytes behind the end"));
                    }
                }
                size => self.left = Some(size),
            }
        }
    }

    async fn trail(&mut self) -> io::Result<()> {
        for _ in 0..MOST_TRAILERS {
            let line = match self.line().await {
                // Some clients leave the last, empty line out.
                Err(error)
                    if error.kind() == io::ErrorKind::UnexpectedEof && self.buffer.is_empty() =>
                {
                    return Ok(());
                }
                line => line?,
            };
            if line.is_empty() {
                return Ok(());
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| malformed("a trailer without a name"))?;
            let trailer = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            self.trailers.0.lock().push(trailer);
        }
        Err(malformed("too many trailers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    async fn decoded(body: &[u8], piece: usize) -> (io::Result<Vec<u8>>, Trailers) {
        let pieces: Vec<io::Result<Bytes>> = body
            .chunks(piece)
            .map(|bytes| Ok(Bytes::copy_from_slice(bytes)))
            .collect();
        let trailers = Trailers::default();
        let mut body = Chunked::new(stream::iter(pieces), trailers.clone());
        let mut all = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(bytes)) => all.extend_from_slice(&bytes),
                Ok(None) => return (Ok(all), trailers),
                Err(error) => return (Err(error), trailers),
            }
        }
    }

    /// The body of the example in AWS's documentation of signatures of pieces, with smaller pieces, and one with a trailer.
    #[tokio::test]
    async fn pieces_are_put_together_wherever_they_are_cut() {
        let signed = b"5;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nhello\r\n\
            6;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n, \r\nxy\r\n\
            0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
        let trailer = b"B\r\nhello, \r\nxy\r\n0\r\nX-Amz-Checksum-Crc32: AAAAAA==\r\n\r\n";
        let ended = b"b\r\nhello, \r\nxy\r\n0\r\n";
        for piece in [1, 2, 3, 7, 1000] {
            for body in [&signed[..], trailer, ended] {
                let (bytes, trailers) = decoded(body, piece).await;
                assert_eq!(bytes.expect("decoded"), b"hello, \r\nxy", "{piece}");
                let sum = trailers.get("x-amz-checksum-crc32");
                assert_eq!(sum.is_some(), body == trailer);
            }
        }
        let (empty, _) = decoded(b"0\r\n\r\n", 1).await;
        assert_eq!(empty.expect("decoded"), b"");
    }

    #[tokio::test]
    async fn what_is_not_encoded_so_is_refused() {
        let long = [b'1'; 2 * LONGEST_LINE];
        for body in [
            &b"hello"[..],
            b"",
            b"5\r\nhell",
            b"5\r\nhello",
            b"4\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
            b"1ffffffffffffffff\r\nhello\r\n",
            b"5\r\nhello\r\n0\r\n\r\nmore",
            &long,
        ] {
            let (refused, _) = decoded(body, 1000).await;
            assert!(refused.is_err(), "{body:?}");
        }
    }
}
