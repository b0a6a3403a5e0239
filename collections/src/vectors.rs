//! The descriptors of a collection's faces, in blocks that are searched one by one.
//!
//! A search holds a [`Snapshot`]: the blocks as they were. Writers copy a block that somebody holds before they change
//! it (half a megabyte at most), so that neither waits for the other. A search looks at every face: distances of a
//! block go to a buffer in the first-level cache, what is near enough to a heap of the nearest.

use crate::{Descriptor, FaceId};
use escala_models::kernels::distance::squared_distances;
use escala_models::team::Team;
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Numbers of a descriptor.
pub const WIDTH: usize = 128;

/// Faces of a block.
pub(crate) const BLOCK: usize = 1024;

/// A face that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub id: FaceId,
    /// Euclidean distance of its descriptor to the one that was looked for.
    pub distance: f32,
}

impl Eq for Hit {}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By distance, then by id, so that a search has one answer.
impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        let distance = self.distance.total_cmp(&other.distance);
        distance.then_with(|| self.id.cmp(&other.id))
    }
}

/// Up to [`BLOCK`] faces.
#[derive(Clone)]
struct Block {
    /// `[faces, WIDTH]`, with room for all.
    descriptors: Vec<f32>,
    ids: Vec<FaceId>,
    /// One bit for each face: it is not deleted.
    live: [u64; BLOCK / 64],
}

impl Block {
    fn new() -> Self {
        Self {
            descriptors: Vec::with_capacity(BLOCK * WIDTH),
            ids: Vec::with_capacity(BLOCK),
            live: [0; BLOCK / 64],
        }
    }

    fn is_live(&self, at: usize) -> bool {
        self.live[at / 64] >> (at % 64) & 1 == 1
    }
}

/// The faces' ids and descriptors, by their place in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Vectors {
    blocks: Vec<Arc<Block>>,
    count: usize,
}

impl Vectors {
    /// Places given out, those of deleted faces included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Adds a face; gives its place.
    pub fn push(&mut self, id: FaceId, descriptor: &Descriptor) -> usize {
        let place = self.count;
        if place.is_multiple_of(BLOCK) {
            self.blocks.push(Arc::new(Block::new()));
        }
        let block = self
            .blocks
            .last_mut()
            .expect("a block was just made sure of");
        let block = Arc::make_mut(block);
        // What was cloned has room for what it holds only.
        block
            .descriptors
            .reserve_exact(BLOCK * WIDTH - block.descriptors.len());
        block.ids.reserve_exact(BLOCK - block.ids.len());
        block.descriptors.extend(descriptor);
        block.ids.push(id);
        block.live[place % BLOCK / 64] |= 1 << (place % 64);
        self.count += 1;
        place
    }

    /// The id at a place.
    pub fn id(&self, place: usize) -> Option<FaceId> {
        let block = self.blocks.get(place / BLOCK)?;
        block.ids.get(place % BLOCK).copied()
    }

    /// Whether the face at a place is there and not deleted.
    pub fn is_live(&self, place: usize) -> bool {
        place < self.count && self.blocks[place / BLOCK].is_live(place % BLOCK)
    }

    /// The descriptor at a place.
    pub fn descriptor(&self, place: usize) -> Option<Descriptor> {
        let block = self.blocks.get(place / BLOCK)?;
        let start = place % BLOCK * WIDTH;
        let descriptor = block.descriptors.get(start..start + WIDTH)?;
        descriptor.try_into().ok()
    }

    /// Deletes the face at a place.
    pub fn remove(&mut self, place: usize) {
        if self.is_live(place) {
            let block = Arc::make_mut(&mut self.blocks[place / BLOCK]);
            block.live[place % BLOCK / 64] &= !(1 << (place % 64));
        }
    }

    /// The faces as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            blocks: self.blocks.clone(),
        }
    }
}

/// The faces of a collection at a moment.
pub(crate) struct Snapshot {
    blocks: Vec<Arc<Block>>,
}

impl Snapshot {
    /// The `most` nearest faces within `farthest`, nearest first, leaving out `except`.
    pub fn search(
        &self,
        team: &Team,
        wanted: &Descriptor,
        most: usize,
        farthest: f32,
        except: Option<FaceId>,
    ) -> Vec<Hit> {
        if most == 0 || self.blocks.is_empty() {
            return Vec::new();
        }
        // One stretch of blocks for each thread, cut finer so that a slow one leaves less behind.
        let stretch = self.blocks.len().div_ceil(team.threads() * 4).max(1);
        let stretches: Vec<&[Arc<Block>]> = self.blocks.chunks(stretch).collect();
        let found: Vec<Mutex<Vec<Hit>>> = stretches.iter().map(|_| Mutex::default()).collect();
        team.for_each(stretches.len(), |index| {
            *found[index].lock() = nearest(stretches[index], wanted, most, farthest, except);
        });
        let mut hits: Vec<Hit> = found.into_iter().flat_map(Mutex::into_inner).collect();
        hits.sort_unstable();
        hits.truncate(most);
        hits
    }
}

/// The `most` nearest faces of some blocks, in no order.
fn nearest(
    blocks: &[Arc<Block>],
    wanted: &Descriptor,
    most: usize,
    farthest: f32,
    except: Option<FaceId>,
) -> Vec<Hit> {
    let mut nearest: BinaryHeap<Hit> = BinaryHeap::new();
    let mut limit = farthest * farthest;
    let mut squares = [0f32; BLOCK];
    for block in blocks {
        let squares = &mut squares[..block.ids.len()];
        squared_distances(wanted, &block.descriptors, squares);
        for (at, &square) in squares.iter().enumerate() {
            // Not a number is not near.
            if square <= limit && block.is_live(at) && except != Some(block.ids[at]) {
                nearest.push(Hit {
                    id: block.ids[at],
                    distance: square.sqrt(),
                });
                if nearest.len() > most {
                    nearest.pop();
                    if let Some(farthest) = nearest.peek() {
                        // A little more, because of the root's rounding; the heap decides.
                        limit = limit.min(farthest.distance * farthest.distance * 1.000_001);
                    }
                }
            }
        }
    }
    nearest.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn descriptor(number: u64) -> Descriptor {
        let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    fn distance(a: &Descriptor, b: &Descriptor) -> f64 {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>().sqrt()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_search_finds_what_looking_at_every_face_finds(
            count in 0usize..3000,
            most in 0usize..60,
            farthest in 4f32..6.0,
            gone in prop::collection::vec(0usize..3000, 0..40),
            threads in 1usize..3,
        ) {
            let mut vectors = Vectors::default();
            for number in 0..count {
                let id = Uuid::from_u128(number as u128);
                prop_assert_eq!(vectors.push(id, &descriptor(number as u64)), number);
            }
            let whole = vectors.snapshot();
            for &place in &gone {
                vectors.remove(place);
                prop_assert!(!vectors.is_live(place));
            }
            let wanted = descriptor(u64::MAX / 3);
            let team = Team::new(threads);
            for (snapshot, gone) in [(whole, &[][..]), (vectors.snapshot(), &gone[..])] {
                let except = Some(Uuid::from_u128(7));
                let got = snapshot.search(&team, &wanted, most, farthest, except);
                let mut want: Vec<(f64, u128)> = (0..count)
                    .filter(|number| !gone.contains(number) && *number != 7)
                    .map(|number| (distance(&descriptor(number as u64), &wanted), number as u128))
                    .filter(|(distance, _)| *distance <= f64::from(farthest))
                    .collect();
                want.sort_by(|a, b| a.0.total_cmp(&b.0));
                want.truncate(most);
                prop_assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want) {
                    prop_assert!((f64::from(got.distance) - want.0).abs() < 1e-4);
                }
            }
        }
    }
}
