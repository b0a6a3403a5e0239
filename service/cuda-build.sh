#!/usr/bin/env bash
# Builds `escala` with CUDA devices on a machine that has no CUDA toolkit: the compiler comes as Python
# packages, cuBLAS, cuRAND and NVRTC are loaded when the program runs (the driver and, say, a PyTorch
# installation have them; add their folders to LD_LIBRARY_PATH).
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
exec cargo build --release --features cuda "$@"
