//! Scans of baseline and extended sequential files.

use super::Threads;
use super::bits::{Bits, extend};
use super::coefficients::Coefficients;
use super::halves;
use super::huffman::{AcTable, DcTable};
use super::markers::{Frame, Reader, Scan, ZIGZAG};
use super::render::Renderer;
use super::stream::Stream;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;

/// Rows of units that may be under way between the one who reads codes and the one who makes pixels.
const UNDER_WAY: usize = 6;

/// A component as a scan needs it.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub component: usize,
    dc: &'a DcTable,
    ac: &'a AcTable,
    pub across: usize,
    pub down: usize,
    /// The last first coefficient, to which the next is a difference.
    pub last: i32,
    /// Whether first coefficients are all that anybody looks at.
    flat: bool,
}

fn parts<'a>(scan: &'a Scan, frame: &Frame) -> Option<Vec<Part<'a>>> {
    let parts = scan.components.iter().map(|part| {
        let component = &frame.components[part.component];
        Some(Part {
            component: part.component,
            dc: part.dc.as_deref()?,
            ac: part.ac.as_deref()?,
            across: component.across,
            down: component.down,
            last: 0,
            flat: false,
        })
    });
    parts.collect()
}

/// Units of a scan, counted for restarts.
pub(super) struct Units<'a> {
    stream: &'a Stream,
    interval: usize,
    left: usize,
    part: usize,
}

impl<'a> Units<'a> {
    /// The scan's, and its first part's reader. `None` when the number of parts is not that of `units`.
    pub fn new(stream: &'a Stream, interval: usize, units: usize) -> Option<(Self, Bits<'a>)> {
        let wanted = match interval {
            0 => 1,
            some => units.div_ceil(some),
        };
        // A restart marker behind the last unit is harmless.
        if stream.parts() != wanted && stream.parts() != wanted + 1 {
            return None;
        }
        let units = Self {
            stream,
            interval,
            left: if interval == 0 { usize::MAX } else { interval },
            part: 0,
        };
        Some((units, Bits::new(stream.part(0)?)))
    }

    /// Whether the coder began anew before the next unit; `bits` is then the new part's. `None` when the last part was too short.
    #[inline(always)]
    pub fn next(&mut self, bits: &mut Bits<'a>) -> Option<bool> {
        if self.left > 0 {
            self.left -= 1;
            return Some(false);
        }
        if bits.is_over() {
            return None;
        }
        self.part += 1;
        *bits = Bits::new(self.stream.part(self.part)?);
        self.left = self.interval - 1;
        Some(true)
    }
}

/// Reads a block, or its first coefficient alone where no more is wanted.
#[inline(always)]
fn block<const FLAT: bool>(
    shared: &mut Bits<'_>,
    (dc, ac): (&DcTable, &AcTable),
    last: &mut i32,
    to: &mut [i16; 64],
) -> Option<()> {
    // In registers meanwhile.
    let mut bits = *shared;
    if !FLAT {
        *to = [0; 64];
    }
    bits.fill();
    *last = last.wrapping_add(dc.read(&mut bits)?);
    to[0] = *last as i16;
    let mut put = |place: usize, value: i16| {
        if !FLAT {
            to[usize::from(ZIGZAG[place & 63])] = value;
        }
    };
    let mut place = 1;
    while place < 64 {
        bits.fill();
        // 56 bits are two short coefficients of at most 10 bits each and a long one of at most 31.
        let mut entry = ac.look(&bits);
        for _ in 0..2 {
            if entry.value() == 0 {
                break;
            }
            bits.skip(entry.bits());
            place += entry.run();
            put(place, entry.value());
            place += 1;
            if place >= 64 {
                *shared = bits;
                return (place == 64).then_some(());
            }
            entry = ac.look(&bits);
        }
        if entry.value() != 0 {
            bits.skip(entry.bits());
            place += entry.run();
            put(place, entry.value());
            place += 1;
            continue;
        }
        let symbol = ac.symbol(entry, &mut bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                *shared = bits;
                return Some(());
            }
            place += 16;
            continue;
        }
        place += run;
        put(place, extend(bits.take(size), size) as i16);
        place += 1;
    }
    *shared = bits;
    (place == 64).then_some(())
}

/// Units of a row of units, `stop` being a bit of the stream from which on none begins.
pub(super) struct Run {
    pub row: usize,
    pub units: std::ops::Range<usize>,
    pub stop: usize,
}

/// Reads units of a row of `to`; answers the first that was not read.
#[inline(always)]
fn units_portable<'a>(
    parts: &mut [Part<'_>],
    (counted, bits): (&mut Units<'a>, &mut Bits<'a>),
    to: &mut Coefficients,
    run: Run,
) -> Option<usize> {
    for unit in run.units.clone() {
        if bits.place() >= run.stop {
            return Some(unit);
        }
        if counted.next(bits)? {
            parts.iter_mut().for_each(|part| part.last = 0);
        }
        for part in &mut *parts {
            let tables = (part.dc, part.ac);
            let plane = to.plane(part.component);
            for down in 0..part.down {
                for across in 0..part.across {
                    let row = run.row * part.down + down;
                    let to = plane.block(row, unit * part.across + across)?;
                    if part.flat {
                        block::<true>(bits, tables, &mut part.last, to)?;
                    } else {
                        block::<false>(bits, tables, &mut part.last, to)?;
                    }
                }
            }
        }
    }
    (!bits.is_over()).then_some(run.units.end)
}

/// The portable code, compiled for shifts by any register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn units_bmi2<'a>(
    parts: &mut [Part<'_>],
    from: (&mut Units<'a>, &mut Bits<'a>),
    to: &mut Coefficients,
    run: Run,
) -> Option<usize> {
    units_portable(parts, from, to, run)
}

pub(super) fn units<'a>(
    parts: &mut [Part<'_>],
    from: (&mut Units<'a>, &mut Bits<'a>),
    to: &mut Coefficients,
    run: Run,
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
    {
        // SAFETY: the processor has AVX2, BMI1 and BMI2.
        return unsafe { units_bmi2(parts, from, to, run) };
    }
    units_portable(parts, from, to, run)
}

impl Run {
    /// A whole row of units.
    fn whole(frame: &Frame, row: usize) -> Self {
        Self {
            row,
            units: 0..frame.units_across(),
            stop: usize::MAX,
        }
    }
}

/// Decodes a file's only scan to pixels.
pub fn stream(
    reader: &mut Reader<'_>,
    scan: &Scan,
    frame: &Frame,
    renderer: Renderer,
    threads: &dyn Threads,
) -> Option<Vec<u8>> {
    let mut stream = Stream::default();
    reader.at = stream.read(reader.bytes(), reader.at)?;
    let mut parts = parts(scan, frame)?;
    for part in &mut parts {
        part.flat = renderer.is_flat(part.component);
    }
    if scan.interval == 0 && threads.count() > 1 && halves::pays(&stream, frame, &renderer) {
        return halves::read(&stream, frame, parts, renderer, threads);
    }
    let rows = frame.units_down();
    let way = Way {
        state: Mutex::new(State {
            full: VecDeque::new(),
            empty: (0..UNDER_WAY.min(rows))
                .map(|_| Coefficients::new(frame, 1))
                .collect(),
            is_over: false,
        }),
        more: Condvar::new(),
        renderer: Mutex::new(renderer),
    };
    let read = |mut parts: Vec<Part<'_>>| {
        let all = frame.units_across() * rows;
        let (mut counted, mut bits) = Units::new(&stream, scan.interval, all)?;
        for _ in 0..rows {
            let mut row = way.room();
            let run = Run::whole(frame, 0);
            units(&mut parts, (&mut counted, &mut bits), &mut row, run)?;
            way.put(row);
        }
        Some(())
    };
    let parts = Mutex::new(Some(parts));
    threads.run(&|thread| {
        let first = if thread == 0 {
            parts.lock().take()
        } else {
            None
        };
        if let Some(parts) = first {
            let _end = End(&way);
            // What is missing is noticed at the end.
            let _ = read(parts);
        } else if thread == 1 {
            way.help();
        }
    });
    while way.render() {}
    way.renderer.into_inner().finish()
}

/// Reads a scan of a sequential file that has several.
pub fn scan(
    reader: &mut Reader<'_>,
    scan: &Scan,
    frame: &Frame,
    to: &mut Coefficients,
) -> Option<()> {
    let mut stream = Stream::default();
    reader.at = stream.read(reader.bytes(), reader.at)?;
    let mut parts = parts(scan, frame)?;
    if let [part] = &mut parts[..] {
        let (across, down) = frame.blocks_of(&frame.components[part.component]);
        let (mut counted, mut bits) = Units::new(&stream, scan.interval, across * down)?;
        let plane = to.plane(part.component);
        for row in 0..down {
            for column in 0..across {
                if counted.next(&mut bits)? {
                    part.last = 0;
                }
                let to = plane.block(row, column)?;
                block::<false>(&mut bits, (part.dc, part.ac), &mut part.last, to)?;
            }
        }
        return (!bits.is_over()).then_some(());
    }
    let rows = frame.units_down();
    let all = frame.units_across() * rows;
    let (mut counted, mut bits) = Units::new(&stream, scan.interval, all)?;
    for row in 0..rows {
        let run = Run::whole(frame, row);
        units(&mut parts, (&mut counted, &mut bits), to, run)?;
    }
    Some(())
}

/// Rows of units on their way from the one who reads codes to pixels.
struct Way {
    state: Mutex<State>,
    /// There is a row, or no more will come.
    more: Condvar,
    renderer: Mutex<Renderer>,
}

struct State {
    /// Rows that were read, first the oldest.
    full: VecDeque<Coefficients>,
    /// Room for others.
    empty: Vec<Coefficients>,
    is_over: bool,
}

impl Way {
    /// Room for a row. Where all is full, pixels are made here until there is some, so that nobody depends on a helper.
    fn room(&self) -> Coefficients {
        loop {
            let room = self.state.lock().empty.pop();
            if let Some(room) = room {
                return room;
            }
            self.render();
        }
    }

    fn put(&self, row: Coefficients) {
        self.state.lock().full.push_back(row);
        self.more.notify_one();
    }

    /// Makes pixels of the oldest row, if there is one. Rows stay in order, since only who holds the renderer takes any.
    fn render(&self) -> bool {
        let mut renderer = self.renderer.lock();
        let oldest = self.state.lock().full.pop_front();
        let Some(row) = oldest else { return false };
        renderer.add(&|component| row.rows(component, 0));
        self.state.lock().empty.push(row);
        true
    }

    /// Makes pixels until no more rows come.
    fn help(&self) {
        loop {
            if self.render() {
                continue;
            }
            let mut state = self.state.lock();
            while state.full.is_empty() {
                if state.is_over {
                    return;
                }
                self.more.wait(&mut state);
            }
        }
    }
}

/// Lets helpers go when no more rows come, whatever the reason.
struct End<'a>(&'a Way);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.more.notify_all();
    }
}
