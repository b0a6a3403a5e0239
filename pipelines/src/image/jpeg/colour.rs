//! Red, green and blue of rows of samples.
//!
//! YCbCr is that of JFIF: R = Y + 1.402 (Cr - 128), G = Y - 0.34414 (Cb - 128) - 0.71414 (Cr - 128),
//! B = Y + 1.772 (Cb - 128), with factors in 16 fractional bits, rounded as libjpeg rounds them.

/// Factors times 65,536.
const RED_CR: i32 = 91_881;
const GREEN_CB: i32 = -22_554;
const GREEN_CR: i32 = -46_802;
const BLUE_CB: i32 = 116_130;
const HALF: i32 = 1 << 15;

/// Pixels of a row. All rows are equally long, `to` three times as long.
pub fn from_ycbcr(luma: &[u8], blue: &[u8], red: &[u8], to: &mut [u8]) {
    let done = {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { avx2::from_ycbcr(luma, blue, red, to) }
        } else {
            0
        }
        #[cfg(not(target_arch = "x86_64"))]
        0
    };
    from_ycbcr_portable(
        &luma[done..],
        &blue[done..],
        &red[done..],
        &mut to[3 * done..],
    );
}

pub(super) fn from_ycbcr_portable(luma: &[u8], blue: &[u8], red: &[u8], to: &mut [u8]) {
    let pixels = to.as_chunks_mut::<3>().0.iter_mut();
    for (((to, &y), &cb), &cr) in pixels.zip(luma).zip(blue).zip(red) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let colours = [
            y + ((RED_CR * cr + HALF) >> 16),
            y + ((GREEN_CB * cb + GREEN_CR * cr + HALF) >> 16),
            y + ((BLUE_CB * cb + HALF) >> 16),
        ];
        *to = colours.map(|value| value.clamp(0, 255) as u8);
    }
}

/// Three rows of colours side by side.
pub fn together(red: &[u8], green: &[u8], blue: &[u8], to: &mut [u8]) {
    let pixels = to.as_chunks_mut::<3>().0.iter_mut();
    for (((to, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
        *to = [red, green, blue];
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLUE_CB, GREEN_CB, GREEN_CR, RED_CR};
    use std::arch::x86_64::*;

    /// Where the bytes of a colour go in a third of 16 pixels' 48 bytes; 0x80 where another colour's go.
    const PLACES: [[[i8; 16]; 3]; 3] = {
        let mut places = [[[-128; 16]; 3]; 3];
        let mut byte = 0;
        while byte < 48 {
            places[byte % 3][byte / 16][byte % 16] = (byte / 3) as i8;
            byte += 1;
        }
        places
    };

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(from: &[u8; 32]) -> __m256i {
        // SAFETY: 32 bytes are read of an array of 32; no alignment is needed.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    /// Whole groups of 32 pixels; answers how many pixels these are.
    #[target_feature(enable = "avx2")]
    pub fn from_ycbcr(luma: &[u8], blue: &[u8], red: &[u8], to: &mut [u8]) -> usize {
        let zero = _mm256_setzero_si256();
        let middle = _mm256_set1_epi16(128);
        let one = _mm256_set1_epi16(1);
        let places = PLACES.map(|colour| {
            colour.map(|third| {
                // SAFETY: 16 bytes are read of an array of 16; no alignment is needed.
                _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(third.as_ptr().cast()) })
            })
        });
        // Products with more than 16 bits are made of the doubled difference's upper half, halved with rounding; whole
        // multiples are added. For green both products are summed in 32 bits.
        let red_part = _mm256_set1_epi16((RED_CR - 65_536) as i16);
        let blue_part = _mm256_set1_epi16((BLUE_CB - 2 * 65_536) as i16);
        let green_parts = _mm256_set1_epi32((GREEN_CR + 65_536) << 16 | GREEN_CB & 0xffff);
        let half = _mm256_set1_epi32(1 << 15);
        // Pixels 0 to 7 and 16 to 23, or the others, as 16 bits each.
        let colours = |y: __m256i, cb: __m256i, cr: __m256i| {
            let (cb, cr) = (_mm256_sub_epi16(cb, middle), _mm256_sub_epi16(cr, middle));
            let (cb2, cr2) = (_mm256_add_epi16(cb, cb), _mm256_add_epi16(cr, cr));
            let halved = |product| _mm256_srai_epi16::<1>(_mm256_add_epi16(product, one));
            let r = _mm256_add_epi16(cr, halved(_mm256_mulhi_epi16(cr2, red_part)));
            let b = _mm256_add_epi16(cb2, halved(_mm256_mulhi_epi16(cb2, blue_part)));
            let sum = |pairs| {
                let sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, green_parts), half);
                _mm256_srai_epi32::<16>(sum)
            };
            let g = _mm256_packs_epi32(
                sum(_mm256_unpacklo_epi16(cb, cr)),
                sum(_mm256_unpackhi_epi16(cb, cr)),
            );
            [
                _mm256_add_epi16(y, r),
                _mm256_add_epi16(y, _mm256_sub_epi16(g, cr)),
                _mm256_add_epi16(y, b),
            ]
        };
        let mut done = 0;
        let rows = luma
            .as_chunks()
            .0
            .iter()
            .zip(blue.as_chunks().0)
            .zip(red.as_chunks().0);
        for (((y, cb), cr), to) in rows.zip(to.as_chunks_mut::<96>().0) {
            let (y, cb, cr) = (load(y), load(cb), load(cr));
            let low = |bytes| _mm256_unpacklo_epi8(bytes, zero);
            let high = |bytes| _mm256_unpackhi_epi8(bytes, zero);
            let [r0, g0, b0] = colours(low(y), low(cb), low(cr));
            let [r1, g1, b1] = colours(high(y), high(cb), high(cr));
            let all = [
                _mm256_packus_epi16(r0, r1),
                _mm256_packus_epi16(g0, g1),
                _mm256_packus_epi16(b0, b1),
            ];
            // A third of the 48 bytes of pixels 0 to 15, and beside it the same of pixels 16 to 31.
            let third = |number: usize| {
                let [r, g, b] = [0, 1, 2]
                    .map(|colour: usize| _mm256_shuffle_epi8(all[colour], places[colour][number]));
                _mm256_or_si256(_mm256_or_si256(r, g), b)
            };
            let (a, b, c) = (third(0), third(1), third(2));
            let out = [
                _mm256_permute2x128_si256::<0x20>(a, b),
                _mm256_permute2x128_si256::<0x30>(c, a),
                _mm256_permute2x128_si256::<0x31>(b, c),
            ];
            for (to, out) in to.as_chunks_mut::<32>().0.iter_mut().zip(out) {
                // SAFETY: 32 bytes are written to an array of 32; no alignment is needed.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), out) };
            }
            done += 32;
        }
        done
    }
}
