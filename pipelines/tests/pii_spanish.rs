//! Names and addresses in Spanish texts, with the real model, on `tests/data/pii/prose_es.txt`.
//!
//! ```text
//! cargo test --release -p escala-pipelines --test pii_spanish -- --nocapture
//! ```
//!
//! prints precision and recall and every mistake; the floors are what `pipelines/README.md` publishes, less one
//! hundredth for rounding.

use candle_core::Device;
use escala_models::Compute;
use escala_pipelines::pii::{Pii, PiiInput, PiiKind, PiiTask};
use escala_pipelines::syntax::{SPANISH_MODEL, SharedModel, Syntax, SyntaxTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_weights::{Silent, Store, StoreOptions};
use std::sync::Arc;

/// Kind, least precision, least recall.
const FLOORS: [(PiiKind, f32, f32); 2] =
    [(PiiKind::Name, 0.99, 0.92), (PiiKind::Address, 0.99, 0.88)];

/// The same of the shapes alone, on machines without the Spanish model.
const FLOORS_ALONE: [(PiiKind, f32, f32); 2] =
    [(PiiKind::Name, 0.99, 0.32), (PiiKind::Address, 0.99, 0.55)];

/// What is found without a reading, exactly; ⏎ is a line break.
const CASES: &[&str] = &[
    "Vivo en [ADDRESS Calle Mayor 12, 3º B, 28013 Madrid].",
    "Me llamo [NAME Juan Pérez García].",
    "me llamo [NAME juan pérez] y no funciona",
    "Hola [NAME María],⏎¿puede ayudarme?",
    "Buenos días [NAME Lucía], ya funciona.",
    "Gracias [NAME Pedro], ya funciona.",
    "Ya funciona.⏎⏎Un saludo,⏎[NAME Lucía Gómez]",
    "Ya funciona.⏎Atentamente,⏎[NAME José Luis Romero]",
    "Soy [NAME Ana] de contabilidad.",
    "Estimada Sra. [NAME Puig]: ya funciona.",
    "Número de cuenta: [BANK_ACCOUNT_NUMBER 2100 0418 45 0200051332]",
    "Mi móvil es [PHONE 612 34 56 78].",
    "Tlf. [PHONE 912 345 678]",
    "usuario: [USERNAME jlopez9], contraseña: [PASSWORD Sol!2024x]",
    "La contraseña de mi cuenta es [PASSWORD Sol!2024x].",
    "Tengo [AGE 29 años].",
    "Hola a todos, ya funciona.",
    "Hola Equipo,⏎ya funciona.",
    "Estimado cliente: ya funciona.",
    "Estimado Cliente: ya funciona.",
    "Ya funciona.⏎Saludos,⏎Equipo de Soporte",
    "Soy cliente desde hace diez años.",
    "soy de aquí y me llamo poco la atención",
    "La contraseña es incorrecta.",
];

/// A text with the kinds and bytes that are marked in it.
struct Marked {
    text: Arc<str>,
    marks: Vec<(PiiKind, std::ops::Range<usize>)>,
}

fn marked(line: &str) -> Marked {
    let (mut text, mut marks) = (String::new(), Vec::new());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        let (mark, after) = after.split_once(']').expect("an end");
        let (kind, part) = mark.split_once(' ').expect("a kind");
        let kind = PiiKind::of_name(kind).expect("a known kind");
        marks.push((kind, text.len()..text.len() + part.len()));
        text.push_str(part);
        rest = after;
    }
    text.push_str(rest);
    Marked {
        text: text.into(),
        marks,
    }
}

fn texts() -> Vec<Marked> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/pii/prose_es.txt"
    );
    let file = std::fs::read_to_string(path).expect("texts");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.map(marked).collect()
}

#[test]
fn shapes_answer_without_a_reading() {
    let finder = load(PiiTask::default(), &english());
    let texts: Vec<Marked> = (CASES.iter())
        .map(|line| marked(&line.replace('⏎', "\n")))
        .collect();
    let batch: Vec<PiiInput> = (texts.iter())
        .map(|marked| PiiInput::new(marked.text.clone(), "es"))
        .collect();
    let mut wrong = Vec::new();
    for (marked, found) in texts.iter().zip(answers(&finder, &batch)) {
        let shown: Vec<_> = (found.iter())
            .map(|entity| (entity.kind, entity.extent.of(&marked.text)))
            .collect();
        let wanted: Vec<_> = (marked.marks.iter())
            .map(|(kind, bytes)| (*kind, &marked.text[bytes.clone()]))
            .collect();
        if shown != wanted {
            let text = &marked.text;
            wrong.push(format!(
                "{text:?}\n   wanted {wanted:?}\n   found  {shown:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn english() -> Store {
    Store::open(StoreOptions::default()).expect("store")
}

/// The user's Spanish model, if they have pulled it, else one that these tests keep: a model that needs consent is
/// not to appear where it would answer the user's requests.
fn spanish() -> Store {
    if let Ok(Some(_)) = english().find(SPANISH_MODEL) {
        return english();
    }
    let own = Store::open(StoreOptions {
        dir: Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/models").into()),
        ..StoreOptions::default()
    });
    let own = own.expect("store");
    let pulled = own.ensure_accepting(SPANISH_MODEL, "GPL-3.0", &Silent);
    pulled.expect("weights");
    own
}

fn load<T: Task>(task: T, store: &Store) -> T::Pipeline {
    let context = LoadContext {
        weights: store,
        target: (&Device::Cpu).into(),
    };
    task.load(&context).expect("weights")
}

fn answers<P: Pipeline>(pipeline: &P, batch: &[P::Input]) -> Vec<P::Output> {
    let answers = pipeline.run(&Compute::cpu(2), batch).into_iter();
    answers.map(|answer| answer.expect("answer")).collect()
}

#[test]
fn names_and_addresses_are_found_where_there_is_a_reading() {
    let texts = texts();
    let batch: Vec<Arc<str>> = texts.iter().map(|marked| marked.text.clone()).collect();
    let reader = load(SyntaxTask::new(SharedModel::spanish()), &spanish());
    let readings: Vec<Syntax> = answers(&reader, &batch);
    let finder = load(PiiTask::default(), &english());
    let input = |text: &Arc<str>| PiiInput::new(text.clone(), "es");
    let bare: Vec<PiiInput> = batch.iter().map(input).collect();
    assert!(
        bare.iter()
            .all(|input| input.may_be_read() && !input.needs_reading())
    );
    let read: Vec<PiiInput> = readings
        .into_iter()
        .zip(&bare)
        .map(|(reading, input)| input.clone().read(Arc::new(reading)))
        .collect();
    assert!(read.iter().all(|input| !input.may_be_read()));
    let of = |found: &Pii, wanted: PiiKind| -> Vec<std::ops::Range<usize>> {
        let of_kind = found.iter().filter(|entity| entity.kind == wanted);
        of_kind
            .map(|entity| entity.extent.begin_byte..entity.extent.end_byte)
            .collect()
    };
    let without = answers(&finder, &bare);
    let with = answers(&finder, &read);
    println!("| kind | marked | precision | recall |\n| --- | --- | --- | --- |");
    // Without a reading the shapes alone answer, about fewer.
    let alone = FLOORS_ALONE.map(|floor| (floor, &without, "alone"));
    let read = FLOORS.map(|floor| (floor, &with, "read"));
    for ((kind, precise, complete), answers, how) in alone.into_iter().chain(read) {
        let (mut right, mut said, mut meant) = (0, 0, 0);
        for (marked, found) in texts.iter().zip(answers) {
            let found = of(found, kind);
            let wanted: Vec<_> = marked.marks.iter().filter(|(k, _)| *k == kind).collect();
            said += found.len();
            meant += wanted.len();
            for part in &found {
                match wanted.iter().any(|(_, bytes)| bytes == part) {
                    true => right += 1,
                    false => eprintln!(
                        "{kind:?} {:?} in {}",
                        &marked.text[part.clone()],
                        marked.text
                    ),
                }
            }
        }
        let (precision, recall) = (right as f32 / said as f32, right as f32 / meant as f32);
        println!(
            "| `{}`, {how} | {meant} | {precision:.2} | {recall:.2} |",
            kind.name()
        );
        assert!(
            precision >= precise && recall >= complete,
            "{kind:?} {how}: {precision} {recall}"
        );
    }
    // What the reading adds takes nothing away.
    let shaped: Vec<PiiInput> = ["Mi correo es ana@example.com.", "Llame al 612 34 56 78."]
        .map(|text| input(&text.into()))
        .into();
    let read = |input: &PiiInput| input.clone().read(Arc::default());
    let empty: Vec<PiiInput> = shaped.iter().map(read).collect();
    assert_eq!(answers(&finder, &shaped), answers(&finder, &empty));
}
