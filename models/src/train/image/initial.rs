//! Values to begin with where nothing was learned before.
//!
//! Weights are drawn as He et al. 2015 (arXiv:1502.01852) draw them, by what a convolution feeds; then each convolution is
//! normalised, in the order in which an image meets them: what it gives for the first images has, channel by channel, mean 0 and
//! deviation 1. That is a batch normalisation with factor 1 and offset 0 and these images' statistics, folded in as those of a
//! network that has learned are (and, but for the channels' means, what Mishkin and Matas 2016, arXiv:1511.06422, found to be
//! enough without one). What a block adds to its own input is a fifth of that: so the network begins nearly as deep as it would
//! be without these blocks, which is what normalisation does for it while it learns (De and Smith 2020, arXiv:2002.10444). The
//! layer for the classes begins near zero.

use super::layers::{Depthwise, Linear, Stem};
use super::network::{FINAL, FRAMED, LAYER, convolutions, framed};
use crate::efficientnet::{FEATURES, INPUT, SIDE, blocks};
use crate::error::{Error, Result};
use crate::kernels::{Activation, Isa};
use crate::team::Team;
use crate::train::classifier::Learned;
use crate::train::random;
use std::sync::{Mutex, PoisonError};

/// Most images whose statistics normalise.
pub(super) const IMAGES: usize = 16;
/// Added to variances, as the network's own normalisations do.
const EPSILON: f64 = 1e-3;
/// What is left of a block beside which its input goes on.
const BESIDE: f32 = 0.2;
/// Deviation of the weights of the layer for the classes.
const LAYER_DEVIATION: f64 = 0.01;

/// The map of an image, channels last.
type Map = Vec<f32>;

/// Bytes that [`parameters`] takes at most, beside what it is given and what it gives.
pub(super) fn memory() -> u64 {
    let mut side = SIDE / 2;
    let mut most = side * side * blocks().first().map_or(0, |block| block.inputs);
    for block in blocks() {
        let (frame, output) = framed(side, &block);
        let inner = block.inner();
        let before = side * side * (block.inputs + inner) + frame.len(inner);
        let after = output * output * (inner + block.outputs);
        most = most.max(before + after);
        side = output;
    }
    (IMAGES * most * size_of::<f32>()) as u64
}

/// The parameters of a network for `classes`, drawn from `seed` and normalised on the images `pixels`
/// (`[SIDE, SIDE, 3]` each, [`IMAGES`] at most): named, shaped and ordered as the others.
pub(super) fn parameters(
    classes: usize,
    pixels: &[f32],
    seed: u64,
    team: &Team,
) -> Result<Vec<Learned>> {
    let mut drawn = Vec::new();
    for (number, convolution) in convolutions().into_iter().enumerate() {
        let [outputs, _, high, wide] = convolution.shape;
        let inputs = convolution.shape[1];
        // A depthwise filter feeds its own channel alone.
        let fed = high * wide * if inputs == 1 { 1 } else { outputs };
        let count = convolution.shape.iter().product();
        let weight = normal(
            count,
            (2.0 / fed as f64).sqrt(),
            random(seed, number as u64),
        );
        drawn.push((convolution.name, convolution.shape.to_vec(), weight));
    }
    let mut begun = Begun {
        drawn: drawn.into_iter(),
        done: Vec::new(),
        team,
        isa: Isa::best(),
    };
    let maps = begun.stem(pixels)?;
    begun.blocks(maps)?;
    let mut done = begun.done;
    let weight = normal(
        classes * FEATURES,
        LAYER_DEVIATION,
        random(seed, done.len() as u64),
    );
    done.push((format!("{LAYER}.weight"), vec![classes, FEATURES], weight));
    done.push((format!("{LAYER}.bias"), vec![classes], vec![0.0; classes]));
    Ok(done)
}

/// The network as far as it is normalised.
struct Begun<'a, D> {
    drawn: D,
    done: Vec<Learned>,
    team: &'a Team,
    isa: Isa,
}

impl<D: Iterator<Item = Learned>> Begun<'_, D> {
    fn next(&mut self) -> Result<Learned> {
        let next = self.drawn.next();
        next.ok_or_else(|| Error::unsupported("a convolution is missing"))
    }

    /// What `layer` makes of each of so many maps, by the team.
    fn each(&self, count: usize, layer: impl Fn(usize) -> Map + Sync) -> Vec<Map> {
        let slots: Vec<Mutex<Map>> = (0..count).map(|_| Mutex::default()).collect();
        self.team.for_each(count, |index| {
            *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = layer(index);
        });
        slots
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    /// Folds the statistics of what a convolution gave, `maps`, into it, and into them.
    fn normalise(&mut self, (name, shape, mut weight): Learned, maps: &mut [Map]) {
        let channels = shape[0];
        let (mut sums, mut squares, mut count) = (vec![0f64; channels], vec![0f64; channels], 0);
        for pixel in maps.iter().flat_map(|map| map.chunks_exact(channels)) {
            count += 1;
            for ((value, sum), square) in pixel.iter().zip(&mut sums).zip(&mut squares) {
                *sum += f64::from(*value);
                *square += f64::from(*value) * f64::from(*value);
            }
        }
        let count = f64::from(count.max(1));
        let (mut scales, mut bias) = (vec![0f32; channels], vec![0f32; channels]);
        for channel in 0..channels {
            let mean = sums[channel] / count;
            let variance = (squares[channel] / count - mean * mean).max(0.0);
            let scale = 1.0 / (variance + EPSILON).sqrt();
            (scales[channel], bias[channel]) = (scale as f32, (-mean * scale) as f32);
        }
        for pixel in maps
            .iter_mut()
            .flat_map(|map| map.chunks_exact_mut(channels))
        {
            for ((value, scale), bias) in pixel.iter_mut().zip(&scales).zip(&bias) {
                *value = *value * scale + bias;
            }
        }
        let filter = weight.len() / channels.max(1);
        for (filter, scale) in weight.chunks_exact_mut(filter.max(1)).zip(&scales) {
            filter.iter_mut().for_each(|value| *value *= scale);
        }
        self.done.push((format!("{name}.weight"), shape, weight));
        self.done
            .push((format!("{name}.bias"), vec![channels], bias));
    }

    fn stem(&mut self, pixels: &[f32]) -> Result<Vec<Map>> {
        let drawn = self.next()?;
        let channels = drawn.1[0];
        let stem = Stem::new(&drawn.2, &vec![0.0; channels], FRAMED, self.isa);
        let (side, row) = (SIDE / 2, FRAMED * 3);
        let mut maps = self.each(pixels.len() / INPUT, |index| {
            let mut image = vec![0.0; FRAMED * row];
            let rows = pixels[index * INPUT..][..INPUT].chunks_exact(SIDE * 3);
            for (framed, pixels) in image.chunks_exact_mut(row).zip(rows) {
                framed[..SIDE * 3].copy_from_slice(pixels);
            }
            let mut map = vec![0.0; side * side * channels];
            for (y, out) in map.chunks_exact_mut(side * channels).enumerate() {
                stem.forward(&image, y, out, Activation::None);
            }
            map
        });
        self.normalise(drawn, &mut maps);
        relu6(&mut maps);
        Ok(maps)
    }

    fn pointwise(&mut self, maps: &[Map]) -> Result<Vec<Map>> {
        let drawn = self.next()?;
        let channels = drawn.1[0];
        let linear = Linear::new(&drawn.2, &vec![0.0; channels], self.isa);
        let mut made = self.each(maps.len(), |index| {
            let map = &maps[index];
            let mut out = vec![0.0; map.len() / linear.inputs * channels];
            linear.forward(map, &mut out, Activation::None, None);
            out
        });
        self.normalise(drawn, &mut made);
        Ok(made)
    }

    fn blocks(&mut self, mut maps: Vec<Map>) -> Result<()> {
        let mut side = SIDE / 2;
        for block in blocks() {
            let inner = block.inner();
            let (frame, output) = framed(side, &block);
            let mut wide = match block.expand > 1 {
                true => {
                    let mut wide = self.pointwise(&maps)?;
                    relu6(&mut wide);
                    wide
                }
                false => maps.clone(),
            };
            let drawn = self.next()?;
            let none = vec![0.0; inner];
            let depthwise = Depthwise::new(
                (&drawn.2, &none),
                (block.side, block.stride),
                frame,
                output,
                self.isa,
            );
            let depthwise = depthwise.map_err(|error| Error::unsupported(error.to_string()))?;
            wide = self.each(wide.len(), |index| {
                let mut within = vec![0.0; frame.len(inner)];
                let rows = wide[index].chunks_exact(side * inner).enumerate();
                for (y, row) in rows {
                    within[frame.at(y, inner)..][..row.len()].copy_from_slice(row);
                }
                let mut out = vec![0.0; output * output * inner];
                for (y, out) in out.chunks_exact_mut(output * inner).enumerate() {
                    depthwise.forward(&within, y, out, Activation::None);
                }
                out
            });
            self.normalise(drawn, &mut wide);
            relu6(&mut wide);
            let mut made = self.pointwise(&wide)?;
            if block.residual() {
                let last = self.done.len().saturating_sub(2);
                let learned = self.done[last..].iter_mut();
                let values = learned.flat_map(|(_, _, values)| values.iter_mut());
                let values = made.iter_mut().flatten().chain(values);
                values.for_each(|value| *value *= BESIDE);
                for (made, map) in made.iter_mut().zip(&maps) {
                    made.iter_mut().zip(map).for_each(|(made, x)| *made += x);
                }
            }
            (maps, side) = (made, output);
        }
        debug_assert_eq!(side * side, FINAL);
        self.pointwise(&maps)?;
        Ok(())
    }
}

fn relu6(maps: &mut [Map]) {
    let values = maps.iter_mut().flatten();
    values.for_each(|value| *value = value.clamp(0.0, 6.0));
}

/// Numbers of mean 0 and this deviation (Box and Muller 1958).
fn normal(count: usize, deviation: f64, seed: u64) -> Vec<f32> {
    // From above 0 to 1, so that it has a logarithm.
    let unit = |index: u64| ((random(seed, index) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (0..count as u64)
        .map(|index| {
            let length = (-2.0 * unit(2 * index).ln()).sqrt();
            let turn = std::f64::consts::TAU * unit(2 * index + 1);
            (deviation * length * turn.cos()) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::augment::Change;
    use super::super::network::{Network, count};
    use super::*;

    #[test]
    fn what_is_drawn_has_its_deviation_and_is_normalised() {
        let numbers = normal(100_000, 0.5, 7);
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        let square = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 1e5;
        assert!(
            mean.abs() < 0.01 && (square.sqrt() - 0.5).abs() < 0.005,
            "{mean} {square}"
        );
        // Images of blots, all different.
        let pixels: Vec<f32> = (0..4 * INPUT)
            .map(|at| {
                let (image, at) = (at / INPUT, at % INPUT);
                let (y, x) = (at / 3 / SIDE, at / 3 % SIDE);
                let blot = random(
                    image as u64,
                    ((y / 28) * 8 + x / 28) as u64 * 3 + (at % 3) as u64,
                );
                (blot >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
            })
            .collect();
        let team = Team::new(2);
        let begun = parameters(3, &pixels, 1, &team).expect("parameters");
        let values: Vec<Vec<f32>> = begun.iter().map(|(_, _, values)| values.clone()).collect();
        assert_eq!(values.iter().map(Vec::len).sum::<usize>(), count(3));
        assert!(values.iter().flatten().all(|value| value.is_finite()));
        // The network itself, after all these layers, has features of the size that normalised ones have: of a normal number's
        // positive part the mean is 0.4.
        let network = Network::new(&values, &team).expect("a network");
        let mut workspace = network.workspace();
        let mut means = Vec::new();
        for image in pixels.chunks_exact(INPUT) {
            network.forward(image, Change::NONE, None, &mut workspace);
            means.push(workspace.features_mean());
        }
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        assert!((0.3..0.5).contains(&mean), "{means:?}");
        let same = parameters(3, &pixels, 1, &team).expect("parameters");
        assert!(same == begun, "the same seed gave other values");
        let other = parameters(3, &pixels, 2, &team).expect("parameters");
        assert!(other != begun, "another seed gave the same values");
    }
}
