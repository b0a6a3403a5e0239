# Sourced by benches/graphs.sh, benches/images.sh, benches/detectors.sh, benches/learn.sh, benches/tune.sh and benches/continue.sh: makes the virtual environment of their peers,
# once; $peers names it and its list in benches/peers, if it is not `vision`.
# Afterwards $python runs in it and `bench NAME` prints the path of a built benchmark.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/escala"
peers="${peers:-vision}"
venv="$cache/$peers-venv"
python="$venv/bin/python"
want="$(sha256sum <"$here/peers/$peers.txt")"
if [ "$(cat "$venv/.ready" 2>/dev/null || true)" != "$want" ]; then
    echo "preparing $venv (once)" >&2
    [ -x "$python" ] || python3 -m venv "$venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/peers/$peers.txt"
    echo "$want" >"$venv/.ready"
fi

bench() {
    cargo bench --bench "$1" --no-run --message-format=json-render-diagnostics | "$python" -c 'import json, sys
print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])'
}
