//! The readers of foreign formats on files that other programs wrote, and on hostile ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use escala_weights::format::{Error, fasttext, safetensors, torch_legacy};
use escala_weights::{Tensors, tensors};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

const TORCH: &[u8] = include_bytes!("data/torch_legacy.pth");

#[derive(Deserialize)]
struct Facts {
    dtype: String,
    shape: Vec<usize>,
    stride: Vec<usize>,
    values: Vec<f64>,
}

fn values(dtype: &str, data: &[u8]) -> Vec<f64> {
    let chunk = |size| data.chunks_exact(size);
    match dtype {
        "float32" => chunk(4)
            .map(|c| f32::from_le_bytes(c.try_into().unwrap()).into())
            .collect(),
        "float64" => chunk(8)
            .map(|c| f64::from_le_bytes(c.try_into().unwrap()))
            .collect(),
        "int64" => chunk(8)
            .map(|c| i64::from_le_bytes(c.try_into().unwrap()) as f64)
            .collect(),
        "uint8" => data.iter().map(|&b| b.into()).collect(),
        // 0.5 and -65504 as IEEE half.
        "float16" => chunk(2)
            .map(|c| match u16::from_le_bytes(c.try_into().unwrap()) {
                0x3800 => 0.5,
                0xfbff => -65504.0,
                other => panic!("{other:#x}"),
            })
            .collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn torch_files_read_as_pytorch_wrote_them() {
    let facts: BTreeMap<String, Facts> =
        serde_json::from_str(include_str!("data/torch_legacy.json")).unwrap();
    let layouts = torch_legacy::layouts(TORCH).unwrap();
    let contents = torch_legacy::convert(TORCH, &[]).unwrap();
    assert_eq!(layouts.len(), facts.len());
    for layout in layouts {
        let facts = &facts[&layout.name];
        assert_eq!(
            (&layout.shape, &layout.stride),
            (&facts.shape, &facts.stride),
            "{}",
            layout.name
        );
        let tensor = &contents.tensors[&layout.name];
        assert_eq!(tensor.shape, facts.shape);
        assert_eq!(
            values(&facts.dtype, &tensor.data),
            facts.values,
            "{}",
            layout.name
        );
    }
}

#[test]
fn torch_tensors_can_be_left_out_by_suffix() {
    let contents = torch_legacy::convert(TORCH, &["posed".to_owned(), "row".to_owned()]).unwrap();
    assert_eq!(contents.tensors.len(), 9);
    assert!(!contents.tensors.contains_key("transposed") && !contents.tensors.contains_key("row"));
}

#[test]
fn torch_files_cut_anywhere_are_errors() {
    for length in 0..TORCH.len() {
        assert!(
            torch_legacy::convert(&TORCH[..length], &[]).is_err(),
            "{length}"
        );
    }
    assert!(torch_legacy::convert(&[TORCH, b"x"].concat(), &[]).is_err());
}

/// A fastText file by the layout of its documentation: `words` words, 2 labels, dense or quantised.
fn fasttext_file(quantised: bool, pruned: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let int = |file: &mut Vec<u8>, value: i32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: i64| file.extend(value.to_le_bytes());
    let float = |file: &mut Vec<u8>, value: f32| file.extend(value.to_le_bytes());
    int(&mut file, 0x2f4f_16ba);
    int(&mut file, 12);
    // dim 3, wordNgrams 1, loss softmax, supervised, 4 buckets, n-grams of 2 to 3.
    for value in [3, 5, 5, 1, 5, 1, 3, 3, 4, 2, 3, 100] {
        int(&mut file, value);
    }
    file.extend(1e-4f64.to_le_bytes());
    for value in [4, 2, 2] {
        int(&mut file, value);
    }
    long(&mut file, 100);
    long(&mut file, if pruned { 2 } else { -1 });
    for (text, count, kind) in [
        ("</s>", 9, 0),
        ("hola", 8, 0),
        ("__label__es", 7, 1),
        ("__label__en", 6, 1),
    ] {
        file.extend(text.as_bytes());
        file.push(0);
        long(&mut file, count);
        file.push(kind);
    }
    if pruned {
        for (bucket, row) in [(3, 0), (1, 1)] {
            int(&mut file, bucket);
            int(&mut file, row);
        }
    }
    let rows = if pruned { 4 } else { 6 };
    file.push(quantised.into());
    if quantised {
        file.push(1);
        long(&mut file, rows);
        long(&mut file, 3);
        // Two parts: columns 0 and 1, then column 2 alone.
        int(&mut file, 2 * rows as i32);
        file.extend((0..rows as u8).flat_map(|row| [row, 10 + row]));
        for value in [3, 2, 2, 1] {
            int(&mut file, value);
        }
        for code in 0..256 {
            float(&mut file, code as f32);
            float(&mut file, code as f32 + 0.5);
        }
        for code in 0..256 {
            float(&mut file, -(code as f32));
        }
        file.extend((0..rows as u8).map(|row| 2 * row));
        for value in [1, 1, 1, 1] {
            int(&mut file, value);
        }
        for code in 0..256 {
            float(&mut file, 0.5 * code as f32);
        }
        file.push(0);
    } else {
        long(&mut file, rows);
        long(&mut file, 3);
        for value in 0..3 * rows {
            float(&mut file, value as f32);
        }
        file.push(0);
    }
    long(&mut file, 2);
    long(&mut file, 3);
    for value in 0..6 {
        float(&mut file, -(value as f32));
    }
    file
}

fn floats(contents: &safetensors::Contents, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = &contents.tensors[name];
    (tensor.shape.clone(), values("float32", &tensor.data))
}

#[test]
fn fasttext_rows_are_expanded_with_their_norm() {
    let contents = fasttext::convert(&fasttext_file(true, true)).unwrap();
    // Row r has codes (r, 10 + r) and norm code 2r, whose centroid is r.
    let rows: Vec<f64> = (0..4)
        .map(f64::from)
        .flat_map(|r| [r * r, r * (r + 0.5), -r * (10.0 + r)])
        .collect();
    assert_eq!(floats(&contents, "input"), (vec![4, 3], rows));
    assert_eq!(
        contents.tensors["prune.bucket"],
        safetensors::Tensor::u32(&[1, 3])
    );
    assert_eq!(
        contents.tensors["prune.row"],
        safetensors::Tensor::u32(&[1, 0])
    );
    assert_eq!(contents.tensors["words"].data, b"</s>\0hola");
    assert_eq!(contents.tensors["labels"].data, b"es\0en");
    assert_eq!(
        contents.tensors["label_counts"],
        safetensors::Tensor::i64(&[7, 6])
    );
    assert_eq!(contents.metadata["loss"], "softmax");
    assert_eq!(contents.metadata["pruned"], "true");
}

#[test]
fn fasttext_dense_tables_are_read_too() {
    let contents = fasttext::convert(&fasttext_file(false, false)).unwrap();
    assert_eq!(
        floats(&contents, "input"),
        (vec![6, 3], (0..18).map(f64::from).collect())
    );
    assert_eq!(
        floats(&contents, "output"),
        (vec![2, 3], (0..6).map(|v| -f64::from(v)).collect())
    );
    assert!(!contents.tensors.contains_key("prune.bucket"));
    assert_eq!(contents.metadata["pruned"], "false");
}

#[test]
fn fasttext_files_cut_anywhere_are_errors() {
    for (quantised, pruned) in [(true, true), (true, false), (false, true), (false, false)] {
        let file = fasttext_file(quantised, pruned);
        fasttext::convert(&file).unwrap();
        for length in 0..file.len() {
            assert!(fasttext::convert(&file[..length]).is_err(), "{length}");
        }
        assert!(fasttext::convert(&[&file[..], b"x"].concat()).is_err());
    }
}

#[test]
fn a_huge_table_is_refused_before_it_is_allocated() {
    let mut file = fasttext_file(false, true);
    let at = file.len() - 24 - 16 - 1 - 48 - 16;
    file[at..at + 8].copy_from_slice(&(1i64 << 40).to_le_bytes());
    assert!(matches!(
        fasttext::convert(&file),
        Err(Error::TooLarge { .. })
    ));
}

fn small_safetensors() -> Vec<u8> {
    let mut contents = safetensors::Contents::default();
    contents.tensors.insert(
        "a".into(),
        safetensors::Tensor::f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0]),
    );
    contents
        .tensors
        .insert("b".into(), safetensors::Tensor::u8(vec![5, 6, 7]));
    contents
        .tensors
        .insert("n".into(), safetensors::Tensor::i64(&[-9]));
    contents.metadata.insert("dim".into(), "2".into());
    contents.metadata.insert("word".into(), "x".into());
    let mut file = Vec::new();
    safetensors::write(&contents, &mut file).unwrap();
    file
}

fn open(bytes: &[u8]) -> Result<Tensors, tensors::Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    Tensors::open(&path)
}

#[test]
fn tensors_are_read_by_name_and_type() {
    let file = open(&small_safetensors()).unwrap();
    assert_eq!(file.names(), ["a", "b", "n"]);
    let (shape, data) = file.f32("a").unwrap();
    assert_eq!(
        (shape, data.as_ref()),
        (vec![2, 2], &[1.0, 2.0, 3.0, 4.0][..])
    );
    assert!(matches!(data, std::borrow::Cow::Borrowed(_)));
    assert_eq!(file.u8("b").unwrap(), (vec![3], &[5, 6, 7][..]));
    assert_eq!(file.i64("n").unwrap().1.as_ref(), [-9]);
    assert_eq!(file.metadata_as::<usize>("dim").unwrap(), 2);
    assert!(matches!(
        file.f32("b"),
        Err(tensors::Error::WrongType { .. })
    ));
    assert!(matches!(file.f32("c"), Err(tensors::Error::Missing { .. })));
    assert!(matches!(
        file.f32_of("a", &[4]),
        Err(tensors::Error::WrongShape { .. })
    ));
    assert!(matches!(
        file.metadata_as::<usize>("word"),
        Err(tensors::Error::WrongMetadata { .. })
    ));
    assert!(matches!(
        file.metadata_as::<usize>("none"),
        Err(tensors::Error::MissingMetadata { .. })
    ));
}

#[test]
fn unaligned_tensors_are_copied_not_misread() {
    // Written with the bytes first, so that the floats start at an odd place.
    let header = br#"{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.push(1);
    file.extend([1.5f32, -2.5].iter().flat_map(|v| v.to_le_bytes()));
    assert_eq!(
        open(&file).unwrap().f32("a").unwrap().1.as_ref(),
        [1.5, -2.5]
    );
}

#[test]
fn truncated_tensor_files_are_errors() {
    let file = small_safetensors();
    for length in 0..file.len() {
        assert!(open(&file[..length]).is_err(), "{length}");
    }
    let missing = Tensors::open("/does/not/exist.safetensors");
    assert!(matches!(missing, Err(tensors::Error::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn changed_files_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        quantised: bool,
        pruned: bool,
    ) {
        let change = |mut file: Vec<u8>| {
            for (at, byte) in &flips {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            let keep = if cut.index(4) == 0 { cut.index(file.len()) } else { file.len() };
            file.truncate(keep);
            file
        };
        // Whatever is accepted is bounded by what was there.
        let bounded = |contents: &safetensors::Contents, limit: usize| {
            contents.tensors.values().map(|t| t.data.len()).sum::<usize>() <= limit
        };
        let file = change(TORCH.to_vec());
        if let Ok(contents) = torch_legacy::convert(&file, &[]) {
            prop_assert!(bounded(&contents, file.len()));
        }
        let file = change(fasttext_file(quantised, pruned));
        if let Ok(contents) = fasttext::convert(&file) {
            prop_assert!(bounded(&contents, 4 * file.len()));
        }
        let file = change(small_safetensors());
        if let Ok(tensors) = open(&file) {
            for name in tensors.names() {
                let _ = (tensors.f32(&name).is_ok(), tensors.u8(&name).is_ok(), tensors.i64(&name).is_ok());
                prop_assert!(tensors.raw(&name).unwrap().len() < file.len());
            }
        }
    }
}
