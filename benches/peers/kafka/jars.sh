#!/usr/bin/env bash
# Brings Apache Kafka's jars, those of pom.xml, into a folder of the user's cache, once, and prints the folder. Tests and
# benches use it. Needs Java 17 and Maven.
set -euo pipefail
pom="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/pom.xml"
for program in java javac mvn; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done
folder="${XDG_CACHE_HOME:-$HOME/.cache}/escala/kafka-jars"
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
if ! cmp -s "$pom" "$folder/pom.xml"; then
    echo "bringing Apache Kafka's jars into $folder (once)" >&2
    rm -rf "$folder/libs"
    # A registry that does not answer is as good as none.
    timeout 600 mvn -q -B -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder/libs" >&2
    # Copied last: what was interrupted starts over.
    cp "$pom" "$folder/pom.xml"
fi
echo "$folder/libs"
