#!/usr/bin/env bash
# Searches a million faces exactly, beside FAISS and numpy, on the same descriptors.
#
#     benches/face_search.sh [FACES]
#
# Needs Python 3 with venv; FAISS and numpy are installed into a folder in the user's cache.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/face-search-venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import faiss' 2>/dev/null || "$venv/bin/python" -m pip install --quiet faiss-cpu numpy
vectors="$(mktemp)"
trap 'rm -f "$vectors"' EXIT
cd "$here/.."
cargo bench --quiet --bench face_search -- "${1:-1000000}" "$vectors"
OMP_NUM_THREADS=2 "$venv/bin/python" "$here/peers/face_search.py" "$vectors"
