//! Writes the files from which the target `images` begins: `cargo run --bin seeds -- FOLDER`.
#![allow(dead_code)]

#[path = "../../../tests/common/hostile.rs"]
mod hostile;
#[path = "../../../tests/common/images.rs"]
mod images;

/// For the generators of files.
fn golden_image(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/images");
    std::fs::read(format!("{folder}/{name}")).expect("an image")
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "corpus/images".to_owned());
    std::fs::create_dir_all(&folder)?;
    for (name, bytes, _) in hostile::files() {
        if bytes.len() < 100_000 {
            std::fs::write(format!("{folder}/{name}").replace(',', ""), bytes)?;
        }
    }
    Ok(())
}
