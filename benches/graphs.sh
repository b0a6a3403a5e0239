#!/usr/bin/env bash
# All vision networks in the graph runtime beside ONNX Runtime, and those that come as TensorFlow.js graphs beside
# TensorFlow.js, with the same weights and inputs, in one run and interleaved: median milliseconds and ratios of
# times. Answers are compared, too.
#
#     benches/graphs.sh                          # about ten minutes on two cores
#     benches/graphs.sh --only face --rounds 30
#     benches/graphs.sh --threads 1
#
# The first run makes a virtual environment and a folder of node modules under ${XDG_CACHE_HOME:-~/.cache}/escala.
# Without npm, TensorFlow.js is left out.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/vision_env.sh"
tfjs=()
if command -v npm >/dev/null; then
    modules="$cache/graphs-tfjs"
    if [ ! -e "$modules/.ready" ]; then
        echo "preparing $modules (once)" >&2
        mkdir -p "$modules"
        packages=()
        for part in core converter backend-cpu backend-wasm; do packages+=("@tensorflow/tfjs-$part@4.22.0"); done
        (cd "$modules" && npm install --silent --no-audit --no-fund "${packages[@]}" >&2)
        touch "$modules/.ready"
    fi
    tfjs=(--tfjs "$modules")
else
    echo "npm is missing: TensorFlow.js is left out" >&2
fi
cd "$here/.."
exec "$python" "$here/peers/graphs_peer.py" "$(bench graphs)" "${tfjs[@]}" "$@"
