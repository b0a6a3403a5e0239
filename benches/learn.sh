#!/usr/bin/env bash
# Training of Escala's algorithms beside the libraries that SageMaker runs for them, on the same generated tables and two
# threads, interleaved: seconds from a table in memory to a model, medians, their ratios, and how good both models are on
# rows that were held out.
#
#     benches/learn.sh                        # 200,000 rows of 50 columns, 100 rounds, three times: minutes on two cores
#     benches/learn.sh --only binary --rounds 5
#     benches/learn.sh --rows 20000
#     benches/learn.sh sklearn [what ...]     # linear-learner, kmeans and pca beside scikit-learn instead of xgboost
#     benches/learn.sh fasttext [rounds]      # blazingtext beside fastText, on sentences of reviews
#     benches/learn.sh texts [--train 2000]   # text-classification beside scikit-learn, on rated sentences
#     benches/learn.sh quality [ALGORITHM ..] # all nine beside their peers on data that packages bring, through a server: how good
#
# The first run makes a virtual environment under ${XDG_CACHE_HOME:-~/.cache}/escala.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
peers=learn
case "${1:-}" in
sklearn | fasttext)
    peers="learn_$1"
    shift
    ;;
texts)
    peers=learn_sklearn
    . "$here/vision_env.sh"
    shift
    cd "$here/.."
    cargo build --release
    exec "$python" "$here/peers/learn_texts.py" "${CARGO_TARGET_DIR:-target}/release/escala" "$@"
    ;;
esac
if [ "${1:-}" = quality ]; then
    peers=learn_quality
    . "$here/vision_env.sh"
    shift
    cd "$here/.."
    cargo build --release
    exec "$python" "$here/peers/learn_quality.py" "${CARGO_TARGET_DIR:-target}/release/escala" "$@"
fi
. "$here/vision_env.sh"
cd "$here/.."
example() {
    cargo build --release -p escala-learn --example "$1" --message-format=json-render-diagnostics |
        "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])'
}
if [ "$peers" = learn_fasttext ]; then
    binary="$(example text_bench)"
    exec "$python" "$here/peers/learn_fasttext.py" "$binary" "$@"
fi
if [ "$peers" = learn_sklearn ]; then
    binary="$(example linear_kmeans_bench)"
    export OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2
    exec "$python" "$here/peers/learn_sklearn.py" "$binary" "$@"
fi
binary="$(cargo bench -p escala-learn --bench peer --no-run --message-format=json-render-diagnostics |
    "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')"
exec "$python" "$here/peers/learn_peer.py" "$binary" "$@"
