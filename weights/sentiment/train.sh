#!/usr/bin/env bash
# Trains the sentiment classifier of this folder from the rated sentences, and puts it in place.
#
#     weights/sentiment/train.sh [WORK_FOLDER]
#
# Needs the binary (`cargo build --release`); ESCALA names another one. The sentences and the base model are pulled. It takes
# about an hour on two cores. A run that was stopped goes on where it was.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
escala="${ESCALA:-$here/../../target/release/escala}"
work="${1:-$(mktemp -d)}"

"$escala" train sentiment-data --output "$work/data" --composed 1500

"$escala" train text-classifier --output "$work/model" \
    --train "$work/data/train.jsonl" --dev "$work/data/dev.jsonl" --test "$work/data/test.jsonl" \
    --base multilingual-e5-small --method lora --rank 8 --epochs 2 --rate 1e-3 \
    --max-tokens 72 --prompt "query: " --evaluations 4

cp "$work/model/adapter_config.json" "$work/model/adapter_model.safetensors" "$work/model/metrics.json" "$here/"
