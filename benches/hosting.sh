#!/usr/bin/env bash
# What hosting costs: an endpoint beside its model asked directly, 200 models under 2 GB by Zipf's law, an endpoint by HTTP beside
# FastAPI with XGBoost on the same trees (interleaved), and what somebody who waits for an answer notices of a training and a
# transform job that run meanwhile.
#
#     benches/hosting.sh                       # five minutes on two cores
#     benches/hosting.sh --questions 500 --seconds 5 --turns 1
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
peers=hosting
. "$here/vision_env.sh"
cd "$here/.."
cargo build --release
built() {
    cargo build --release "$@" --message-format=json-render-diagnostics |
        "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])'
}
escala="$(built --bin escala)"
overhead="$(built -p escala-sagemaker --example hosting_overhead)"
exec "$python" "$here/hosting.py" "$escala" "$overhead" "$@"
