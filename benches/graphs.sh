#!/usr/bin/env bash
# The ONNX vision networks in the graph runtime beside ONNX Runtime on the same files and inputs, in one run and
# interleaved, with the same threads: median milliseconds and the ratio. Answers are compared, too.
#
#     benches/graphs.sh [THREADS]        # two by default
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/graphs-venv"
if [ ! -e "$venv/.ready" ]; then
    echo "preparing $venv (once)" >&2
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 numpy==2.4.6
    touch "$venv/.ready"
fi
cd "$here/.."
bench="$(cargo bench --bench graphs --no-run --message-format=json-render-diagnostics |
    "$venv/bin/python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')"
exec "$venv/bin/python" "$here/peers/graphs_peer.py" "$bench" "${1:-2}"
