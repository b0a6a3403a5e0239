#!/usr/bin/env bash
# Builds `escala` with CUDA devices on a machine that has no CUDA toolkit and no GPU: the compiler comes
# as Python packages, and the libraries that the program needs when it runs (the driver's libcuda, cuBLAS,
# cuRAND, NVRTC, cudart) are stood in for by empty ones while it is linked. The machine that runs it must
# have the real ones: a driver and, say, a PyTorch installation, whose `nvidia/*/lib` folders go into
# LD_LIBRARY_PATH.
#
#     service/cuda-build.sh                      # for the GPU of this machine
#     CUDA_COMPUTE_CAP=90 service/cuda-build.sh  # for another one: 80 A100, 86 RTX 30, 89 L4, 90 H100 and H200
#
# The CUDA version must not be newer than the driver: 13.0 needs drivers of the 580 series.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version="${ESCALA_CUDA_VERSION:-13.0}"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/cuda-$version"

if [ -z "${CUDA_COMPUTE_CAP:-}" ]; then
    if ! command -v nvidia-smi >/dev/null; then
        echo "no GPU to ask for its compute capability: set CUDA_COMPUTE_CAP (90 for an H100 or H200)" >&2
        exit 2
    fi
    CUDA_COMPUTE_CAP="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)"
fi
export CUDA_COMPUTE_CAP

if [ ! -e "$venv/.complete" ]; then
    echo "fetching the CUDA $version compiler into $venv (once)" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "nvidia-cuda-nvcc==$version.*" "nvidia-cuda-crt==$version.*" "nvidia-nvvm==$version.*" \
        "nvidia-cuda-runtime==$version.*" "nvidia-cuda-cccl==$version.*"
    touch "$venv/.complete"
fi
CUDA_HOME="$(echo "$venv"/lib/python3*/site-packages/nvidia/cu"${version%%.*}")"
export CUDA_HOME CUDA_PATH="$CUDA_HOME" CUDA_ROOT="$CUDA_HOME" PATH="$CUDA_HOME/bin:$PATH"

# The libraries' names for the linker, holding every symbol that the CUDA crates leave open.
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --package escala-models --features cuda
mkdir -p "$target/cuda-stand-ins"
stand_ins="$(cd "$target/cuda-stand-ins" && pwd)"
open_symbols="$(nm --undefined-only --just-symbols "$target"/release/deps/libcudarc-*.rlib \
    "$target"/release/deps/libcandle_*.rlib "$target"/release/build/candle-kernels-*/out/*.a 2>/dev/null | sort -u)"
stand_in() { # library, soname, symbols
    { grep -E "$3" <<<"$open_symbols" || true; } | sed 's/.*/.globl &\n.type &, @function\n&:/' >"$stand_ins/$1.s"
    cc -shared -nostdlib -Wl,-soname,"$2" -o "$stand_ins/lib$1.so" "$stand_ins/$1.s"
}
major="${version%%.*}"
stand_in cuda libcuda.so.1 '^cu[A-Z]'
stand_in cudart "libcudart.so.$major" '^(cuda|__cuda)'
stand_in cublas "libcublas.so.$major" '^cublas[^L]'
stand_in cublasLt "libcublasLt.so.$major" '^cublasLt'
stand_in curand libcurand.so.10 '^curand'
stand_in nvrtc "libnvrtc.so.$major" '^nvrtc'

# For the last step only: these flags may not change how the crates above were compiled.
exec cargo rustc --release --features cuda --bin escala "$@" -- -L "native=$stand_ins"
