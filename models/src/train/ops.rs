//! The operations of a transformer as candle operations with a backward pass, fast on the CPU.
//!
//! candle's own elementwise operations run on one thread and keep every intermediate; these keep only their
//! inputs, share rows out among a [`Team`] and use the kernels of [`crate::kernels`]. On any other device the same
//! functions are composed of candle's operations, whose gradients candle knows; tests hold the two together.
//!
//! Activations are `[tokens, width]`: the tokens of all sequences of a batch lie one after the other without
//! padding, and only attention looks at where a sequence starts and ends.

use crate::kernels::gradients::{self, NormBackward, Sequence};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::norm::layer_norm;
use crate::kernels::{Activation, Isa, PackedMatrix};
use crate::team::Team;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, D, Device, Layout, Result, Shape, Storage, Tensor,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that one member of the team works on at a time.
const CHUNK: usize = 64;

/// The threads and the instruction set that the operations run on.
#[derive(Clone)]
pub struct Ops {
    team: Arc<Team>,
    isa: Isa,
}

impl Ops {
    /// Operations on `team`.
    pub fn new(team: Arc<Team>) -> Self {
        Self {
            team,
            isa: Isa::best(),
        }
    }

    /// `x/2 (1 + erf(x/sqrt 2))`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn gelu(&self, x: &Tensor) -> Result<Tensor> {
        match x.device() {
            Device::Cpu => x.contiguous()?.apply_op1(Gelu(self.clone())),
            _ => x.gelu_erf(),
        }
    }

    /// Layer normalisation of each row of `x` `[tokens, width]`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn layer_norm(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        epsilon: f64,
    ) -> Result<Tensor> {
        match x.device() {
            Device::Cpu => x.contiguous()?.apply_op3(
                gamma,
                beta,
                LayerNorm {
                    ops: self.clone(),
                    epsilon: epsilon as f32,
                },
            ),
            _ => candle_nn::ops::layer_norm_slow(x, gamma, beta, epsilon as f32),
        }
    }

    /// Softmax attention within each sequence; `queries`, `keys` and `values` are `[tokens, heads * dim]`, and
    /// `starts` holds where each sequence starts and where the last one ends.
    ///
    /// # Errors
    /// When candle fails.
    pub fn attention(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        starts: &Arc<[usize]>,
        heads: usize,
    ) -> Result<Tensor> {
        match queries.device() {
            Device::Cpu => queries.contiguous()?.apply_op3(
                &keys.contiguous()?,
                &values.contiguous()?,
                Attention {
                    ops: self.clone(),
                    starts: starts.clone(),
                    heads,
                },
            ),
            _ => composed_attention(queries, keys, values, starts, heads),
        }
    }

    /// Zeroes each element with probability `rate` and scales the others by `1 / (1 - rate)`; which ones is
    /// a function of `seed` alone.
    ///
    /// # Errors
    /// When candle fails.
    pub fn dropout(&self, x: &Tensor, rate: f32, seed: u64) -> Result<Tensor> {
        if rate <= 0.0 {
            return Ok(x.clone());
        }
        let dropout = Dropout {
            ops: self.clone(),
            rate,
            seed,
        };
        match x.device() {
            Device::Cpu => x.contiguous()?.apply_op1(dropout),
            device => {
                let mut mask = vec![0f32; x.elem_count()];
                dropout.fill(0, &mut mask);
                x * Tensor::from_vec(mask, x.shape(), device)?
            }
        }
    }

    /// `x W^T + b` with weights that do not learn.
    ///
    /// # Errors
    /// When candle fails.
    pub fn frozen(&self, x: &Tensor, linear: &Arc<FrozenLinear>) -> Result<Tensor> {
        match linear.as_ref() {
            FrozenLinear::Packed { .. } => x.contiguous()?.apply_op1(Product {
                ops: self.clone(),
                linear: linear.clone(),
            }),
            FrozenLinear::Plain { weight, bias } => x.matmul(&weight.t()?)?.broadcast_add(bias),
        }
    }

    /// The rows of `out` in chunks, each given to whichever member of the team is free.
    fn rows(&self, out: &mut [f32], width: usize, work: impl Fn(Range<usize>, &mut [f32]) + Sync) {
        let width = width.max(1);
        let chunks: Vec<Mutex<&mut [f32]>> =
            out.chunks_mut(CHUNK * width).map(Mutex::new).collect();
        self.team.for_each(chunks.len(), |index| {
            let mut chunk = chunks[index].lock().unwrap_or_else(PoisonError::into_inner);
            let first = index * CHUNK;
            let count = chunk.len() / width;
            work(first..first + count, &mut chunk);
        });
    }
}

/// The weights of a linear layer that does not learn.
pub enum FrozenLinear {
    /// On the CPU: packed for the forward and for the backward product.
    Packed {
        /// `[inputs, outputs]`, with the bias.
        forward: PackedMatrix,
        /// `[outputs, inputs]`.
        backward: PackedMatrix,
    },
    /// On any other device.
    Plain {
        /// `[outputs, inputs]`
        weight: Tensor,
        /// `[outputs]`
        bias: Tensor,
    },
}

impl FrozenLinear {
    /// The layer with `weight` `[outputs, inputs]` on `device`.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn new(
        weight: &[f32],
        bias: &[f32],
        outputs: usize,
        inputs: usize,
        device: &Device,
    ) -> Result<Self> {
        Ok(match device {
            Device::Cpu => {
                let isa = Isa::best();
                Self::Packed {
                    forward: PackedMatrix::from_outputs(weight, bias, outputs, inputs, isa),
                    backward: PackedMatrix::pack(inputs, outputs, &[], isa, |row, column| {
                        weight[row * inputs + column]
                    }),
                }
            }
            _ => Self::Plain {
                weight: Tensor::from_slice(weight, (outputs, inputs), device)?,
                bias: Tensor::from_slice(bias, outputs, device)?,
            },
        })
    }
}

/// The values of a contiguous tensor on the CPU.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (from, to) = layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::Msg("the values are not contiguous".to_owned()))?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// Calls `work` with the values of contiguous tensors on the CPU.
fn with_values<const N: usize, R>(
    tensors: [&Tensor; N],
    work: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|tensor| tensor.contiguous())
        .collect::<Result<_>>()?;
    let held: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        match &**storage {
            Storage::Cpu(storage) => *slice = values(storage, layout)?,
            _ => return Err(candle_core::Error::Msg("not on the CPU".to_owned())),
        }
    }
    work(slices)
}

fn width_of(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1).max(1)
}

struct Gelu(Ops);

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let mut out = vec![0f32; x.len()];
        let width = width_of(layout.shape());
        self.0.rows(&mut out, width, |rows, out| {
            let x = &x[rows.start * width..rows.end * width];
            // SAFETY: the instruction set was detected.
            unsafe { gradients::gelu(self.0.isa, x, out) }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = width_of(x.shape());
        let out = with_values([x, grad], |[x, grad]| {
            let mut out = vec![0f32; x.len()];
            self.0.rows(&mut out, width, |rows, out| {
                let part = rows.start * width..rows.end * width;
                // SAFETY: the instruction set was detected.
                unsafe { gradients::gelu_backward(self.0.isa, &x[part.clone()], &grad[part], out) }
            });
            Ok(out)
        })?;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

struct LayerNorm {
    ops: Ops,
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = values(x, layout)?.to_vec();
        let (gamma, beta) = (values(gamma, gamma_layout)?, values(beta, beta_layout)?);
        let width = width_of(layout.shape());
        if gamma.len() != width || beta.len() != width {
            return Err(candle_core::Error::Msg(format!(
                "a normalisation of {} over rows of {width}",
                gamma.len()
            )));
        }
        self.ops.rows(&mut out, width, |rows, out| {
            // SAFETY: `out` holds these rows; gamma and beta are as wide as a row.
            unsafe {
                layer_norm(
                    self.ops.isa,
                    out.as_mut_ptr(),
                    rows.len(),
                    width,
                    gamma.as_ptr(),
                    beta.as_ptr(),
                    self.epsilon,
                )
            }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = width_of(x.shape());
        let (out, sums) = with_values([x, gamma, grad], |[x, gamma, grad]| {
            let mut out = vec![0f32; x.len()];
            // Each chunk sums for itself, and the chunks are added in their order: the same bits whatever
            // the threads did.
            let chunks = (x.len() / width).div_ceil(CHUNK);
            let sums: Vec<Mutex<Vec<f32>>> = (0..chunks)
                .map(|_| Mutex::new(vec![0f32; 2 * width]))
                .collect();
            self.ops.rows(&mut out, width, |rows, out| {
                let part = rows.start * width..rows.end * width;
                let mut sums = sums[rows.start / CHUNK]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let (gamma_grad, beta_grad) = sums.split_at_mut(width);
                let norm = NormBackward {
                    x: &x[part.clone()],
                    grad: &grad[part],
                    gamma,
                    epsilon: self.epsilon,
                };
                // SAFETY: the instruction set was detected.
                unsafe {
                    gradients::layer_norm_backward(self.ops.isa, norm, out, gamma_grad, beta_grad)
                }
            });
            let mut total = vec![0f32; 2 * width];
            for part in sums {
                let part = part.into_inner().unwrap_or_else(PoisonError::into_inner);
                total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
            }
            Ok((out, total))
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(out, x.shape(), device)?),
            Some(Tensor::from_slice(&sums[..width], width, device)?),
            Some(Tensor::from_slice(&sums[width..], width, device)?),
        ))
    }
}

struct Attention {
    ops: Ops,
    starts: Arc<[usize]>,
    heads: usize,
}

impl Attention {
    /// The bounds of each sequence in values, checked against a buffer of `len`.
    fn parts(&self, len: usize, row: usize) -> Result<Vec<Range<usize>>> {
        let parts: Vec<_> = self
            .starts
            .windows(2)
            .map(|pair| pair[0] * row..pair[1] * row)
            .collect();
        let whole = parts.first().is_none_or(|first| first.start == 0)
            && parts.last().is_none_or(|last| last.end == len)
            && parts.iter().all(|part| part.start <= part.end);
        if !whole || self.heads == 0 || !row.is_multiple_of(self.heads) {
            return Err(candle_core::Error::Msg(format!(
                "sequences do not cover {len} values"
            )));
        }
        Ok(parts)
    }

    fn sequence<'a>(
        &self,
        [q, k, v]: [&'a [f32]; 3],
        part: &Range<usize>,
        row: usize,
    ) -> Sequence<'a> {
        Sequence {
            queries: &q[part.clone()],
            keys: &k[part.clone()],
            values: &v[part.clone()],
            heads: self.heads,
            dim: row / self.heads,
        }
    }
}

/// `slice` cut at the ends of `parts`, which follow one another.
fn cut<'a>(mut slice: &'a mut [f32], parts: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut cut = Vec::with_capacity(parts.len());
    for part in parts {
        let (head, tail) = slice.split_at_mut(part.len());
        cut.push(head);
        slice = tail;
    }
    cut
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = [values(q, ql)?, values(k, kl)?, values(v, vl)?];
        let row = width_of(ql.shape());
        let parts = self.parts(qkv.iter().map(|x| x.len()).min().unwrap_or(0), row)?;
        let mut out = vec![0f32; qkv[0].len()];
        let places: Vec<_> = cut(&mut out, &parts).into_iter().map(Mutex::new).collect();
        self.ops.team.for_each(parts.len(), |index| {
            let mut out = places[index].lock().unwrap_or_else(PoisonError::into_inner);
            let sequence = self.sequence(qkv, &parts[index], row);
            // SAFETY: the instruction set was detected.
            unsafe { gradients::attention(self.ops.isa, sequence, &mut out, &mut Vec::new()) }
        });
        drop(places);
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let row = width_of(q.shape());
        let parts = self.parts(q.elem_count(), row)?;
        let [dq, dk, dv] = with_values([q, k, v, grad], |[q, k, v, grad]| {
            let mut out = [
                vec![0f32; q.len()],
                vec![0f32; q.len()],
                vec![0f32; q.len()],
            ];
            let [dq, dk, dv] = &mut out;
            let places: Vec<_> = cut(dq, &parts)
                .into_iter()
                .zip(cut(dk, &parts))
                .zip(cut(dv, &parts))
                .map(|((q, k), v)| Mutex::new([q, k, v]))
                .collect();
            self.ops.team.for_each(parts.len(), |index| {
                let mut place = places[index].lock().unwrap_or_else(PoisonError::into_inner);
                let [dq, dk, dv] = &mut *place;
                let part = &parts[index];
                let sequence = self.sequence([q, k, v], part, row);
                // SAFETY: the instruction set was detected.
                unsafe {
                    gradients::attention_backward(
                        self.ops.isa,
                        sequence,
                        &grad[part.clone()],
                        [dq, dk, dv],
                        &mut Vec::new(),
                    )
                }
            });
            drop(places);
            Ok(out)
        })?;
        let tensor = |values| Tensor::from_vec(values, q.shape(), q.device()).map(Some);
        Ok((tensor(dq)?, tensor(dk)?, tensor(dv)?))
    }
}

/// [`Ops::attention`] from candle's operations, one sequence after the other.
fn composed_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    starts: &[usize],
    heads: usize,
) -> Result<Tensor> {
    let (_, row) = q.dims2()?;
    let dim = row / heads.max(1);
    let mut parts = Vec::with_capacity(starts.len());
    for pair in starts.windows(2) {
        let tokens = pair[1] - pair[0];
        let head_first = |x: &Tensor| -> Result<Tensor> {
            x.narrow(0, pair[0], tokens)?
                .reshape((tokens, heads, dim))?
                .transpose(0, 1)?
                .contiguous()
        };
        let (q, k, v) = (head_first(q)?, head_first(k)?, head_first(v)?);
        let scores = (q.matmul(&k.t()?)? / (dim as f64).sqrt())?;
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        parts.push(mixed.transpose(0, 1)?.reshape((tokens, row))?);
    }
    Tensor::cat(&parts, 0)
}

/// What dropout multiplies the elements from `first` with: 0 with probability `rate`, `1 / (1 - rate)` otherwise.
pub(super) fn dropout_factors(rate: f32, seed: u64, first: usize, factors: &mut [f32]) {
    // Where all are dropped none is kept.
    let keep = if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 };
    // 24 bits of each random number against the rate.
    let limit = (f64::from(rate) * f64::from(1u32 << 24)) as u32;
    for (index, factor) in factors.iter_mut().enumerate() {
        let random = super::random(seed, (first + index) as u64) >> 40;
        *factor = if (random as u32) < limit { 0.0 } else { keep };
    }
}

struct Dropout {
    ops: Ops,
    rate: f32,
    seed: u64,
}

impl Dropout {
    fn fill(&self, first: usize, factors: &mut [f32]) {
        dropout_factors(self.rate, self.seed, first, factors);
    }

    fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0f32; x.len()];
        self.ops.rows(&mut out, width, |rows, out| {
            self.fill(rows.start * width, out);
            out.iter_mut()
                .zip(&x[rows.start * width..])
                .for_each(|(out, x)| *out *= x);
        });
        out
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.apply(values(storage, layout)?, width_of(layout.shape()));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let out = with_values([grad], |[grad]| Ok(self.apply(grad, width_of(x.shape()))))?;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

struct Product {
    ops: Ops,
    linear: Arc<FrozenLinear>,
}

impl Product {
    fn multiply(&self, x: &[f32], matrix: &PackedMatrix) -> Result<Vec<f32>> {
        let (k, n) = (matrix.k(), matrix.n());
        if !x.len().is_multiple_of(k) {
            return Err(candle_core::Error::Msg(format!(
                "{} values are no rows of {k}",
                x.len()
            )));
        }
        let mut out = vec![0f32; x.len() / k * n];
        self.ops.rows(&mut out, n, |rows, out| {
            let left = Left::rows(x[rows.start * k..rows.end * k].as_ptr(), k);
            let right = Right {
                start: out.as_mut_ptr(),
                row: n,
                residual: None,
                activation: Activation::None,
            };
            // SAFETY: `left` has these rows of `k` values and `out` of `n`, nobody else has them.
            unsafe { matrix.multiply(left, rows.len(), 0..matrix.panels(), right) };
        });
        Ok(out)
    }

    fn sides(&self) -> Result<(&PackedMatrix, &PackedMatrix)> {
        match self.linear.as_ref() {
            FrozenLinear::Packed { forward, backward } => Ok((forward, backward)),
            FrozenLinear::Plain { .. } => Err(candle_core::Error::Msg(
                "weights that are not packed".to_owned(),
            )),
        }
    }
}

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (forward, _) = self.sides()?;
        let out = self.multiply(values(storage, layout)?, forward)?;
        let rows = out.len() / forward.n().max(1);
        Ok((CpuStorage::F32(out), Shape::from((rows, forward.n()))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, backward) = self.sides()?;
        let out = with_values([grad], |[grad]| self.multiply(grad, backward))?;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    fn ops() -> Ops {
        Ops::new(Arc::new(Team::new(2)))
    }

    fn var(shape: impl Into<Shape>, seed: u64) -> Var {
        let shape = shape.into();
        let values: Vec<f32> = (0..shape.elem_count())
            .map(|i| {
                (crate::train::random(seed, i as u64) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect();
        Var::from_vec(values, shape, &Device::Cpu).expect("a variable")
    }

    /// The result of `f` and the gradients of a weighted sum of it for `vars`.
    fn result_and_gradients(vars: &[&Var], f: &dyn Fn() -> Result<Tensor>) -> Vec<Vec<f32>> {
        let out = f().expect("forward");
        let weights = var(out.shape().clone(), 99);
        let loss = (&out * weights.as_tensor())
            .and_then(|x| x.sum_all())
            .expect("loss");
        let grads = loss.backward().expect("backward");
        let flat = |t: &Tensor| {
            t.flatten_all()
                .and_then(|t| t.to_vec1::<f32>())
                .expect("values")
        };
        let mut all = vec![flat(&out)];
        all.extend(vars.iter().map(|v| flat(grads.get(v).expect("a gradient"))));
        all
    }

    #[track_caller]
    fn same(got: &[Vec<f32>], want: &[Vec<f32>], tolerance: f32) {
        assert_eq!(got.len(), want.len());
        for (index, (got, want)) in got.iter().zip(want).enumerate() {
            assert_eq!(got.len(), want.len());
            let most = want.iter().fold(1f32, |most, x| most.max(x.abs()));
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() <= tolerance * most,
                    "tensor {index}: {got} instead of {want}"
                );
            }
        }
    }

    #[test]
    fn gelu_and_its_gradient_are_candles() {
        let (ops, x) = (ops(), var((70, 37), 1));
        let wide = (x.as_tensor() * 5.0).expect("wider");
        same(
            &result_and_gradients(&[&x], &|| ops.gelu(&(x.as_tensor() * 5.0)?)),
            &result_and_gradients(&[&x], &|| (x.as_tensor() * 5.0)?.gelu_erf()),
            2e-6,
        );
        assert!(wide.dims() == [70, 37]);
    }

    #[test]
    fn layer_norm_and_its_gradients_are_candles() {
        let (ops, x, gamma, beta) = (ops(), var((131, 48), 1), var(48, 2), var(48, 3));
        let vars = [&x, &gamma, &beta];
        same(
            &result_and_gradients(&vars, &|| ops.layer_norm(&x, &gamma, &beta, 1e-12)),
            &result_and_gradients(&vars, &|| {
                candle_nn::ops::layer_norm_slow(&x, &gamma, &beta, 1e-12)
            }),
            5e-6,
        );
    }

    #[test]
    fn attention_and_its_gradients_are_the_composed_ones() {
        let ops = ops();
        let starts: Arc<[usize]> = [0, 1, 20, 57].into();
        let (q, k, v) = (var((57, 24), 1), var((57, 24), 2), var((57, 24), 3));
        let vars = [&q, &k, &v];
        same(
            &result_and_gradients(&vars, &|| ops.attention(&q, &k, &v, &starts, 3)),
            &result_and_gradients(&vars, &|| composed_attention(&q, &k, &v, &starts, 3)),
            5e-6,
        );
    }

    #[test]
    fn a_frozen_product_and_its_gradient_are_candles() {
        let (ops, x) = (ops(), var((131, 40), 1));
        let (weight, bias) = (var((72, 40), 2), var(72, 3));
        let flat = |t: &Tensor| {
            t.flatten_all()
                .and_then(|t| t.to_vec1::<f32>())
                .expect("values")
        };
        let frozen = FrozenLinear::new(&flat(&weight), &flat(&bias), 72, 40, &Device::Cpu)
            .map(Arc::new)
            .expect("packed");
        let (weight, bias) = (weight.as_tensor().detach(), bias.as_tensor().detach());
        same(
            &result_and_gradients(&[&x], &|| ops.frozen(&x, &frozen)),
            &result_and_gradients(&[&x], &|| x.matmul(&weight.t()?)?.broadcast_add(&bias)),
            5e-6,
        );
    }

    #[test]
    fn dropout_keeps_its_share_and_lets_the_gradient_through_where_it_kept() {
        let (ops, x) = (ops(), var((200, 50), 1));
        let all = result_and_gradients(&[&x], &|| ops.dropout(&x, 0.25, 7));
        let again = result_and_gradients(&[&x], &|| ops.dropout(&x, 0.25, 7));
        assert_eq!(all, again);
        let other = result_and_gradients(&[&x], &|| ops.dropout(&x, 0.25, 8));
        assert_ne!(all[0], other[0]);
        let dropped = all[0].iter().filter(|&&x| x == 0.0).count();
        // Four standard deviations of a binomial of 10,000 at 0.25.
        assert!((2327..=2673).contains(&dropped), "{dropped} dropped");
        for (out, grad) in all[0].iter().zip(&all[1]) {
            assert_eq!(*out == 0.0, *grad == 0.0);
        }
    }
}
