//! The codec against kafka-clients' bytes, against a second reading of the definitions, and against damage.

mod definitions;

use super::messages::{self, Api};
use super::{Reader, RequestHeader, Writer, write_response_header};
use bytes::Bytes;
use definitions::Definition;
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn joined(writer: Writer) -> Vec<u8> {
    writer.finish().concat()
}

fn recode(name: &str, version: i16, bytes: &[u8]) -> super::Result<Vec<u8>> {
    messages::recode(name, version, Reader::new(Bytes::copy_from_slice(bytes)))
        .unwrap_or_else(|| panic!("there is no {name} {version}"))
        .map(joined)
}

#[test]
fn the_generated_source_is_what_the_generator_writes() {
    let check = Command::new("python3")
        .arg(folder().join("protocol/generate.py"))
        .arg("--check")
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}

/// `protocol/golden/make.py` says how the bytes were made.
fn golden() -> Vec<(String, i16, Vec<u8>)> {
    let text = include_str!("../../protocol/golden/messages.txt");
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hex");
        u8::from_str_radix(pair, 16).expect("hex")
    };
    let entry = |line: &str| {
        let mut parts = line.split(' ');
        let mut part = || parts.next().expect("three parts");
        let (name, version) = (part().to_owned(), part().parse().expect("a version"));
        (
            name,
            version,
            part().as_bytes().chunks(2).map(byte).collect(),
        )
    };
    text.lines().map(entry).collect()
}

#[test]
fn all_messages_of_all_versions_are_read_and_written_as_kafka_clients_does() {
    let golden = golden();
    for (name, version, bytes) in &golden {
        assert_eq!(
            recode(name, *version, bytes).as_ref(),
            Ok(bytes),
            "{name} {version}"
        );
    }
    let all: usize = definitions::all()
        .iter()
        .map(|one| one.versions().count())
        .sum();
    assert_eq!(golden.len(), all);
}

/// Bytes that end early are refused, whatever is missing.
#[test]
fn no_message_may_end_early() {
    for (name, version, bytes) in golden() {
        for end in 0..bytes.len() {
            assert!(
                recode(&name, version, &bytes[..end]).is_err(),
                "{name} {version} ends after {end} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn values_land_in_the_fields_that_their_names_say() {
    // ProduceRequest 9: transactional id "tx", acks -1, timeout 1500, topic "t", partition 3, two bytes of records.
    let bytes = b"\x03tx\xff\xff\x00\x00\x05\xdc\x02\x02t\x02\x00\x00\x00\x03\x03ab\x00\x00\x00";
    let request = messages::produce::Request::read(9, &mut Reader::new(Bytes::from_static(bytes)))
        .expect("a request");
    assert_eq!(request.transactional_id.as_deref(), Some("tx"));
    assert_eq!((request.acks, request.timeout_ms), (-1, 1500));
    let topic = &request.topic_data[0];
    assert_eq!(topic.name, "t");
    assert_eq!(topic.partition_data[0].index, 3);
    assert_eq!(topic.partition_data[0].records.as_deref(), Some(&b"ab"[..]));
}

#[test]
fn fields_that_a_version_does_not_have_get_the_protocols_defaults() {
    let bytes = Bytes::from_static(&[0; 26]);
    let request = messages::fetch::Request::read(4, &mut Reader::new(bytes)).expect("a request");
    assert_eq!(request.session_epoch, -1);
    assert_eq!(
        messages::create_topics::Request::default().timeout_ms,
        60_000
    );
}

#[test]
fn heads() {
    for (version, bytes) in [
        (11, &b"\x00\x01\x00\x0b\x00\x00\x00\x07\x00\x02ab"[..]),
        (12, &b"\x00\x01\x00\x0c\x00\x00\x00\x07\x00\x02ab\x00"[..]),
    ] {
        let mut reader = Reader::new(Bytes::from_static(bytes));
        let header = RequestHeader::read(&mut reader).expect("a head");
        assert_eq!(reader.left(), 0);
        assert_eq!(
            (header.key, header.version, header.correlation),
            (1, version, 7)
        );
        assert_eq!(header.client.as_deref(), Some("ab"));
        let mut writer = Writer::new();
        header.write(&mut writer).expect("a head");
        assert_eq!(joined(writer), bytes);
    }
}

/// A flexible answer has tags in its head; the answer to ApiVersions never.
#[test]
fn the_answer_to_api_versions_has_the_oldest_head() {
    let head = |api, version| {
        let mut writer = Writer::new();
        write_response_header(api, version, 9, &mut writer).expect("a head");
        joined(writer)
    };
    assert_eq!(head(Api::ApiVersions, 4), [0, 0, 0, 9]);
    assert_eq!(head(Api::Fetch, 11), [0, 0, 0, 9]);
    assert_eq!(head(Api::Fetch, 12), [0, 0, 0, 9, 0]);
}

fn any_message() -> impl Strategy<Value = (&'static Definition, i16, Vec<u8>)> {
    let one = proptest::sample::select(definitions::all().iter().collect::<Vec<_>>());
    (one, any::<u32>(), any::<u64>()).prop_map(|(definition, version, seed)| {
        let versions = definition.versions();
        let version = versions.clone().nth(version as usize % versions.count());
        let version = version.expect("within the range");
        (definition, version, definition.bytes(version, seed))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_read_is_written_again((definition, version, bytes) in any_message()) {
        let again = recode(&definition.name, version, &bytes);
        prop_assert_eq!(again.as_ref(), Ok(&bytes), "{} {}", definition.name, version);
    }

    /// Damaged messages are read or refused; what is read can be written, and is then read and written the same.
    #[test]
    fn damage_never_panics(
        (definition, version, mut bytes) in any_message(),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8),
        cut in any::<u16>(),
    ) {
        if !bytes.is_empty() {
            for (at, byte) in damage {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            if cut & 3 == 0 {
                bytes.truncate(usize::from(cut) % bytes.len());
            }
        }
        if let Ok(once) = recode(&definition.name, version, &bytes) {
            prop_assert_eq!(recode(&definition.name, version, &once), Ok(once));
        }
    }

    #[test]
    fn noise_never_panics(
        (definition, version, _) in any_message(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _read_or_refused = recode(&definition.name, version, &bytes);
        let _read_or_refused = RequestHeader::read(&mut Reader::new(Bytes::from(bytes)));
    }
}
