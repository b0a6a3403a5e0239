# Sourced by benches/graphs.sh and benches/images.sh: makes the virtual environment of their peers, once.
# Afterwards $python runs in it and `bench NAME` prints the path of a built benchmark.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/escala"
python="$cache/vision-venv/bin/python"
want="$(sha256sum <"$here/peers/vision.txt")"
if [ "$(cat "$cache/vision-venv/.ready" 2>/dev/null || true)" != "$want" ]; then
    echo "preparing $cache/vision-venv (once)" >&2
    [ -x "$python" ] || python3 -m venv "$cache/vision-venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/peers/vision.txt"
    echo "$want" >"$cache/vision-venv/.ready"
fi

bench() {
    cargo bench --bench "$1" --no-run --message-format=json-render-diagnostics | "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])'
}
