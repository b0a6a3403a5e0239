#!/usr/bin/env bash
# Texts continued by a hosted network beside Hugging Face transformers on PyTorch: seconds until the first token behind 256
# others, tokens a second after it, and tokens a second of eight such texts at once, with the same random weights and two threads,
# interleaved, medians. Escala is asked through HTTP by boto3, of eight texts by eight clients; transformers in its own process, of
# eight texts in one batch. The network has the form of Qwen 2, 208 million weights.
#
#     benches/continue.sh                      # weights as 32-bit floats; four minutes on two cores
#     benches/continue.sh --half               # as 16-bit brain floats; transformers widens them when it loads them
#     benches/continue.sh --rounds 9 --layers 24 --texts 16
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
peers=continued
. "$here/vision_env.sh"
cd "$here/.."
cargo build --release --quiet
target="$(cargo metadata --format-version 1 --no-deps | "$python" -c 'import json, sys
print(json.load(sys.stdin)["target_directory"])')"
exec "$python" "$here/peers/continued_peer.py" "$target/release/escala" "$@"
