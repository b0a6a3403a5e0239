//! A task whose pieces are rows of tables: a work that knows tables writes them.

use super::task::{Order, Tools, open};
use super::{Point, Trouble, file_of, part_name};
use crate::job::{Part, Piece, SAMPLES, Sample, Usage};
use crate::work::{Asked, Scored, Tables};
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes of a part that are written at a time.
const BUFFER: usize = 64 << 10;

/// Does a task: its part has what is written for its pieces, one after the other.
///
/// # Errors
/// Those of the work, and of what is read and written.
pub fn execute(tools: &Tools, tables: &dyn Tables, order: &mut Order) -> Result<Part, Trouble> {
    if order.poison {
        let why = "whoever worked on these rows did not come back, too often";
        return Err(Trouble::Fails(why.to_owned()));
    }
    let began = Instant::now();
    let spec = order.spec.clone();
    let name = part_name(&spec.output, &order.fence.job, order.fence.task)?;
    let new = tools.objects.create(&name);
    let new = new.map_err(|error| Trouble::output(&spec.output, &error))?;
    // What is written of a row may be a few bytes.
    let mut new = BufWriter::with_capacity(BUFFER, new);
    let unwritten = |error: std::io::Error| Trouble::output(&spec.output, &error.into());
    let mut part = Part {
        pieces: Vec::with_capacity(order.pieces.len()),
        digest: String::new(),
        usage: Usage::default(),
        samples: Vec::new(),
        failed: Vec::new(),
    };
    let mut digest = Sha256::new();
    let mut before = 0;
    for (at, piece) in order.pieces.clone().into_iter().enumerate() {
        let mut written = 0;
        one(tools, tables, order, piece, before, &mut |key, scored| {
            let file = file_of(&spec.input, key);
            written += scored.bytes.len() as u64;
            digest.update(&scored.bytes);
            new.write_all(&scored.bytes).map_err(unwritten)?;
            if tables.is_strict() && !scored.failed.is_empty() && !part.failed.contains(&at) {
                part.failed.push(at);
            }
            note(&mut part, file, scored);
            Ok(())
        })?;
        before += piece.documents;
        part.pieces.push(written);
        part.usage.read += piece.to - piece.from;
        order
            .live
            .bytes
            .fetch_add(piece.to - piece.from, Ordering::Relaxed);
    }
    let new = new
        .into_inner()
        .map_err(|error| unwritten(error.into_error()))?;
    tools.reach(Point::PartWritten);
    let kept = new.commit();
    kept.map_err(|error| Trouble::output(&spec.output, &error))?;
    tools.reach(Point::PartPublished);
    let digest = digest.finalize();
    part.digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let took = began.elapsed().as_millis() as u64;
    part.usage.written = part.length();
    part.usage.compute_ms = took;
    part.usage.wall_ms = took;
    Ok(part)
}

/// Scores a piece, of a table that is the same before and after; there were so many rows before it.
fn one(
    tools: &Tools,
    tables: &dyn Tables,
    order: &Order,
    piece: Piece,
    before: u64,
    write: &mut (dyn FnMut(&str, Scored) -> Result<(), Trouble> + Send),
) -> Result<(), Trouble> {
    let input = usize::try_from(piece.input)
        .ok()
        .and_then(|number| order.inputs.get(number));
    let input = input.ok_or_else(|| Trouble::Fails("the plan names no such input".to_owned()))?;
    let whole = Piece {
        from: 0,
        to: input.length,
        ..piece
    };
    let is_same = || open(tools, &order.spec, input, whole).map(drop);
    is_same()?;
    let mut rows = 0;
    order.mark(tools, before);
    let mut mid = 0;
    let mut told = |scored: Scored| {
        rows += scored.rows;
        let live = &order.live;
        live.documents.fetch_add(scored.rows, Ordering::Relaxed);
        let failed = scored.failed.len() as u64;
        live.errors.fetch_add(failed, Ordering::Relaxed);
        let written = scored.bytes.len() as u64;
        live.written.fetch_add(written, Ordering::Relaxed);
        write(&input.key, scored)?;
        order.mark(tools, before + rows);
        mid += 1;
        if mid == 1 {
            tools.reach(Point::MidBatch);
        }
        Ok(())
    };
    let mut cancelled = order.cancelled.clone();
    let asked = Asked {
        key: &input.key,
        piece,
        one_by_one: order.suspect,
    };
    let scoring = tables.score(&order.spec, asked, &mut told);
    tools.runtime.block_on(async {
        tokio::select! {
            biased;
            // One who cannot cancel any more does not need the task either.
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(Trouble::Rest),
            scored = scoring => scored,
        }
    })?;
    is_same()?;
    match rows == piece.documents {
        true => Ok(()),
        false => Err(Trouble::changed(&input.key)),
    }
}

/// Counts rows.
fn note(part: &mut Part, file: &str, scored: Scored) {
    let usage = &mut part.usage;
    usage.documents += scored.rows;
    usage.errors += scored.failed.len() as u64;
    usage.characters += scored.counted.characters;
    usage.units += scored.counted.units;
    usage.tokens += scored.counted.tokens;
    usage.pixels += scored.counted.pixels;
    for (row, failed) in scored.failed {
        if part.samples.len() >= SAMPLES {
            break;
        }
        part.samples.push(Sample {
            file: file.to_owned(),
            line: Some(row),
            code: failed.code,
            message: failed.message,
        });
    }
}
