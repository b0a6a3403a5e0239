//! The network on the CPU: tokens in, numbers for the token that follows out, keys and values kept between.
//!
//! The whole of a forward pass is one region of the team, and its rows are tokens of one text or of several: each row's numbers
//! are the same whatever goes by beside it. Products are split by columns: each member reads its part of the weights, which is
//! what a few rows cost, however few they are.

use super::config::{Config, Family, Stretch};
use crate::bert::weights::{Words, numbers};
use crate::error::{Error, Result};
use crate::kernels::elementwise::{self, Block, Map, Pair, Pairing};
use crate::kernels::kept::{KeptHead, attend_kept};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::norm::{layer_norm, rms_norm};
use crate::kernels::shared::SharedSlice;
use crate::kernels::{Activation, AlignedVec, Isa, PackedMatrix};
use crate::team::{Member, Team};
use escala_weights::Tensors;
use std::ops::Range;
use std::sync::Arc;

/// Tokens that go through the network at a time: enough to use the weights well.
pub(super) const CHUNK: usize = 96;

/// A decoder with packed weights.
pub(super) struct Network {
    config: Config,
    isa: Isa,
    words: Words,
    /// Rows of the table of positions, where there is one.
    positions: Option<AlignedVec>,
    /// Turns of each pair of a head by one position, where positions are turns.
    turns: Vec<f32>,
    layers: Vec<Layer>,
    last: Norm,
    head: PackedMatrix,
}

struct Layer {
    before_attention: Norm,
    /// Queries, keys and values side by side.
    qkv: PackedMatrix,
    /// Of queries and of keys, each head by itself.
    of_heads: Option<[Norm; 2]>,
    output: PackedMatrix,
    before_inner: Norm,
    /// What `up` is multiplied by, after its activation.
    gate: Option<PackedMatrix>,
    up: PackedMatrix,
    down: PackedMatrix,
    window: usize,
}

struct Norm {
    gamma: AlignedVec,
    /// What is added, where the mean is taken away.
    beta: Option<AlignedVec>,
    epsilon: f32,
}

/// Keys and values of a text so far.
pub(super) struct Kept {
    /// `[capacity, heads of keys, width]` of each layer, turned.
    keys: Vec<AlignedVec>,
    values: Vec<AlignedVec>,
    tokens: usize,
    capacity: usize,
}

/// Tokens of a text that go through the network, behind those that are kept of it.
pub(super) struct Part<'a> {
    pub(super) kept: &'a mut Kept,
    pub(super) tokens: &'a [u32],
    /// Whether the numbers for what follows them are told.
    pub(super) told: bool,
}

/// Buffers that a pass needs, kept for the next one.
#[derive(Default)]
pub(super) struct Workspace {
    hidden: AlignedVec,
    normed: AlignedVec,
    qkv: AlignedVec,
    mixed: AlignedVec,
    gate: AlignedVec,
    inner: AlignedVec,
    /// One part for each member.
    scores: AlignedVec,
    /// What is told.
    told: AlignedVec,
}

/// The same as the members of the team see them.
#[derive(Clone, Copy)]
struct Buffers<'a> {
    hidden: SharedSlice<'a>,
    normed: SharedSlice<'a>,
    qkv: SharedSlice<'a>,
    mixed: SharedSlice<'a>,
    gate: SharedSlice<'a>,
    inner: SharedSlice<'a>,
    scores: SharedSlice<'a>,
    told: SharedSlice<'a>,
}

/// A token that goes through.
struct Row {
    token: u32,
    /// Which text it is of.
    text: usize,
    /// Its place in the text.
    position: usize,
}

/// Where a text's keys and values are kept, of each layer.
struct Text<'a> {
    keys: Vec<SharedSlice<'a>>,
    values: Vec<SharedSlice<'a>>,
}

/// What is computed.
struct Pass<'a> {
    rows: Vec<Row>,
    texts: Vec<Text<'a>>,
    /// Rows whose numbers are told.
    told: Vec<usize>,
}

impl Kept {
    /// Room for so many tokens.
    pub(super) fn new(config: &Config, capacity: usize) -> Self {
        let row = config.num_key_value_heads * config.head_dim;
        let room = || {
            (0..config.num_hidden_layers)
                .map(|_| AlignedVec::zeroed(capacity * row))
                .collect()
        };
        Self {
            keys: room(),
            values: room(),
            tokens: 0,
            capacity,
        }
    }
}

/// Reads tensors by their names without what a class puts before them.
struct Reader<'a> {
    tensors: &'a Tensors,
    prefix: &'static str,
    isa: Isa,
}

impl Reader<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<std::borrow::Cow<'_, [f32]>> {
        numbers(self.tensors, &format!("{}{name}", self.prefix), shape)
    }

    fn norm(&self, module: &str, width: usize, shifted: bool, epsilon: f32) -> Result<Norm> {
        let get = |part: &str| -> Result<AlignedVec> {
            Ok((*self.get(&format!("{module}.{part}"), &[width])?).into())
        };
        Ok(Norm {
            gamma: get("weight")?,
            beta: shifted.then(|| get("bias")).transpose()?,
            epsilon,
        })
    }

    /// Linear layers side by side, each `[outputs, inputs]`.
    fn linear(&self, modules: &[(&str, usize)], inputs: usize, bias: bool) -> Result<PackedMatrix> {
        let (mut weights, mut shifts) = (Vec::new(), Vec::new());
        for (module, outputs) in modules {
            weights.extend_from_slice(&self.get(&format!("{module}.weight"), &[*outputs, inputs])?);
            if bias {
                shifts.extend_from_slice(&self.get(&format!("{module}.bias"), &[*outputs])?);
            }
        }
        let outputs = modules.iter().map(|(_, outputs)| outputs).sum();
        Ok(PackedMatrix::smallest(
            &weights, &shifts, outputs, inputs, self.isa,
        ))
    }

    /// A linear layer as GPT-2 has it, `[inputs, outputs]`.
    fn across(&self, module: &str, inputs: usize, outputs: usize) -> Result<PackedMatrix> {
        let weights = self.get(&format!("{module}.weight"), &[inputs, outputs])?;
        let bias = self.get(&format!("{module}.bias"), &[outputs])?;
        Ok(PackedMatrix::pack(
            outputs,
            inputs,
            &bias,
            self.isa,
            |row, column| weights[row * outputs + column],
        ))
    }
}

impl Network {
    pub(super) fn new(config: Config, tensors: Tensors) -> Result<Self> {
        let (isa, gpt2) = (Isa::best(), config.family == Family::Gpt2);
        let (words, prefixes) = match gpt2 {
            true => ("wte.weight", ["transformer.", ""]),
            false => ("embed_tokens.weight", ["model.", ""]),
        };
        let there = |prefix: &&str| tensors.info(&format!("{prefix}{words}")).is_ok();
        let prefix = prefixes.into_iter().find(there).unwrap_or(prefixes[0]);
        let tensors = Arc::new(tensors);
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let table = Words::new(
            tensors.clone(),
            format!("{prefix}{words}"),
            vocabulary,
            hidden,
        )?;
        let read = Reader {
            tensors: &tensors,
            prefix,
            isa,
        };
        let layers = (0..config.num_hidden_layers).map(|layer| match gpt2 {
            true => Layer::gpt2(&read, &config, layer),
            false => Layer::llama(&read, &config, layer),
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let own = "lm_head.weight";
        let head = match !config.tied && tensors.info(own).is_ok() {
            true => numbers(&tensors, own, &[vocabulary, hidden])?,
            false if config.tied => read.get(words, &[vocabulary, hidden])?,
            false => return Err(Error::unsupported(format!("a checkpoint without `{own}`"))),
        };
        let head = PackedMatrix::smallest(&head, &[], vocabulary, hidden, isa);
        let positions =
            gpt2.then(|| read.get("wpe.weight", &[config.max_position_embeddings, hidden]));
        Ok(Self {
            isa,
            words: table,
            positions: positions.transpose()?.map(|table| (*table).into()),
            turns: if gpt2 { Vec::new() } else { turns(&config) },
            layers,
            last: match gpt2 {
                true => read.norm("ln_f", hidden, true, config.epsilon)?,
                false => read.norm("norm", hidden, false, config.epsilon)?,
            },
            head,
            config,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(Layer::bytes).sum();
        let positions = self.positions.as_ref().map_or(0, AlignedVec::bytes);
        layers + positions + self.words.bytes() + self.head.bytes()
    }

    /// Whether the network knows all of these tokens.
    ///
    /// # Errors
    /// One is not known.
    pub(super) fn knows(&self, tokens: &[u32]) -> Result<()> {
        let known = self.config.vocab_size;
        match tokens.iter().find(|&&id| id as usize >= known) {
            None => Ok(()),
            Some(id) => Err(Error::unsupported(format!(
                "token id {id} of {known} known"
            ))),
        }
    }

    /// Takes tokens of some texts in, and gives for each that is told the numbers that each token of the vocabulary has for the
    /// place behind, one text after the other: `[texts, vocabulary]`.
    ///
    /// # Errors
    /// When there are none of a text or more than there is room for, or one is not known.
    pub(super) fn read<'a>(
        &self,
        team: &Team,
        workspace: &'a mut Workspace,
        parts: &mut [Part<'_>],
    ) -> Result<&'a mut [f32]> {
        let (mut rows, mut told, mut longest) = (Vec::new(), Vec::new(), 0);
        for (text, part) in parts.iter().enumerate() {
            let (before, count) = (part.kept.tokens, part.tokens.len());
            let room = part.kept.capacity - before;
            if count == 0 || count > room {
                return Err(Error::unsupported(format!(
                    "{count} tokens where there is room for {room}"
                )));
            }
            self.knows(part.tokens)?;
            longest = longest.max(before + count);
            rows.extend((before..).zip(part.tokens).map(|(position, &token)| Row {
                token,
                text,
                position,
            }));
            if part.told {
                told.push(rows.len() - 1);
            }
        }
        let numbers = told.len() * self.config.vocab_size;
        self.make_room(workspace, rows.len(), team.threads(), longest, numbers);
        let buffers = workspace.shared();
        let texts = parts.iter_mut().map(|part| Text {
            keys: part
                .kept
                .keys
                .iter_mut()
                .map(|x| SharedSlice::new(x))
                .collect(),
            values: part
                .kept
                .values
                .iter_mut()
                .map(|x| SharedSlice::new(x))
                .collect(),
        });
        let pass = Pass {
            rows,
            texts: texts.collect(),
            told,
        };
        team.run(|member| self.forward(member, &pass, buffers));
        for part in parts {
            part.kept.tokens += part.tokens.len();
        }
        Ok(&mut workspace.told[..numbers])
    }

    fn make_room(
        &self,
        workspace: &mut Workspace,
        rows: usize,
        members: usize,
        tokens: usize,
        told: usize,
    ) {
        let config = &self.config;
        let (heads, kept) = (config.num_attention_heads, config.num_key_value_heads);
        let gated = self.layers.iter().any(|layer| layer.gate.is_some());
        let gate = if gated { config.intermediate_size } else { 0 };
        let of_rows = [
            (&mut workspace.hidden, config.hidden_size),
            (&mut workspace.normed, config.hidden_size),
            (&mut workspace.qkv, (heads + 2 * kept) * config.head_dim),
            (&mut workspace.mixed, heads * config.head_dim),
            (&mut workspace.gate, gate),
            (&mut workspace.inner, config.intermediate_size),
        ];
        for (buffer, columns) in of_rows {
            buffer.reserve_len(rows * columns);
        }
        let scores = members * tokens.next_multiple_of(16);
        workspace.scores.reserve_len(scores);
        workspace.told.reserve_len(told);
    }

    /// One member's part of the network.
    fn forward(&self, member: Member<'_>, pass: &Pass<'_>, buffers: Buffers<'_>) {
        let (count, hidden) = (pass.rows.len(), self.config.hidden_size);
        let rows = member.slice(count, 1);
        self.embed(pass, buffers.hidden, rows.clone());
        for (index, layer) in self.layers.iter().enumerate() {
            self.norm(&layer.before_attention, buffers, rows.clone(), rows.start);
            member.barrier();
            let none = Activation::None;
            product(
                member,
                &layer.qkv,
                buffers.normed,
                buffers.qkv,
                count,
                None,
                none,
            );
            member.barrier();
            self.keep(layer, index, pass, buffers, rows.clone());
            member.barrier();
            self.attention(member, layer.window, index, pass, buffers);
            member.barrier();
            let residual = Some(buffers.hidden);
            product(
                member,
                &layer.output,
                buffers.mixed,
                buffers.hidden,
                count,
                residual,
                none,
            );
            member.barrier();
            self.norm(&layer.before_inner, buffers, rows.clone(), rows.start);
            member.barrier();
            self.inner(member, layer, buffers, count);
            member.barrier();
            product(
                member,
                &layer.down,
                buffers.inner,
                buffers.hidden,
                count,
                residual,
                none,
            );
            member.barrier();
        }
        let told = pass.told.len();
        for to in member.slice(told, 1) {
            let row = pass.told[to];
            self.norm(&self.last, buffers, row..row + 1, to);
        }
        member.barrier();
        let Some(last) = told.checked_sub(1) else {
            return;
        };
        let (n, from) = (self.head.n(), buffers.normed.at(0, last * hidden + hidden));
        let right = Right {
            start: buffers.told.at(0, told * n),
            row: n,
            residual: None,
            activation: Activation::None,
        };
        let panels = member.slice(self.head.panels(), 1);
        // SAFETY: rows of the hidden size in, one number for each token out; each member writes its own panels.
        unsafe {
            let left = Left::rows(from.cast_const(), hidden);
            self.head.multiply(left, told, panels, right);
        };
    }

    /// Words, with their positions where those are a table.
    fn embed(&self, pass: &Pass<'_>, to: SharedSlice<'_>, rows: Range<usize>) {
        let hidden = self.config.hidden_size;
        for row in rows {
            let out = to.at(row * hidden, hidden);
            // SAFETY: `at` checked that the row is inside the buffer; it is this member's until the next barrier.
            let out = unsafe { std::slice::from_raw_parts_mut(out, hidden) };
            self.words.row(pass.rows[row].token as usize, out);
            if let Some(positions) = &self.positions {
                let position = &positions[pass.rows[row].position * hidden..][..hidden];
                out.iter_mut()
                    .zip(position)
                    .for_each(|(out, position)| *out += position);
            }
        }
    }

    /// Hidden states, normalised, from row `first` on.
    fn norm(&self, norm: &Norm, buffers: Buffers<'_>, rows: Range<usize>, first: usize) {
        let (hidden, count) = (self.config.hidden_size, rows.len());
        if count == 0 {
            return;
        }
        let from = buffers.hidden.at(rows.start * hidden, count * hidden);
        let to = buffers.normed.at(first * hidden, count * hidden);
        // SAFETY: both cover the rows (checked by `at`), which are this member's until the next barrier.
        unsafe {
            std::ptr::copy_nonoverlapping(from, to, count * hidden);
            norm.apply(self.isa, to, count, hidden, hidden);
        }
    }

    /// Puts keys and values where they are kept, and turns queries and keys.
    fn keep(
        &self,
        layer: &Layer,
        index: usize,
        pass: &Pass<'_>,
        buffers: Buffers<'_>,
        rows: Range<usize>,
    ) {
        let config = &self.config;
        let (heads, kept, dim) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        );
        let width = (heads + 2 * kept) * dim;
        let mut turned = vec![(0.0, 0.0); self.turns.len()];
        for row in rows {
            let Row { text, position, .. } = pass.rows[row];
            let text = &pass.texts[text];
            for (turned, turn) in turned.iter_mut().zip(&self.turns) {
                let angle = turn * position as f32;
                *turned = (angle.cos(), angle.sin());
            }
            let from = buffers.qkv.at(row * width, width);
            let keys = text.keys[index].at(position * kept * dim, kept * dim);
            let values = text.values[index].at(position * kept * dim, kept * dim);
            // SAFETY: all are inside their buffers (checked by `at`), and of this row, which is this member's.
            unsafe {
                if let Some([queries, of_keys]) = &layer.of_heads {
                    queries.apply(self.isa, from, heads, dim, dim);
                    of_keys.apply(self.isa, from.add(heads * dim), kept, dim, dim);
                }
                let both = std::slice::from_raw_parts_mut(from, (heads + kept) * dim);
                if !turned.is_empty() {
                    both.chunks_exact_mut(dim)
                        .for_each(|head| turn(head, &turned));
                }
                std::ptr::copy_nonoverlapping(from.add(heads * dim), keys, kept * dim);
                std::ptr::copy_nonoverlapping(from.add((heads + kept) * dim), values, kept * dim);
            }
        }
    }

    /// Attention of each token and head to the tokens so far.
    fn attention(
        &self,
        member: Member<'_>,
        window: usize,
        index: usize,
        pass: &Pass<'_>,
        buffers: Buffers<'_>,
    ) {
        let config = &self.config;
        let (heads, kept, dim) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        );
        let width = (heads + 2 * kept) * dim;
        let room = buffers.scores.len() / member.count();
        let scores = buffers.scores.at(member.index() * room, room);
        let scale = 1.0 / (dim as f32).sqrt();
        // Later tokens see more: each member has some of the early ones and some of the late ones.
        for unit in (member.index()..pass.rows.len() * heads).step_by(member.count()) {
            let (row, head) = (unit / heads, unit % heads);
            let Row { text, position, .. } = pass.rows[row];
            let text = &pass.texts[text];
            let (keys, values) = (text.keys[index], text.values[index]);
            let end = position + 1;
            let tokens = end.min(window);
            let start = (end - tokens) * kept * dim + head / (heads / kept) * dim;
            let span = (tokens - 1) * kept * dim + dim;
            let head_at = KeptHead {
                keys: keys.at(start, span).cast_const(),
                values: values.at(start, span).cast_const(),
                row: kept * dim,
                tokens,
                dim,
            };
            let query = buffers.qkv.at(row * width + head * dim, dim).cast_const();
            let out = buffers.mixed.at((row * heads + head) * dim, dim);
            debug_assert!(tokens <= room);
            // SAFETY: all are inside their buffers (checked by `at`); the result is this unit's, the scores this member's, and
            // nobody writes queries, keys and values before the next barrier.
            unsafe { attend_kept(self.isa, query, head_at, scale, scores, out) };
        }
    }

    /// What lies between the products of the feed-forward part; each member makes its own columns.
    fn inner(&self, member: Member<'_>, layer: &Layer, buffers: Buffers<'_>, rows: usize) {
        let Some(gate) = &layer.gate else {
            let gelu = Activation::GeluTanh;
            return product(
                member,
                &layer.up,
                buffers.normed,
                buffers.inner,
                rows,
                None,
                gelu,
            );
        };
        let none = Activation::None;
        product(member, gate, buffers.normed, buffers.gate, rows, None, none);
        product(
            member,
            &layer.up,
            buffers.normed,
            buffers.inner,
            rows,
            None,
            none,
        );
        let all = self.config.intermediate_size;
        let panels = member.slice(gate.panels(), 1);
        let first = (panels.start * gate.panel_width()).min(all);
        let columns = (panels.end * gate.panel_width()).min(all) - first;
        if columns == 0 {
            return;
        }
        let span = (rows - 1) * all + columns;
        let (gate, inner) = (buffers.gate.at(first, span), buffers.inner.at(first, span));
        let active = Block {
            out: gate,
            out_row: all,
            input: gate,
            input_row: all,
            residual: std::ptr::null(),
            residual_row: 0,
            rows,
            columns,
        };
        let both = Pair {
            out: inner,
            out_row: all,
            input: [gate.cast_const(), inner.cast_const()],
            row: [all; 2],
            step: [1; 2],
            rows,
            columns,
        };
        // SAFETY: the columns are those that this member has just made, in buffers that `at` checked.
        unsafe {
            elementwise::map(self.isa, Map::Silu, active);
            elementwise::pair(self.isa, Pairing::Mul, both);
        }
    }
}

impl Workspace {
    fn shared(&mut self) -> Buffers<'_> {
        Buffers {
            hidden: SharedSlice::new(&mut self.hidden),
            normed: SharedSlice::new(&mut self.normed),
            qkv: SharedSlice::new(&mut self.qkv),
            mixed: SharedSlice::new(&mut self.mixed),
            gate: SharedSlice::new(&mut self.gate),
            inner: SharedSlice::new(&mut self.inner),
            scores: SharedSlice::new(&mut self.scores),
            told: SharedSlice::new(&mut self.told),
        }
    }
}

impl Norm {
    /// # Safety
    /// `x` has `rows` rows of `width` writable values, `distance` apart; a norm that takes the mean away has them one after
    /// the other.
    unsafe fn apply(&self, isa: Isa, x: *mut f32, rows: usize, width: usize, distance: usize) {
        let gamma = self.gamma.as_ptr();
        // SAFETY: the caller's promise; gamma and beta are as wide as the rows.
        unsafe {
            match &self.beta {
                Some(beta) => layer_norm(isa, x, rows, width, gamma, beta.as_ptr(), self.epsilon),
                None => rms_norm(isa, x, rows, width, distance, gamma, self.epsilon),
            }
        }
    }
}

impl Layer {
    fn gpt2(read: &Reader<'_>, config: &Config, layer: usize) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let part = |name: &str| format!("h.{layer}.{name}");
        let norm = |name: &str| read.norm(&part(name), hidden, true, config.epsilon);
        Ok(Self {
            before_attention: norm("ln_1")?,
            qkv: read.across(&part("attn.c_attn"), hidden, 3 * hidden)?,
            of_heads: None,
            output: read.across(&part("attn.c_proj"), hidden, hidden)?,
            before_inner: norm("ln_2")?,
            gate: None,
            up: read.across(&part("mlp.c_fc"), hidden, inner)?,
            down: read.across(&part("mlp.c_proj"), inner, hidden)?,
            window: usize::MAX,
        })
    }

    fn llama(read: &Reader<'_>, config: &Config, layer: usize) -> Result<Self> {
        let (hidden, inner, dim) = (
            config.hidden_size,
            config.intermediate_size,
            config.head_dim,
        );
        let (heads, kept) = (
            config.num_attention_heads * dim,
            config.num_key_value_heads * dim,
        );
        let part = |name: &str| format!("layers.{layer}.{name}");
        let norm = |name: &str, width: usize| read.norm(&part(name), width, false, config.epsilon);
        let linear = |name: &str, outputs: usize, inputs: usize, bias: bool| {
            read.linear(&[(&part(name), outputs)], inputs, bias)
        };
        let of_heads = match config.family {
            Family::Qwen3 => {
                let of = |name: &str| norm(name, dim);
                Some([of("self_attn.q_norm")?, of("self_attn.k_norm")?])
            }
            _ => None,
        };
        let [q, k, v] =
            ["q_proj", "k_proj", "v_proj"].map(|name| part(&format!("self_attn.{name}")));
        let qkv = [(&*q, heads), (&*k, kept), (&*v, kept)];
        Ok(Self {
            before_attention: norm("input_layernorm", hidden)?,
            qkv: read.linear(&qkv, hidden, config.attention_bias)?,
            of_heads,
            output: linear("self_attn.o_proj", hidden, heads, config.output_bias)?,
            before_inner: norm("post_attention_layernorm", hidden)?,
            gate: Some(linear("mlp.gate_proj", inner, hidden, config.mlp_bias)?),
            up: linear("mlp.up_proj", inner, hidden, config.mlp_bias)?,
            down: linear("mlp.down_proj", hidden, inner, config.mlp_bias)?,
            window: config
                .windows
                .get(layer)
                .copied()
                .flatten()
                .unwrap_or(usize::MAX),
        })
    }

    fn bytes(&self) -> u64 {
        let gate = self.gate.as_ref().map_or(0, PackedMatrix::bytes);
        self.qkv.bytes() + self.output.bytes() + gate + self.up.bytes() + self.down.bytes()
    }
}

/// This member's columns of `to = activation(from * matrix + bias) + residual`.
fn product(
    member: Member<'_>,
    matrix: &PackedMatrix,
    from: SharedSlice<'_>,
    to: SharedSlice<'_>,
    rows: usize,
    residual: Option<SharedSlice<'_>>,
    activation: Activation,
) {
    let (k, n) = (matrix.k(), matrix.n());
    let left = from.at(0, rows * k).cast_const();
    let right = Right {
        start: to.at(0, rows * n),
        row: n,
        residual: residual.map(|residual| (residual.at(0, rows * n).cast_const(), n)),
        activation,
    };
    // SAFETY: the buffers cover all rows (checked by `at`), and each member writes its own panels.
    unsafe {
        let panels = member.slice(matrix.panels(), 1);
        matrix.multiply(Left::rows(left, k), rows, panels, right);
    }
}

/// Turns the pairs of a head, whose halves lie behind each other.
fn turn(head: &mut [f32], turned: &[(f32, f32)]) {
    let (first, second) = head.split_at_mut(turned.len());
    for ((x, y), (cos, sin)) in first.iter_mut().zip(second).zip(turned) {
        (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
    }
}

/// How far each pair of a head turns from one position to the next.
fn turns(config: &Config) -> Vec<f32> {
    let half = config.head_dim / 2;
    (0..half)
        .map(|pair| {
            let turn = config.rope_theta.powf(-(pair as f64) / half as f64);
            let turn = match config.stretch {
                Stretch::None => turn,
                Stretch::Linear(factor) => turn / factor,
                Stretch::Llama3 {
                    factor,
                    low,
                    high,
                    context,
                } => {
                    // Waves that fit into the context.
                    let waves = context * turn / std::f64::consts::TAU;
                    let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                    turn * kept + turn / factor * (1.0 - kept)
                }
            };
            turn as f32
        })
        .collect()
}
