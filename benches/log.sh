#!/usr/bin/env bash
# The event log beside Apache Kafka, on the same disk, asked by the same client (Kafka's own ProducerPerformance and
# ConsumerPerformance), in turns in one run: records a second, latency of acknowledgements, processor seconds of the broker
# for a gigabyte.
#
#     benches/log.sh                                  # about half an hour on two cores
#     benches/log.sh --sizes 1000 --partitions 1 --rounds 5
#     benches/log.sh --sizes ""                       # only what a client that costs next to nothing sends and reads
#
# All are asked with acks=all. Escala and Kafka run twice each: syncing before they answer, which is what Escala does unless it
# is told otherwise and Kafka does with log.flush.interval.messages=1, and leaving that for later, which is Kafka's default and
# what Escala's topics do with flush.messages. A broker that keeps nothing shows what the client can show at most.
#
# Needs Java 17 and Maven, which brings Kafka's jars into a folder in the user's cache.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 1; }
libs="$("$here/peers/kafka/jars.sh")"
cd "$here/.."
cargo build --release --quiet
cargo build --release --quiet -p escala-stream-ingest --example null --example fast
target="$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys
print(json.load(sys.stdin)["target_directory"])')"
exec python3 "$here/peers/log_peer.py" "$target/release/escala" "$target/release/examples" "$libs" "$@"
