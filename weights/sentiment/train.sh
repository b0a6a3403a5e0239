#!/usr/bin/env bash
# Trains the two sentiment classifiers of this folder from the rated sentences, and puts them in place.
#
#     weights/sentiment/train.sh [WORK_FOLDER]
#
# Needs the binary (`cargo build --release`); ESCALA names another one. The sentences and both base models are
# pulled. The English adapter takes about half an hour on two cores, the multilingual head ten minutes. A run that was stopped
# goes on where it was.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
escala="${ESCALA:-$here/../../target/release/escala}"
work="${1:-$(mktemp -d)}"

"$escala" train sentiment-data --output "$work/data" --composed 1500
data=(--train "$work/data/train.jsonl" --dev "$work/data/dev.jsonl" --test "$work/data/test.jsonl")

"$escala" train text-classifier "${data[@]}" --output "$work/en" \
    --base all-minilm-l6-v2 --method lora --rank 16 --epochs 2 --rate 1e-3 --max-tokens 64

"$escala" train text-classifier "${data[@]}" --output "$work/multilingual" \
    --base multilingual-e5-small --method head --prompt "query: " --max-tokens 128 \
    --epochs 40 --batch 256 --head-rate 2e-3 --patience 5

for model in en multilingual; do
    cp "$work/$model/adapter_config.json" "$work/$model/adapter_model.safetensors" "$work/$model/metrics.json" "$here/$model/"
done
