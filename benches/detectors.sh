#!/usr/bin/env bash
# RT-DETR of the published sizes (R18vd and R50vd at 640 pixels, random weights) beside transformers on PyTorch and
# beside ONNX Runtime, on the same checkpoints and a photograph: answers are compared, then all are timed in turns.
#
#     benches/detectors.sh                       # about five minutes on two cores
#     benches/detectors.sh --only r18 --rounds 20
#     benches/detectors.sh --keep FOLDER         # leaves the checkpoints there
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
peers=detr
. "$here/vision_env.sh"
cd "$here/.."
exec "$python" "$here/peers/detectors_peer.py" "$(bench detectors)" "$@"
