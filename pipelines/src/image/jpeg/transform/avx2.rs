//! Two blocks at once, one in each half of a register; all steps but the last keep to their half.

use super::super::markers::Quantizer;
use super::factor::*;
use std::arch::x86_64::*;

/// As [`super::transform`], for sizes of more than one sample.
#[target_feature(enable = "avx2")]
pub fn transform(size: usize, blocks: &[i16], quantizer: &Quantizer, to: &mut [u8]) {
    let stride = to.len() / size;
    let steps = quantizer.as_chunks::<8>().0;
    let mut both = [_mm256_setzero_si256(); 8];
    for (to, steps) in both.iter_mut().zip(steps) {
        // SAFETY: 16 bytes are read of an array of as many; no alignment is needed.
        *to = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(steps.as_ptr().cast()) });
    }
    for (number, pair) in blocks.as_chunks::<128>().0.iter().enumerate() {
        let to = &mut to[2 * size * number..];
        match size {
            8 => eight(pair, &both, to, stride),
            4 => four(pair, &both, to, stride),
            _ => two(pair, &both, to, stride),
        }
    }
}

/// A row of both blocks.
#[target_feature(enable = "avx2")]
#[inline]
fn row(pair: &[i16; 128], row: usize) -> __m256i {
    let (a, b) = (
        &pair[8 * row..8 * row + 8],
        &pair[64 + 8 * row..72 + 8 * row],
    );
    // SAFETY: 16 bytes are read of each of two slices of as many; no alignment is needed.
    let (a, b) = unsafe {
        (
            _mm_loadu_si128(a.as_ptr().cast()),
            _mm_loadu_si128(b.as_ptr().cast()),
        )
    };
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
}

/// Two factors, of which [`both`] takes the first for its first.
#[target_feature(enable = "avx2")]
#[inline]
fn factors(a: i16, b: i16) -> __m256i {
    _mm256_set1_epi32(i32::from(b) << 16 | i32::from(a) & 0xffff)
}

/// Two rows interleaved: lower columns, upper columns.
type Mixed = [__m256i; 2];

#[target_feature(enable = "avx2")]
#[inline]
fn mix(a: __m256i, b: __m256i) -> Mixed {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

/// As [`mix`], two columns at a time.
#[target_feature(enable = "avx2")]
#[inline]
fn mix2(a: __m256i, b: __m256i) -> Mixed {
    [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)]
}

/// As [`mix`], four columns at a time.
#[target_feature(enable = "avx2")]
#[inline]
fn mix4(a: __m256i, b: __m256i) -> Mixed {
    [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)]
}

/// The sum of the products of two rows with their factors, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn both(mixed: Mixed, a: i16, b: i16) -> Mixed {
    let by = factors(a, b);
    [
        _mm256_madd_epi16(mixed[0], by),
        _mm256_madd_epi16(mixed[1], by),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn plus(a: Mixed, b: Mixed) -> Mixed {
    [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
}

#[target_feature(enable = "avx2")]
#[inline]
fn minus(a: Mixed, b: Mixed) -> Mixed {
    [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
}

/// A row times 2 to the power of `16 - LESS`, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn raised<const LESS: i32>(row: __m256i) -> Mixed {
    let [low, high] = mix(_mm256_setzero_si256(), row);
    [
        _mm256_srai_epi32::<LESS>(low),
        _mm256_srai_epi32::<LESS>(high),
    ]
}

/// Rounds to a row of 16 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn narrow<const SHIFT: i32>(wide: Mixed) -> __m256i {
    let half = _mm256_set1_epi32(1 << (SHIFT - 1));
    _mm256_packs_epi32(
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(wide[0], half)),
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(wide[1], half)),
    )
}

/// Eight frequencies to eight places, one in each register.
#[target_feature(enable = "avx2")]
#[inline]
fn eight_places<const SHIFT: i32>(f: [__m256i; 8]) -> [__m256i; 8] {
    let second = mix(f[2], f[6]);
    let near = both(second, F0_541 + F0_765, F0_541);
    let far = both(second, F0_541, F0_541 - F1_847);
    let sum = raised::<3>(_mm256_add_epi16(f[0], f[4]));
    let difference = raised::<3>(_mm256_sub_epi16(f[0], f[4]));
    let even = [
        plus(sum, near),
        plus(difference, far),
        minus(difference, far),
        minus(sum, near),
    ];
    let sums = mix(_mm256_add_epi16(f[7], f[3]), _mm256_add_epi16(f[5], f[1]));
    let c = both(sums, F1_175 - F1_961, F1_175);
    let d = both(sums, F1_175, F1_175 - F0_390);
    let (outer, inner) = (mix(f[7], f[1]), mix(f[5], f[3]));
    let odd = [
        plus(both(outer, -F0_899, F1_501 - F0_899), d),
        plus(both(inner, -F2_562, F3_072 - F2_562), c),
        plus(both(inner, F2_053 - F2_562, -F2_562), d),
        plus(both(outer, F0_298 - F0_899, -F0_899), c),
    ];
    [
        narrow::<SHIFT>(plus(even[0], odd[0])),
        narrow::<SHIFT>(plus(even[1], odd[1])),
        narrow::<SHIFT>(plus(even[2], odd[2])),
        narrow::<SHIFT>(plus(even[3], odd[3])),
        narrow::<SHIFT>(minus(even[3], odd[3])),
        narrow::<SHIFT>(minus(even[2], odd[2])),
        narrow::<SHIFT>(minus(even[1], odd[1])),
        narrow::<SHIFT>(minus(even[0], odd[0])),
    ]
}

/// Rows of 8 x 8 made columns.
#[target_feature(enable = "avx2")]
#[inline]
fn turn(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let ([a, b], [c, d], [e, f], [g, h]) = (mix(a, b), mix(c, d), mix(e, f), mix(g, h));
    let ([a, b], [c, d], [e, f], [g, h]) = (mix2(a, c), mix2(b, d), mix2(e, g), mix2(f, h));
    let ([a, b], [c, d], [e, f], [g, h]) = (mix4(a, e), mix4(b, f), mix4(c, g), mix4(d, h));
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "avx2")]
#[inline]
fn eight(pair: &[i16; 128], steps: &[__m256i; 8], to: &mut [u8], stride: usize) {
    let mut f = [_mm256_setzero_si256(); 8];
    let mut others = _mm256_setzero_si256();
    for (number, f) in f.iter_mut().enumerate() {
        let row = row(pair, number);
        if number > 0 {
            others = _mm256_or_si256(others, row);
        }
        *f = _mm256_mullo_epi16(row, steps[number]);
    }
    let middle = _mm256_set1_epi8(-128);
    // All but each block's first coefficient.
    let first = _mm256_set_epi64x(-1, !0xffff, -1, !0xffff);
    let others = _mm256_or_si256(others, _mm256_and_si256(row(pair, 0), first));
    if _mm256_testz_si256(others, others) != 0 {
        // (first + 4) / 8 everywhere, which is what the transform gives; the sum keeps to 16 bits where it does there.
        let firsts = _mm256_shufflelo_epi16::<0>(f[0]);
        let firsts = _mm256_unpacklo_epi64(firsts, firsts);
        let all = _mm256_srai_epi16::<3>(_mm256_adds_epi16(firsts, _mm256_set1_epi16(4)));
        let bytes = _mm256_add_epi8(_mm256_packs_epi16(all, all), middle);
        let bytes = _mm256_permute4x64_epi64::<0b10_00_10_00>(bytes);
        for row in 0..8 {
            store(_mm256_castsi256_si128(bytes), &mut to[row * stride..]);
        }
        return;
    }
    let between = turn(eight_places::<11>(f));
    let rows = turn(eight_places::<18>(between));
    for (number, &[a, b]) in rows.as_chunks::<2>().0.iter().enumerate() {
        // Two rows of the first block, then of the second.
        let bytes = _mm256_add_epi8(_mm256_packs_epi16(a, b), middle);
        let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
        let at = 2 * number * stride;
        store(_mm256_castsi256_si128(bytes), &mut to[at..]);
        store(_mm256_extracti128_si256::<1>(bytes), &mut to[at + stride..]);
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(bytes: __m128i, to: &mut [u8]) {
    let to = &mut to[..16];
    // SAFETY: 16 bytes are written to a slice of as many; no alignment is needed.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), bytes) };
}

/// Stores the lower half.
#[target_feature(enable = "avx2")]
#[inline]
fn store_half(bytes: __m128i, to: &mut [u8]) {
    to[..8].copy_from_slice(&_mm_cvtsi128_si64(bytes).to_le_bytes());
}

/// Eight frequencies to four places, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn four_places(f: [__m256i; 8]) -> [Mixed; 4] {
    let first = raised::<2>(f[0]);
    let second = both(mix(f[2], f[6]), F1_847, -F0_765);
    let (sum, difference) = (plus(first, second), minus(first, second));
    let (high, low) = (mix(f[7], f[5]), mix(f[3], f[1]));
    let near = plus(both(high, -F0_211, F1_451), both(low, -F2_172, F1_061));
    let far = plus(both(high, -F0_509, -F0_601), both(low, F0_899, F2_562));
    [
        plus(sum, far),
        plus(difference, near),
        minus(difference, near),
        minus(sum, far),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn four(pair: &[i16; 128], steps: &[__m256i; 8], to: &mut [u8], stride: usize) {
    let zero = _mm256_setzero_si256();
    let mut f = [zero; 8];
    for (number, f) in f.iter_mut().enumerate() {
        *f = _mm256_mullo_epi16(row(pair, number), steps[number]);
    }
    let [a, b, c, d] = four_places(f);
    let (a, b) = (narrow::<12>(a), narrow::<12>(b));
    let (c, d) = (narrow::<12>(c), narrow::<12>(d));
    // Columns of four; what is beside them is left.
    let [[a, _], [b, _], [c, _], [d, _]] = four_places(turn([a, b, c, d, zero, zero, zero, zero]));
    let columns = _mm256_packs_epi16(narrow::<19>([a, b]), narrow::<19>([c, d]));
    let columns = _mm256_add_epi8(columns, _mm256_set1_epi8(-128));
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    ));
    let rows = _mm256_shuffle_epi8(columns, order);
    let (first, second) = (
        _mm256_castsi256_si128(rows),
        _mm256_extracti128_si256::<1>(rows),
    );
    let upper = _mm_unpacklo_epi32(first, second);
    let lower = _mm_unpackhi_epi32(first, second);
    store_half(upper, to);
    store_half(_mm_unpackhi_epi64(upper, upper), &mut to[stride..]);
    store_half(lower, &mut to[2 * stride..]);
    store_half(_mm_unpackhi_epi64(lower, lower), &mut to[3 * stride..]);
}

#[target_feature(enable = "avx2")]
#[inline]
fn two(pair: &[i16; 128], steps: &[__m256i; 8], to: &mut [u8], stride: usize) {
    let first = raised::<1>(_mm256_mullo_epi16(row(pair, 0), steps[0]));
    let one = _mm256_mullo_epi16(row(pair, 1), steps[1]);
    let three = _mm256_mullo_epi16(row(pair, 3), steps[3]);
    let five = _mm256_mullo_epi16(row(pair, 5), steps[5]);
    let seven = _mm256_mullo_epi16(row(pair, 7), steps[7]);
    let odd = plus(
        both(mix(seven, five), -F0_720, F0_850),
        both(mix(three, one), -F1_272, F3_624),
    );
    let upper = narrow::<13>(plus(first, odd));
    let lower = narrow::<13>(minus(first, odd));
    // The same along the rows: products of the odd columns, summed.
    let by =
        _mm256_broadcastsi128_si256(_mm_setr_epi16(0, F3_624, 0, -F1_272, 0, F0_850, 0, -F0_720));
    let odd = _mm256_hadd_epi32(_mm256_madd_epi16(upper, by), _mm256_madd_epi16(lower, by));
    // Upper row, lower row, and once more.
    let odd = _mm256_hadd_epi32(odd, odd);
    let first = _mm256_unpacklo_epi16(upper, lower);
    let first = _mm256_unpacklo_epi16(_mm256_setzero_si256(), first);
    let first = _mm256_srai_epi32::<1>(first);
    let (left, right) = (_mm256_add_epi32(first, odd), _mm256_sub_epi32(first, odd));
    // Left and right of the upper row, then of the lower.
    let both = _mm256_unpacklo_epi32(left, right);
    let words = narrow::<20>([both, both]);
    let bytes = _mm256_packs_epi16(words, words);
    let bytes = _mm256_add_epi8(bytes, _mm256_set1_epi8(-128));
    let a = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)).to_le_bytes();
    let b = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(bytes)).to_le_bytes();
    to[..4].copy_from_slice(&[a[0], a[1], b[0], b[1]]);
    to[stride..stride + 4].copy_from_slice(&[a[2], a[3], b[2], b[3]]);
}
