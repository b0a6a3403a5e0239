#!/usr/bin/env bash
# Whole requests on images, from the file to the answer, beside the same steps in Python with ONNX Runtime, OpenCV and
# Pillow: DetectLabels (labels and objects) and DetectFaces (all attributes) on photographs of three sizes, with the
# same threads, in one run and interleaved: median milliseconds and ratios of times. Escala is asked through HTTP,
# base64 and JSON included; Python calls its functions.
#
#     benches/images.sh                    # about five minutes on two cores
#     benches/images.sh --rounds 40 --threads 1
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/vision_env.sh"
cd "$here/.."
cargo build --release --quiet
graphs="$(bench graphs)"
target="$(cargo metadata --format-version 1 --no-deps | "$python" -c 'import json, sys
print(json.load(sys.stdin)["target_directory"])')"
exec "$python" "$here/peers/images_peer.py" "$target/release/escala" "$graphs" "$@"
