//! Searching a collection of faces: indexing, opening, memory and search times.
//!
//! ```text
//! cargo bench --bench face_search -- [FACES] [VECTORS.f32]
//! ```
//! With a file, the descriptors are also written there, one query first, for `face_search.py`, which searches them with
//! FAISS and numpy. `benches/face_search.sh` runs both.

use escala_collections::{Descriptor, Library, Limits, NewFace, WIDTH};
use escala_models::team::Team;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;
use uuid::Uuid;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let count: usize = arguments
        .next()
        .map_or(1_000_000, |count| count.parse().expect("a number of faces"));
    let mut file = arguments
        .next()
        .map(|path| std::io::BufWriter::new(std::fs::File::create(path).expect("a file")));
    let mut put = |descriptor: &Descriptor| {
        if let Some(file) = &mut file {
            for number in descriptor {
                file.write_all(&number.to_le_bytes()).expect("written");
            }
        }
    };
    let wanted = descriptor(u64::MAX);
    put(&wanted);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = Limits {
        faces: count,
        ..Limits::default()
    };
    let empty = resident();
    let start = Instant::now();
    {
        let library = Library::open(folder.path(), limits).expect("opens");
        library.create("faces", BTreeMap::new()).expect("made");
        let faces = library.get("faces").expect("there");
        let mut number = 0;
        while number < count {
            let some: Vec<NewFace> = (number..count.min(number + 100))
                .map(|number| NewFace {
                    place: [0.1, 0.2, 0.3, 0.4],
                    confidence: 99.0,
                    descriptor: descriptor(number as u64),
                })
                .collect();
            some.iter().for_each(|face| put(&face.descriptor));
            faces
                .index(Uuid::new_v4(), Some("img-00000001"), &some)
                .expect("indexed");
            number += some.len();
        }
    }
    println!(
        "index    {count} faces in hundreds: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let library = Library::open(folder.path(), limits).expect("opens");
    let faces = library.get("faces").expect("there");
    println!("open     {:.2} s", start.elapsed().as_secs_f64());
    println!(
        "memory   {:.0} bytes a face",
        (resident().saturating_sub(empty)) as f64 / count as f64
    );
    for threads in [1, 2] {
        let team = Team::new(threads);
        let mut times: Vec<f64> = (0..15)
            .map(|_| {
                let start = Instant::now();
                let found = faces.search(&team, &wanted, 10, f32::MAX, None);
                assert_eq!(found.len(), 10.min(count));
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let nearest = faces.search(&team, &wanted, 1, f32::MAX, None)[0].1;
        println!(
            "search   {threads} threads: median {:.1} ms, best {:.1} ms; the nearest is at {nearest:.6}",
            times[times.len() / 2],
            times[0]
        );
    }
}

/// Numbers like a descriptor's, by SplitMix64 of its number.
fn descriptor(number: u64) -> Descriptor {
    let mut state = number.wrapping_mul(WIDTH as u64);
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.4
    })
}

/// Bytes that this process holds in memory, as Linux counts them; zero elsewhere.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
