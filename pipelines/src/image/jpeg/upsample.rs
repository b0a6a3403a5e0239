//! Rows of samples made as wide and as many as the picture's, as libjpeg does it.
//!
//! "Fancy" upsampling weighs the nearer sample with three quarters and the farther with one, across and down. At the edges
//! the nearest sample stands for those that are missing.

/// How a component's rows become the picture's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsampling {
    /// They are.
    None,
    /// Twice as wide, weighed.
    Across,
    /// Twice as many, weighed.
    Down,
    /// Both.
    Both,
    /// Each sample so many times across, each row as often as is needed.
    Repeat(usize),
}

impl Upsampling {
    /// For so many times across and down. `fancy` says whether samples are weighed at all, `wide` whether rows are long
    /// enough to weigh across.
    pub fn new(times: (usize, usize), fancy: bool, wide: bool) -> Self {
        match times {
            (1, 1) => Self::None,
            (2, 1) if fancy && wide => Self::Across,
            (1, 2) if fancy => Self::Down,
            (2, 2) if fancy && wide => Self::Both,
            (across, _) => Self::Repeat(across),
        }
    }
}

/// Makes a row of pixels' samples in `to`. `near` and `far` are equally long; `place` counts the lines of pixels of the
/// near row. `sums` has room for two more than a row.
pub fn upsample(
    upsampling: Upsampling,
    (near, far): (&[u8], &[u8]),
    place: usize,
    to: &mut [u8],
    sums: &mut [u16],
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { upsample_avx2(upsampling, (near, far), place, to, sums) };
    }
    upsample_portable(upsampling, (near, far), place, to, sums);
}

/// The portable code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn upsample_avx2(
    upsampling: Upsampling,
    (near, far): (&[u8], &[u8]),
    place: usize,
    to: &mut [u8],
    sums: &mut [u16],
) {
    upsample_portable(upsampling, (near, far), place, to, sums);
}

#[inline(always)]
pub(super) fn upsample_portable(
    upsampling: Upsampling,
    (near, far): (&[u8], &[u8]),
    place: usize,
    to: &mut [u8],
    sums: &mut [u16],
) {
    let width = near.len();
    match upsampling {
        Upsampling::None => to[..width].copy_from_slice(near),
        Upsampling::Across => {
            for (sum, &near) in sums[1..=width].iter_mut().zip(near) {
                *sum = near.into();
            }
            across::<2, 1, 2>(sums, width, to);
        }
        Upsampling::Both => {
            for ((sum, &near), &far) in sums[1..=width].iter_mut().zip(near).zip(far) {
                *sum = 3 * u16::from(near) + u16::from(far);
            }
            across::<4, 8, 7>(sums, width, to);
        }
        Upsampling::Down => {
            let round = 1 + place as u16;
            for ((to, &near), &far) in to.iter_mut().zip(near).zip(far) {
                *to = ((3 * u16::from(near) + u16::from(far) + round) >> 2) as u8;
            }
        }
        Upsampling::Repeat(2) => {
            for (to, &near) in to.as_chunks_mut::<2>().0.iter_mut().zip(near) {
                *to = [near; 2];
            }
        }
        Upsampling::Repeat(times) => {
            for (to, &near) in to.chunks_exact_mut(times).zip(near) {
                to.fill(near);
            }
        }
    }
}

/// Two pixels of each of `width` sums from the second on; those before and behind become their neighbours.
#[inline(always)]
fn across<const SHIFT: u32, const LEFT: u16, const RIGHT: u16>(
    sums: &mut [u16],
    width: usize,
    to: &mut [u8],
) {
    sums[0] = sums[1];
    sums[width + 1] = sums[width];
    let before = &sums[..width];
    let here = &sums[1..=width];
    let behind = &sums[2..width + 2];
    let to = &mut to.as_chunks_mut::<2>().0[..width];
    for (((to, &before), &here), &behind) in to.iter_mut().zip(before).zip(here).zip(behind) {
        let left = (3 * here + before + LEFT) >> SHIFT;
        let right = (3 * here + behind + RIGHT) >> SHIFT;
        // Both are below 256; as one number they are stored at once.
        *to = (left | right << 8).to_le_bytes();
    }
}
