//! The network on the CPU, written for speed.
//!
//! All tokens of a batch lie one after the other without padding; only attention looks at where a
//! sequence starts and ends. The whole network is one region of the team. A batch of many tokens is worked
//! on in chunks of rows that go through everything between two attentions while they are in the
//! second-level cache, and whoever is free takes the next chunk; a batch of few tokens would leave a member
//! without rows, so there each product is split by columns, which also lets each member read only its part
//! of the weights. In 8 bits the rows of each product are quantised first, by whoever wrote them where that saves a barrier.

use super::config::Config;
use super::linear::{Linear, Rows};
use super::weights::{Part, Weights, Words};
use super::{Output, second};
use crate::compute::Precision;
use crate::error::Result;
use crate::kernels::attention::{self, Head, attend};
use crate::kernels::matmul::Right;
use crate::kernels::norm::layer_norm;
use crate::kernels::shared::SharedSlice;
use crate::kernels::{Activation, AlignedVec, Isa};
use crate::team::{Member, Team};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Rows of a chunk: enough to use the weights well while the chunk stays in the second-level cache.
const CHUNK: usize = 96;

/// Workspaces kept for the next batch.
const KEPT_WORKSPACES: usize = 8;

/// A BERT encoder with packed weights.
pub(super) struct Encoder {
    words: Words,
    /// Positions with the first segment added.
    positions: AlignedVec,
    norm: Norm,
    layers: Vec<Layer>,
    config: Config,
    isa: Isa,
    workspaces: Mutex<Vec<Workspace>>,
}

struct Layer {
    /// Queries, keys and values side by side.
    qkv: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    output_norm: Norm,
}

impl Layer {
    fn products(&self) -> [&Linear; 4] {
        [&self.qkv, &self.attention_output, &self.up, &self.down]
    }
}

/// A normalisation of rows.
pub(super) struct Norm {
    gamma: AlignedVec,
    beta: AlignedVec,
    epsilon: f32,
}

/// Buffers of one forward pass, reused by the next.
#[derive(Default)]
struct Workspace {
    hidden: AlignedVec,
    qkv: AlignedVec,
    mixed: AlignedVec,
    inner: AlignedVec,
    attention: AlignedVec,
    quantized: AlignedVec,
}

/// The buffers as the members of the team see them.
#[derive(Clone, Copy)]
struct Buffers<'a> {
    /// `[tokens, hidden]`
    hidden: SharedSlice<'a>,
    /// `[tokens, 3 hidden]`
    qkv: SharedSlice<'a>,
    /// `[tokens, hidden]`
    mixed: SharedSlice<'a>,
    /// `[tokens, inner]`, or `[members, CHUNK, inner]` when rows are split
    inner: SharedSlice<'a>,
    /// `[members, scratch]`
    attention: SharedSlice<'a>,
    /// Rows of the left-hand side of a product in 8 bits: `[tokens, quantized]`, or `[members, CHUNK, quantized]` when rows are split
    quantized: SharedSlice<'a>,
}

/// What is computed: the tokens of a batch and where its sequences are.
struct Batch<'a> {
    sequences: &'a [&'a [u32]],
    /// Start of each sequence among all tokens, and the end of the last.
    starts: Vec<usize>,
    /// Row of the position table for each token.
    positions: Vec<u32>,
    /// Scratch elements of one member's attention.
    scratch: usize,
    /// Split by rows (many tokens) or by columns (few).
    by_rows: bool,
    chunk: usize,
    /// Next unit of attention and next chunk of rows, for each layer.
    counters: Vec<[AtomicUsize; 2]>,
}

impl Batch<'_> {
    fn tokens(&self) -> usize {
        self.starts[self.sequences.len()]
    }
}

impl Encoder {
    pub(super) fn new(weights: &Weights, precision: Precision) -> Result<Self> {
        let isa = Isa::best();
        let config = weights.config.clone();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |module: &str| Norm::new(weights, module);
        let linear =
            |layer: usize, parts: &[Part], outputs: usize, inputs: usize| -> Result<Linear> {
                let (mut matrix, mut bias) = (Vec::new(), Vec::new());
                for &part in parts {
                    let module = weights.part(layer, part);
                    let (weight, shift) = weights.linear(&module, outputs, inputs)?;
                    matrix.extend_from_slice(&weight);
                    bias.extend_from_slice(&shift);
                }
                let outputs = outputs * parts.len();
                Ok(Linear::new(&matrix, &bias, outputs, inputs, isa, precision))
            };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let projections = [Part::Query, Part::Key, Part::Value];
                Ok(Layer {
                    qkv: linear(layer, &projections, hidden, hidden)?,
                    attention_output: linear(layer, &[Part::AttentionOutput], hidden, hidden)?,
                    attention_norm: norm(&weights.part(layer, Part::AttentionNorm))?,
                    up: linear(layer, &[Part::Up], inner, hidden)?,
                    down: linear(layer, &[Part::Down], hidden, inner)?,
                    output_norm: norm(&weights.part(layer, Part::OutputNorm))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            words: weights.words()?,
            positions: weights.positions()?.as_slice().into(),
            norm: norm(&weights.module("embeddings.LayerNorm"))?,
            layers,
            config,
            isa,
            workspaces: Mutex::default(),
        })
    }

    pub(super) fn memory(&self) -> u64 {
        let layers: u64 = self
            .layers
            .iter()
            .flat_map(Layer::products)
            .map(Linear::bytes)
            .sum();
        layers + self.positions.bytes() + self.words.bytes()
    }

    /// Room for a row in 8 bits, whichever product it is for.
    fn quantized(&self) -> usize {
        let products = self.layers.iter().flat_map(Layer::products);
        products.map(Linear::quantized).max().unwrap_or(0)
    }

    pub(super) fn run(
        &self,
        team: &Team,
        sequences: &[&[u32]],
        seconds: &[usize],
        output: Output,
    ) -> Vec<Vec<f32>> {
        let batch = self.plan(team.threads(), sequences, seconds);
        let pool = || {
            self.workspaces
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut workspace = pool().pop().unwrap_or_default();
        let (tokens, hidden) = (batch.tokens(), self.config.hidden_size);
        // Rows that a product is made of at a time.
        let rows = if batch.by_rows {
            team.threads() * batch.chunk
        } else {
            tokens
        };
        workspace.hidden.reserve_len(tokens * hidden);
        workspace.qkv.reserve_len(tokens * 3 * hidden);
        workspace.mixed.reserve_len(tokens * hidden);
        workspace
            .inner
            .reserve_len(rows * self.config.intermediate_size);
        workspace.quantized.reserve_len(rows * self.quantized());
        workspace
            .attention
            .reserve_len(team.threads() * batch.scratch);
        {
            let buffers = Buffers {
                hidden: SharedSlice::new(&mut workspace.hidden),
                qkv: SharedSlice::new(&mut workspace.qkv),
                mixed: SharedSlice::new(&mut workspace.mixed),
                inner: SharedSlice::new(&mut workspace.inner),
                attention: SharedSlice::new(&mut workspace.attention),
                quantized: SharedSlice::new(&mut workspace.quantized),
            };
            team.run(|member| self.forward(member, &batch, buffers));
        }
        let answers = (0..sequences.len())
            .map(|index| {
                let rows = &workspace.hidden
                    [batch.starts[index] * hidden..batch.starts[index + 1] * hidden];
                output.of(rows, hidden)
            })
            .collect();
        let mut pool = pool();
        if pool.len() < KEPT_WORKSPACES {
            pool.push(workspace);
        }
        answers
    }

    fn plan<'a>(&self, members: usize, sequences: &'a [&'a [u32]], seconds: &[usize]) -> Batch<'a> {
        let mut starts = vec![0];
        let mut positions = Vec::new();
        let mut longest = 0;
        for (index, ids) in sequences.iter().enumerate() {
            positions.extend(self.config.positions(ids, second(seconds, index)));
            starts.push(starts[starts.len() - 1] + ids.len());
            longest = longest.max(ids.len());
        }
        let tokens = starts[sequences.len()];
        let by_rows = tokens >= 48 * members || members == 1;
        // An even number of equal chunks for each member.
        let chunks = tokens.div_ceil(CHUNK).next_multiple_of(members);
        Batch {
            sequences,
            starts,
            positions,
            scratch: attention::scratch_len(self.isa, longest, self.config.head_size())
                .next_multiple_of(16),
            by_rows,
            chunk: tokens.div_ceil(chunks.max(1)).max(1),
            counters: self.layers.iter().map(|_| Default::default()).collect(),
        }
    }

    /// One member's part of the network.
    fn forward(&self, member: Member<'_>, batch: &Batch<'_>, buffers: Buffers<'_>) {
        let tokens = batch.tokens();
        self.embed(member, batch, buffers);
        if batch.by_rows {
            let rows = member.slice(tokens, 1);
            let room = self.room(member, batch, buffers);
            for start in rows.clone().step_by(batch.chunk) {
                let rows = start..rows.end.min(start + batch.chunk);
                self.qkv_rows(&self.layers[0].qkv, buffers, room, rows);
            }
        } else {
            self.quantize(member, &self.layers[0].qkv, buffers.hidden, buffers, tokens);
            member.barrier();
            self.product_columns(
                member,
                &self.layers[0].qkv,
                buffers.hidden,
                buffers,
                buffers.qkv,
                tokens,
                None,
                Activation::None,
            );
        }
        member.barrier();
        for (index, layer) in self.layers.iter().enumerate() {
            let next = self.layers.get(index + 1).map(|layer| &layer.qkv);
            self.attention(member, batch, buffers, &batch.counters[index][0]);
            member.barrier();
            if batch.by_rows {
                self.rest_by_rows(
                    member,
                    batch,
                    buffers,
                    layer,
                    next,
                    &batch.counters[index][1],
                );
            } else {
                self.rest_by_columns(member, tokens, buffers, layer, next);
            }
            member.barrier();
        }
    }

    /// Word plus position plus segment, normalised.
    fn embed(&self, member: Member<'_>, batch: &Batch<'_>, buffers: Buffers<'_>) {
        let hidden = self.config.hidden_size;
        let rows = member.slice(batch.tokens(), 1);
        let mut sequence = batch
            .starts
            .partition_point(|&start| start <= rows.start)
            .max(1)
            - 1;
        for row in rows.clone() {
            while row >= batch.starts[sequence + 1] {
                sequence += 1;
            }
            let id = batch.sequences[sequence][row - batch.starts[sequence]] as usize;
            let out = buffers.hidden.at(row * hidden, hidden);
            // SAFETY: `at` checked that the row is inside the buffer, whose elements are all initialised; it
            // belongs to this member until the next barrier.
            let out = unsafe { std::slice::from_raw_parts_mut(out, hidden) };
            self.words.row(id, out);
            let position = batch.positions[row] as usize;
            let position = &self.positions[position * hidden..(position + 1) * hidden];
            out.iter_mut()
                .zip(position)
                .for_each(|(out, position)| *out += position);
        }
        self.norm.apply(self.isa, buffers.hidden, rows, hidden);
    }

    /// Attention of every sequence and head, whoever is free taking the next.
    fn attention(
        &self,
        member: Member<'_>,
        batch: &Batch<'_>,
        buffers: Buffers<'_>,
        next: &AtomicUsize,
    ) {
        let (hidden, heads, dim) = (
            self.config.hidden_size,
            self.config.num_attention_heads,
            self.config.head_size(),
        );
        let scratch = buffers
            .attention
            .at(member.index() * batch.scratch, batch.scratch);
        let scale = 1.0 / (dim as f32).sqrt();
        loop {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            if unit >= batch.sequences.len() * heads {
                return;
            }
            let (sequence, head) = (unit / heads, unit % heads);
            let (start, end) = (batch.starts[sequence], batch.starts[sequence + 1]);
            let tokens = end - start;
            let qkv = buffers
                .qkv
                .at(start * 3 * hidden, tokens * 3 * hidden)
                .cast_const();
            let out = buffers.mixed.at(start * hidden, tokens * hidden);
            // SAFETY: the rows of this sequence are inside both buffers (checked by `at`), the three parts
            // of a row are `hidden` wide and hold `heads` times `dim` values; nobody else has this unit,
            // and queries, keys and values are not written before the next barrier.
            unsafe {
                let queries = qkv.add(head * dim);
                let head_at = Head {
                    queries,
                    keys: queries.add(hidden),
                    values: queries.add(2 * hidden),
                    row: 3 * hidden,
                    tokens,
                    dim,
                };
                attend(
                    self.isa,
                    head_at,
                    scale,
                    out.add(head * dim),
                    hidden,
                    scratch,
                );
            }
        }
    }

    /// Everything from one attention to the next, a chunk of rows at a time.
    fn rest_by_rows(
        &self,
        member: Member<'_>,
        batch: &Batch<'_>,
        buffers: Buffers<'_>,
        layer: &Layer,
        next_qkv: Option<&Linear>,
        next: &AtomicUsize,
    ) {
        let (tokens, hidden, inner) = (
            batch.tokens(),
            self.config.hidden_size,
            self.config.intermediate_size,
        );
        let scratch = buffers
            .inner
            .at(member.index() * batch.chunk * inner, batch.chunk * inner);
        let room = self.room(member, batch, buffers);
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let start = chunk * batch.chunk;
            if start >= tokens {
                return;
            }
            let rows = start..tokens.min(start + batch.chunk);
            let count = rows.len();
            let mixed = buffers
                .mixed
                .at(start * hidden, count * hidden)
                .cast_const();
            let x = buffers.hidden.at(start * hidden, count * hidden);
            // SAFETY: all pointers cover `count` rows (checked by `at`); these rows belong to this member
            // until the next barrier, and so do its scratch and its room.
            unsafe {
                let into_x = Right {
                    start: x,
                    row: hidden,
                    residual: Some((x.cast_const(), hidden)),
                    activation: Activation::None,
                };
                layer.attention_output.apply(mixed, count, room, into_x);
                layer
                    .attention_norm
                    .apply(self.isa, buffers.hidden, rows.clone(), hidden);
                let active = Right {
                    start: scratch,
                    row: inner,
                    residual: None,
                    activation: self.config.hidden_act.kernel(),
                };
                layer.up.apply(x, count, room, active);
                layer.down.apply(scratch, count, room, into_x);
                layer
                    .output_norm
                    .apply(self.isa, buffers.hidden, rows.clone(), hidden);
            }
            if let Some(qkv) = next_qkv {
                self.qkv_rows(qkv, buffers, room, rows);
            }
        }
    }

    /// Everything from one attention to the next, each product split by columns.
    fn rest_by_columns(
        &self,
        member: Member<'_>,
        tokens: usize,
        buffers: Buffers<'_>,
        layer: &Layer,
        next_qkv: Option<&Linear>,
    ) {
        let hidden = self.config.hidden_size;
        let rows = member.slice(tokens, 1);
        let residual = Some(buffers.hidden);
        self.quantize_apart(
            member,
            &layer.attention_output,
            buffers.mixed,
            buffers,
            tokens,
        );
        self.product_columns(
            member,
            &layer.attention_output,
            buffers.mixed,
            buffers,
            buffers.hidden,
            tokens,
            residual,
            Activation::None,
        );
        member.barrier();
        layer
            .attention_norm
            .apply(self.isa, buffers.hidden, rows.clone(), hidden);
        self.quantize(member, &layer.up, buffers.hidden, buffers, tokens);
        member.barrier();
        self.product_columns(
            member,
            &layer.up,
            buffers.hidden,
            buffers,
            buffers.inner,
            tokens,
            None,
            self.config.hidden_act.kernel(),
        );
        member.barrier();
        self.quantize_apart(member, &layer.down, buffers.inner, buffers, tokens);
        self.product_columns(
            member,
            &layer.down,
            buffers.inner,
            buffers,
            buffers.hidden,
            tokens,
            residual,
            Activation::None,
        );
        member.barrier();
        layer
            .output_norm
            .apply(self.isa, buffers.hidden, rows, hidden);
        if let Some(qkv) = next_qkv {
            self.quantize(member, qkv, buffers.hidden, buffers, tokens);
            member.barrier();
            self.product_columns(
                member,
                qkv,
                buffers.hidden,
                buffers,
                buffers.qkv,
                tokens,
                None,
                Activation::None,
            );
        }
    }

    /// A member's room for the rows of a chunk in 8 bits.
    fn room(&self, member: Member<'_>, batch: &Batch<'_>, buffers: Buffers<'_>) -> *mut f32 {
        let room = batch.chunk * self.quantized();
        buffers.quantized.at(member.index() * room, room)
    }

    /// Queries, keys and values of rows of the hidden states, at most a chunk.
    fn qkv_rows(&self, matrix: &Linear, buffers: Buffers<'_>, room: *mut f32, rows: Range<usize>) {
        let (k, n) = (matrix.k(), matrix.n());
        let left = buffers.hidden.at(rows.start * k, rows.len() * k);
        let start = buffers.qkv.at(rows.start * n, rows.len() * n);
        // SAFETY: both cover the rows (checked by `at`), which belong to this member until the next barrier, as its room does.
        unsafe {
            let right = Right {
                start,
                row: n,
                residual: None,
                activation: Activation::None,
            };
            matrix.apply(left.cast_const(), rows.len(), room, right);
        }
    }

    /// Makes this member's rows of `from`, which it wrote itself, ready for a product that is split by columns.
    fn quantize(
        &self,
        member: Member<'_>,
        matrix: &Linear,
        from: SharedSlice<'_>,
        buffers: Buffers<'_>,
        tokens: usize,
    ) {
        let (k, row) = (matrix.k(), matrix.quantized());
        let rows = member.slice(tokens, 1);
        let left = from.at(rows.start * k, rows.len() * k).cast_const();
        let to = buffers.quantized.at(rows.start * row, rows.len() * row);
        // SAFETY: both cover the rows (checked by `at`), which belong to this member until the next barrier.
        unsafe { matrix.quantize(left, rows.len(), to) }
    }

    /// The same of rows that others wrote, behind a barrier before; there is another after.
    fn quantize_apart(
        &self,
        member: Member<'_>,
        matrix: &Linear,
        from: SharedSlice<'_>,
        buffers: Buffers<'_>,
        tokens: usize,
    ) {
        if matrix.quantized() > 0 {
            self.quantize(member, matrix, from, buffers, tokens);
            member.barrier();
        }
    }

    /// This member's columns of `to = activation(from * matrix + bias) + residual`.
    #[allow(clippy::too_many_arguments)]
    fn product_columns(
        &self,
        member: Member<'_>,
        matrix: &Linear,
        from: SharedSlice<'_>,
        buffers: Buffers<'_>,
        to: SharedSlice<'_>,
        tokens: usize,
        residual: Option<SharedSlice<'_>>,
        activation: Activation,
    ) {
        let (k, n) = (matrix.k(), matrix.n());
        let left = Rows {
            start: from.at(0, tokens * k).cast_const(),
            quantized: buffers
                .quantized
                .at(0, tokens * matrix.quantized())
                .cast_const(),
        };
        let start = to.at(0, tokens * n);
        let residual = residual.map(|residual| (residual.at(0, tokens * n).cast_const(), n));
        // SAFETY: the buffers cover all rows (checked by `at`), and each member writes its own panels.
        unsafe {
            let right = Right {
                start,
                row: n,
                residual,
                activation,
            };
            matrix.multiply(left, tokens, member.slice(matrix.panels(), 1), right);
        }
    }
}

impl Norm {
    pub(super) fn new(weights: &Weights, module: &str) -> Result<Self> {
        let (gamma, beta) = weights.norm(module)?;
        Ok(Self {
            gamma: gamma.as_ref().into(),
            beta: beta.as_ref().into(),
            epsilon: weights.config.layer_norm_eps as f32,
        })
    }

    /// Normalises rows that lie one after the other.
    pub(super) fn rows(&self, rows: &mut [f32]) {
        let width = self.gamma.len();
        let count = rows.len() / width;
        self.apply(Isa::best(), SharedSlice::new(rows), 0..count, width);
    }

    fn apply(&self, isa: Isa, x: SharedSlice<'_>, rows: Range<usize>, width: usize) {
        let start = x.at(rows.start * width, rows.len() * width);
        // SAFETY: the rows are inside the buffer (checked by `at`) and belong to the calling member;
        // gamma and beta are as wide as the rows.
        unsafe {
            layer_norm(
                isa,
                start,
                rows.len(),
                width,
                self.gamma.as_ptr(),
                self.beta.as_ptr(),
                self.epsilon,
            )
        };
    }
}
