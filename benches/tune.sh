#!/usr/bin/env bash
# Transfer learning and tuning of the image network beside PyTorch on the same weights, images, order, augmentation, dropout
# and settings, and two threads: accuracy on images that were held out, and seconds of a step. The images are
# scikit-learn's handwritten digits at the network's size.
#
#     benches/tune.sh                          # 400 images to learn from, 400 held out, 6 passes: six minutes on two cores
#     benches/tune.sh --train 800 --passes 8
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
peers=tune_images
. "$here/vision_env.sh"
cd "$here/.."
binary="$(cargo build --release -p escala-models --example tune_bench --message-format=json-render-diagnostics |
    "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')"
exec "$python" "$here/peers/tune_images.py" "$binary" "$@"
