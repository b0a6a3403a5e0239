//! Any message in any version: the first two bytes choose, the rest is the message. What is read is written, and then
//! read and written the same.

#![no_main]

use bytes::Bytes;
use escala_stream_ingest::wire::messages::{Api, recode};
use escala_stream_ingest::wire::{Reader, RequestHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, version, bytes @ ..] = data else {
        return;
    };
    // A head that cannot be read is refused: nothing more is to be held.
    let _ = RequestHeader::read(&mut Reader::new(Bytes::copy_from_slice(data)));
    let api = Api::ALL[usize::from(which >> 1) % Api::ALL.len()];
    let kind = if which & 1 == 0 { "Request" } else { "Response" };
    let name = format!("{api:?}{kind}");
    let again = |bytes: Bytes| recode(&name, i16::from(version % 19), Reader::new(bytes));
    if let Some(Ok(written)) = again(Bytes::copy_from_slice(bytes)) {
        let once = Bytes::from(written.finish().concat());
        let twice = again(once.clone()).map(|read| read.map(|written| written.finish().concat()));
        assert_eq!(twice, Some(Ok(once.to_vec())));
    }
});
