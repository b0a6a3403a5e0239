//! The inverse cosine transform, to blocks of 8 x 8, 4 x 4, 2 x 2 or 1 sample.
//!
//! The results are those of libjpeg's accurate integer transforms: the algorithm of Loeffler, Ligtenberg and Moschytz ("Practical
//! fast 1-D DCT algorithms with 11 multiplications", 1989) with factors of 13 fractional bits, columns first, whose
//! results keep two fractional bits; the smaller ones leave out the frequencies that they do not see. As in
//! libjpeg-turbo's vector code, coefficients times their steps have 16 bits, as do sums of two of these and the
//! columns' results, which only damaged files notice.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::markers::Quantizer;

/// Factors times 8192.
mod factor {
    pub const F0_211: i16 = 1730;
    pub const F0_298: i16 = 2446;
    pub const F0_390: i16 = 3196;
    pub const F0_509: i16 = 4176;
    pub const F0_541: i16 = 4433;
    pub const F0_601: i16 = 4926;
    pub const F0_720: i16 = 5906;
    pub const F0_765: i16 = 6270;
    pub const F0_850: i16 = 6967;
    pub const F0_899: i16 = 7373;
    pub const F1_061: i16 = 8697;
    pub const F1_175: i16 = 9633;
    pub const F1_272: i16 = 10_426;
    pub const F1_451: i16 = 11_893;
    pub const F1_501: i16 = 12_299;
    pub const F1_847: i16 = 15_137;
    pub const F1_961: i16 = 16_069;
    pub const F2_053: i16 = 16_819;
    pub const F2_172: i16 = 17_799;
    pub const F2_562: i16 = 20_995;
    pub const F3_072: i16 = 25_172;
    pub const F3_624: i16 = 29_692;
}
use factor::*;

/// Transforms blocks of 64 coefficients in natural order, an even number, to samples of `size` x `size` each beside each
/// other; `to` is `size` rows long.
pub fn transform(size: usize, blocks: &[i16], quantizer: &Quantizer, to: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if size > 1 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::transform(size, blocks, quantizer, to) };
    }
    transform_portable(size, blocks, quantizer, to);
}

pub(super) fn transform_portable(
    size: usize,
    blocks: &[i16],
    quantizer: &Quantizer,
    to: &mut [u8],
) {
    let stride = to.len() / size;
    for (number, block) in blocks.as_chunks::<64>().0.iter().enumerate() {
        let at = number * size;
        match size {
            8 => put(&eight(block, quantizer), &mut to[at..], stride),
            4 => put(&four(block, quantizer), &mut to[at..], stride),
            2 => put(&two(block, quantizer), &mut to[at..], stride),
            _ => to[at] = one(block, quantizer),
        }
    }
}

fn put<const SIZE: usize>(samples: &[[u8; SIZE]; SIZE], to: &mut [u8], stride: usize) {
    for (row, samples) in samples.iter().enumerate() {
        to[row * stride..][..SIZE].copy_from_slice(samples);
    }
}

/// Columns of coefficients times their steps.
fn frequencies(block: &[i16; 64], quantizer: &Quantizer) -> [[i16; 8]; 8] {
    let scaled = |at: usize| block[at].wrapping_mul(quantizer[at] as i16);
    std::array::from_fn(|column| std::array::from_fn(|row| scaled(8 * row + column)))
}

/// Columns made rows.
fn turned<const SIZE: usize>(columns: [[i16; SIZE]; 8]) -> [[i16; 8]; SIZE] {
    std::array::from_fn(|row| columns.map(|column| column[row]))
}

/// Rounds to 16 bits.
fn narrow<const SHIFT: u32>(value: i32) -> i16 {
    (value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Rounds to a sample; zero is the middle.
fn sample<const SHIFT: u32>(value: i32) -> u8 {
    let value = value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
    (value.clamp(-128, 127) + 128) as u8
}

/// The sum of two products.
fn pair(a: i16, by_a: i16, b: i16, by_b: i16) -> i32 {
    i32::from(a) * i32::from(by_a) + i32::from(b) * i32::from(by_b)
}

/// Eight frequencies to eight places.
fn eight_places(f: [i16; 8]) -> [i32; 8] {
    let near = pair(f[2], F0_541 + F0_765, f[6], F0_541);
    let far = pair(f[2], F0_541, f[6], F0_541 - F1_847);
    let sum = i32::from(f[0].wrapping_add(f[4])) << 13;
    let difference = i32::from(f[0].wrapping_sub(f[4])) << 13;
    let even = [sum + near, difference + far, difference - far, sum - near];
    let (a, b) = (f[7].wrapping_add(f[3]), f[5].wrapping_add(f[1]));
    let (c, d) = (
        pair(a, F1_175 - F1_961, b, F1_175),
        pair(a, F1_175, b, F1_175 - F0_390),
    );
    let odd = [
        pair(f[7], -F0_899, f[1], F1_501 - F0_899).wrapping_add(d),
        pair(f[5], -F2_562, f[3], F3_072 - F2_562).wrapping_add(c),
        pair(f[5], F2_053 - F2_562, f[3], -F2_562).wrapping_add(d),
        pair(f[7], F0_298 - F0_899, f[1], -F0_899).wrapping_add(c),
    ];
    std::array::from_fn(|place| {
        if place < 4 {
            even[place].wrapping_add(odd[place])
        } else {
            even[7 - place].wrapping_sub(odd[7 - place])
        }
    })
}

fn eight(block: &[i16; 64], quantizer: &Quantizer) -> [[u8; 8]; 8] {
    let columns = frequencies(block, quantizer).map(|f| eight_places(f).map(narrow::<11>));
    turned(columns).map(|row| eight_places(row).map(sample::<18>))
}

/// Eight frequencies, all but the fourth, to four places, doubled.
fn four_places(f: [i16; 8]) -> [i32; 4] {
    let first = i32::from(f[0]) << 14;
    let second = pair(f[2], F1_847, f[6], -F0_765);
    let (sum, difference) = (first + second, first - second);
    let near = pair(f[7], -F0_211, f[5], F1_451).wrapping_add(pair(f[3], -F2_172, f[1], F1_061));
    let far = pair(f[7], -F0_509, f[5], -F0_601).wrapping_add(pair(f[3], F0_899, f[1], F2_562));
    [
        sum.wrapping_add(far),
        difference.wrapping_add(near),
        difference.wrapping_sub(near),
        sum.wrapping_sub(far),
    ]
}

fn four(block: &[i16; 64], quantizer: &Quantizer) -> [[u8; 4]; 4] {
    let columns = frequencies(block, quantizer).map(|f| four_places(f).map(narrow::<12>));
    turned(columns).map(|row| four_places(row).map(sample::<19>))
}

/// The first frequency and the odd ones to two places, four times as large.
fn two_places(f: [i16; 8]) -> [i32; 2] {
    let first = i32::from(f[0]) << 15;
    let odd = pair(f[7], -F0_720, f[5], F0_850).wrapping_add(pair(f[3], -F1_272, f[1], F3_624));
    [first.wrapping_add(odd), first.wrapping_sub(odd)]
}

fn two(block: &[i16; 64], quantizer: &Quantizer) -> [[u8; 2]; 2] {
    let columns = frequencies(block, quantizer).map(|f| two_places(f).map(narrow::<13>));
    turned(columns).map(|row| two_places(row).map(sample::<20>))
}

fn one(block: &[i16; 64], quantizer: &Quantizer) -> u8 {
    sample::<3>(i32::from(block[0]) * i32::from(quantizer[0]))
}
