//! The question: what do the kernels give over candle's own CPU operations, at the sizes the networks use?
//!
//! ```text
//! cargo bench --bench kernels
//! ESCALA_ISA=avx2 cargo bench --bench kernels -- matmul
//! ```
//!
//! One thread for the kernels; candle uses as many as it likes. Throughput is in multiply-adds.

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use escala_models::kernels::attention::{Head, attend, scratch_len};
use escala_models::kernels::depthwise::{DepthwiseFilter, Row};
use escala_models::kernels::matmul::{Activation, Left, PackedMatrix, Right};
use escala_models::kernels::norm::layer_norm;
use escala_models::kernels::{AlignedVec, Isa};
use std::hint::black_box;

fn random(len: usize) -> Vec<f32> {
    let tensor = Tensor::randn(0f32, 1.0, len, &Device::Cpu).expect("a tensor on the CPU");
    tensor.to_vec1().expect("its values")
}

fn matmul(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    let isa = Isa::best();
    for (m, k, n) in [
        (16, 384, 1536),
        (96, 384, 1152),
        (96, 1536, 384),
        (784, 80, 480),
    ] {
        let (left, weights, bias) = (random(m * k), random(n * k), random(n));
        group.throughput(Throughput::Elements((m * k * n) as u64));
        let packed = PackedMatrix::from_outputs(&weights, &bias, n, k, isa);
        let mut out = AlignedVec::zeroed(m * n);
        let name = format!("{m}x{k}x{n}");
        group.bench_function(BenchmarkId::new(isa.name(), &name), |b| {
            b.iter(|| {
                let right = Right {
                    start: out.as_mut_ptr(),
                    row: n,
                    residual: None,
                    activation: Activation::None,
                };
                // SAFETY: `left` is [m, k] and `out` is [m, n].
                unsafe {
                    packed.multiply(Left::rows(left.as_ptr(), k), m, 0..packed.panels(), right)
                };
                black_box(&out);
            });
        });
        let a = Tensor::from_slice(&left, (m, k), &Device::Cpu).expect("left");
        let w = Tensor::from_slice(&weights, (n, k), &Device::Cpu)
            .and_then(|w| w.t())
            .expect("right");
        let bias = Tensor::from_slice(&bias, n, &Device::Cpu).expect("bias");
        group.bench_function(BenchmarkId::new("candle", &name), |b| {
            b.iter(|| {
                black_box(
                    a.matmul(&w)
                        .and_then(|y| y.broadcast_add(&bias))
                        .expect("product"),
                )
            });
        });
    }
    group.finish();
}

fn depthwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("depthwise");
    group.sample_size(20);
    let isa = Isa::best();
    for (side, stride, width, channels) in [(3, 2, 113, 96), (5, 1, 18, 672)] {
        let (image, weights) = (
            random(width * width * channels),
            random(channels * side * side),
        );
        let out_width = (width - side) / stride + 1;
        group.throughput(Throughput::Elements(
            (out_width * out_width * channels * side * side) as u64,
        ));
        let filter = DepthwiseFilter::new(&weights, &vec![0.0; channels], side, stride, isa)
            .expect("a filter");
        let mut out = AlignedVec::zeroed(out_width * out_width * channels);
        let name = format!("{side}x{side} stride {stride}, {width}x{width}x{channels}");
        group.bench_function(BenchmarkId::new(isa.name(), &name), |b| {
            b.iter(|| {
                for y in 0..out_width {
                    let row = Row {
                        input: image[y * stride * width * channels..].as_ptr(),
                        input_row: width * channels,
                        pixel: channels,
                        output: out[y * out_width * channels..].as_mut_ptr(),
                        width: out_width,
                    };
                    // SAFETY: every tap of the valid convolution is inside the image.
                    unsafe { filter.row(row, 0, channels, Activation::Relu6) };
                }
                black_box(&out);
            });
        });
        let x =
            Tensor::from_slice(&image, (1, channels, width, width), &Device::Cpu).expect("image");
        let w =
            Tensor::from_slice(&weights, (channels, 1, side, side), &Device::Cpu).expect("filter");
        group.bench_function(BenchmarkId::new("candle", &name), |b| {
            b.iter(|| black_box(x.conv2d(&w, 0, stride, 1, channels).expect("convolution")));
        });
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention of one head");
    let isa = Isa::best();
    let dim = 32;
    for tokens in [16, 128, 512] {
        let x = random(3 * tokens * dim);
        group.throughput(Throughput::Elements((2 * tokens * tokens * dim) as u64));
        let mut out = AlignedVec::zeroed(tokens * dim);
        let mut scratch = AlignedVec::zeroed(scratch_len(isa, tokens, dim));
        group.bench_function(BenchmarkId::new(isa.name(), tokens), |b| {
            b.iter(|| {
                let at = |part: usize| x[part * dim..].as_ptr();
                let head = Head {
                    queries: at(0),
                    keys: at(1),
                    values: at(2),
                    row: 3 * dim,
                    tokens,
                    dim,
                };
                // SAFETY: rows of three parts, and buffers of the sizes asked for.
                unsafe { attend(isa, head, 0.18, out.as_mut_ptr(), dim, scratch.as_mut_ptr()) };
                black_box(&out);
            });
        });
        let part = |index: usize| {
            let rows = Tensor::from_slice(&x, (tokens, 3 * dim), &Device::Cpu).expect("rows");
            rows.narrow(1, index * dim, dim)
                .and_then(|part| part.contiguous())
                .expect("part")
        };
        let (q, k, v) = (part(0), part(1).t().expect("transposed"), part(2));
        group.bench_function(BenchmarkId::new("candle", tokens), |b| {
            b.iter(|| {
                let scores = (q.matmul(&k).expect("scores") * 0.18).expect("scaled");
                black_box(
                    candle_nn::ops::softmax_last_dim(&scores)
                        .and_then(|p| p.matmul(&v))
                        .expect("mixed"),
                )
            });
        });
    }
    group.finish();
}

fn norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer norm");
    let isa = Isa::best();
    let (rows, width) = (96, 384);
    let (mut x, gamma, beta) = (random(rows * width), random(width), random(width));
    group.throughput(Throughput::Elements((rows * width) as u64));
    let tensor = |values: &[f32], shape: &[usize]| {
        Tensor::from_slice(values, shape, &Device::Cpu).expect("a tensor")
    };
    let (tx, tg, tb) = (
        tensor(&x, &[rows, width]),
        tensor(&gamma, &[width]),
        tensor(&beta, &[width]),
    );
    group.bench_function(BenchmarkId::new(isa.name(), "96x384"), |b| {
        b.iter(|| {
            // SAFETY: `x` is [rows, width], gamma and beta are [width].
            unsafe {
                layer_norm(
                    isa,
                    x.as_mut_ptr(),
                    rows,
                    width,
                    gamma.as_ptr(),
                    beta.as_ptr(),
                    1e-12,
                )
            };
            black_box(&x);
        });
    });
    group.bench_function(BenchmarkId::new("candle", "96x384"), |b| {
        b.iter(|| black_box(candle_nn::ops::layer_norm(&tx, &tg, &tb, 1e-12).expect("normalised")));
    });
    group.finish();
}

criterion_group!(kernels, matmul, depthwise, attention, norm);
criterion_main!(kernels);
