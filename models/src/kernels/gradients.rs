//! What training needs beside the forward kernels: activations kept apart from the products, and the
//! backward passes of layer normalisation, GELU and attention.
//!
//! All work on whole rows given as slices, so that a team can share the rows out. The loops are plain
//! Rust over contiguous values; inside an entry point of [`multiversion`](super::simd) the compiler
//! vectorises them for the instruction set, and [`math`] is used where it could not.

use super::math;
use super::simd::{Simd, multiversion};

multiversion! {
    /// `out = gelu(x)`.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn gelu(isa, x: &[f32], out: &mut [f32]) = gelu_body
}

multiversion! {
    /// `out = grad * gelu'(x)`.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn gelu_backward(isa, x: &[f32], grad: &[f32], out: &mut [f32]) = gelu_backward_body
}

multiversion! {
    /// The gradient of [`layer_norm`](super::norm::layer_norm) for its input `x`; what belongs to `gamma`
    /// and `beta` is added to `gamma_grad` and `beta_grad`.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn layer_norm_backward(isa, norm: NormBackward<'_>, out: &mut [f32], gamma_grad: &mut [f32], beta_grad: &mut [f32]) = layer_norm_backward_body
}

multiversion! {
    /// Softmax attention of all heads of one sequence: `out = softmax(scale * Q K^T) V` for each head.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn attention(isa, sequence: Sequence<'_>, out: &mut [f32], scratch: &mut Vec<f32>) = attention_body
}

multiversion! {
    /// The gradients of [`attention`] for queries, keys and values, which must hold zeros before.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn attention_backward(isa, sequence: Sequence<'_>, grad: &[f32], out: [&mut [f32]; 3], scratch: &mut Vec<f32>) = attention_backward_body
}

/// The input of a layer normalisation and the gradient of its result, `[rows, width]` both.
#[derive(Clone, Copy)]
pub struct NormBackward<'a> {
    /// What was normalised.
    pub x: &'a [f32],
    /// The gradient of the result.
    pub grad: &'a [f32],
    /// The factors, `[width]`.
    pub gamma: &'a [f32],
    /// What was added to the variance.
    pub epsilon: f32,
}

/// Queries, keys and values of one sequence, `[tokens, heads * dim]` each.
#[derive(Clone, Copy)]
pub struct Sequence<'a> {
    /// Queries.
    pub queries: &'a [f32],
    /// Keys.
    pub keys: &'a [f32],
    /// Values.
    pub values: &'a [f32],
    /// Number of heads.
    pub heads: usize,
    /// Values of a head.
    pub dim: usize,
}

impl Sequence<'_> {
    fn tokens(&self) -> usize {
        self.queries.len() / (self.heads * self.dim).max(1)
    }
}

/// Writes an `out = f(a, b)` over whole vectors and a part of one. A macro, because a closure would not be
/// compiled for the instruction set of the function it stands in.
macro_rules! zip {
    ($a:expr, $b:expr, $out:expr, |$x:ident, $y:ident| $value:expr) => {{
        let (a, b, out): (&[f32], &[f32], &mut [f32]) = ($a, $b, $out);
        let len = out.len().min(a.len()).min(b.len());
        let whole = len / S::LANES * S::LANES;
        let rest = len - whole;
        let (a, b, out) = (a.as_ptr(), b.as_ptr(), out.as_mut_ptr());
        // SAFETY: every access is below `len`.
        unsafe {
            let mut at = 0;
            while at < whole {
                let ($x, $y) = (S::load(a.add(at)), S::load(b.add(at)));
                S::store(out.add(at), $value);
                at += S::LANES;
            }
            if rest > 0 {
                let ($x, $y) = (
                    S::load_part(a.add(whole), rest),
                    S::load_part(b.add(whole), rest),
                );
                S::store_part(out.add(whole), $value, rest);
            }
        }
    }};
}

#[inline(always)]
unsafe fn gelu_body<S: Simd>(x: &[f32], out: &mut [f32]) {
    zip!(x, x, out, |x, _same| math::gelu::<S>(x));
}

#[inline(always)]
unsafe fn gelu_backward_body<S: Simd>(x: &[f32], grad: &[f32], out: &mut [f32]) {
    zip!(x, grad, out, |x, grad| S::mul(
        grad,
        math::gelu_slope::<S>(x)
    ));
}

#[inline(always)]
unsafe fn layer_norm_backward_body<S: Simd>(
    norm: NormBackward<'_>,
    out: &mut [f32],
    gamma_grad: &mut [f32],
    beta_grad: &mut [f32],
) {
    let width = norm.gamma.len();
    if width == 0 {
        return;
    }
    let count = width as f32;
    let rows = norm
        .x
        .chunks_exact(width)
        .zip(norm.grad.chunks_exact(width))
        .zip(out.chunks_exact_mut(width));
    for ((x, grad), out) in rows {
        let mean = sum(x.iter().copied()) / count;
        let variance = sum(x.iter().map(|x| (x - mean) * (x - mean))) / count;
        let inverse = 1.0 / (variance + norm.epsilon).sqrt();
        // With n = (x - mean) * inverse and d = grad * gamma:
        // out = inverse * (d - mean(d) - n * mean(d * n)).
        for ((out, x), ((grad, gamma), (gamma_grad, beta_grad))) in out.iter_mut().zip(x).zip(
            grad.iter()
                .zip(norm.gamma)
                .zip(gamma_grad.iter_mut().zip(beta_grad.iter_mut())),
        ) {
            let normal = (x - mean) * inverse;
            *gamma_grad += grad * normal;
            *beta_grad += grad;
            *out = grad * gamma;
        }
        let first = sum(out.iter().copied()) / count;
        let second = sum(out.iter().zip(x).map(|(d, x)| d * ((x - mean) * inverse))) / count;
        for (out, x) in out.iter_mut().zip(x) {
            *out = inverse * (*out - first - (x - mean) * inverse * second);
        }
    }
}

/// A sum in sixteen parts, which the compiler may keep in vectors.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut parts = [0f32; 16];
    for (index, value) in values.enumerate() {
        parts[index % 16] += value;
    }
    parts.iter().sum()
}

/// `out += factor * x`.
#[inline(always)]
fn add_scaled(out: &mut [f32], factor: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += factor * x;
    }
}

/// Copies one head of `[tokens, row]` to `[dim, tokens]`.
#[inline(always)]
fn transpose(from: &[f32], row: usize, start: usize, tokens: usize, dim: usize, to: &mut [f32]) {
    for (token, from) in from.chunks_exact(row).enumerate().take(tokens) {
        for (d, value) in from[start..start + dim].iter().enumerate() {
            to[d * tokens + token] = *value;
        }
    }
}

/// `scores = softmax(scale * query . keys)`, with the keys as `[dim, tokens]`.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
unsafe fn probabilities<S: Simd>(query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
    let tokens = scores.len();
    scores.fill(0.0);
    for (d, q) in query.iter().enumerate() {
        add_scaled(scores, q * scale, &keys[d * tokens..(d + 1) * tokens]);
    }
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // SAFETY: the caller's contract; input and output are the same elements.
    unsafe {
        let (start, whole) = (scores.as_mut_ptr(), tokens / S::LANES * S::LANES);
        let mut at = 0;
        while at < tokens {
            let shift = S::splat(most);
            if at < whole {
                let v = math::exp::<S>(S::sub(S::load(start.add(at)), shift));
                S::store(start.add(at), v);
            } else {
                let v = math::exp::<S>(S::sub(S::load_part(start.add(at), tokens - at), shift));
                S::store_part(start.add(at), v, tokens - at);
            }
            at += S::LANES;
        }
    }
    let total = sum(scores.iter().copied());
    let inverse = 1.0 / total;
    scores.iter_mut().for_each(|p| *p *= inverse);
}

#[inline(always)]
unsafe fn attention_body<S: Simd>(sequence: Sequence<'_>, out: &mut [f32], scratch: &mut Vec<f32>) {
    let (tokens, heads, dim) = (sequence.tokens(), sequence.heads, sequence.dim);
    let row = heads * dim;
    let scale = 1.0 / (dim as f32).sqrt();
    scratch.clear();
    scratch.resize(dim * tokens + tokens, 0.0);
    let (keys, scores) = scratch.split_at_mut(dim * tokens);
    for head in 0..heads {
        let start = head * dim;
        transpose(sequence.keys, row, start, tokens, dim, keys);
        for token in 0..tokens {
            let at = token * row + start;
            // SAFETY: the caller's contract.
            unsafe { probabilities::<S>(&sequence.queries[at..at + dim], keys, scale, scores) };
            let out = &mut out[at..at + dim];
            out.fill(0.0);
            for (other, p) in scores.iter().enumerate() {
                let value = other * row + start;
                add_scaled(out, *p, &sequence.values[value..value + dim]);
            }
        }
    }
}

#[inline(always)]
unsafe fn attention_backward_body<S: Simd>(
    sequence: Sequence<'_>,
    grad: &[f32],
    out: [&mut [f32]; 3],
    scratch: &mut Vec<f32>,
) {
    let (tokens, heads, dim) = (sequence.tokens(), sequence.heads, sequence.dim);
    let [query_grad, key_grad, value_grad] = out;
    let row = heads * dim;
    let scale = 1.0 / (dim as f32).sqrt();
    scratch.clear();
    scratch.resize(2 * dim * tokens + 2 * tokens, 0.0);
    let (keys, rest) = scratch.split_at_mut(dim * tokens);
    let (values, rest) = rest.split_at_mut(dim * tokens);
    let (scores, slopes) = rest.split_at_mut(tokens);
    for head in 0..heads {
        let start = head * dim;
        transpose(sequence.keys, row, start, tokens, dim, keys);
        transpose(sequence.values, row, start, tokens, dim, values);
        for token in 0..tokens {
            let at = token * row + start;
            let query = &sequence.queries[at..at + dim];
            let grad = &grad[at..at + dim];
            // SAFETY: the caller's contract.
            unsafe { probabilities::<S>(query, keys, scale, scores) };
            slopes.fill(0.0);
            for (d, g) in grad.iter().enumerate() {
                add_scaled(slopes, *g, &values[d * tokens..(d + 1) * tokens]);
            }
            let weighted = sum(slopes.iter().zip(scores.iter()).map(|(s, p)| s * p));
            for (other, (slope, p)) in slopes.iter().zip(scores.iter()).enumerate() {
                let there = other * row + start..other * row + start + dim;
                let slope = p * (slope - weighted) * scale;
                add_scaled(&mut value_grad[there.clone()], *p, grad);
                add_scaled(&mut key_grad[there.clone()], slope, query);
                add_scaled(&mut query_grad[at..at + dim], slope, &sequence.keys[there]);
            }
        }
    }
}
