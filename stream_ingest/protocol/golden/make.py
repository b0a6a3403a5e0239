#!/usr/bin/env python3
"""Writes messages.txt: every message in every version with random values (fixed seed), encoded by kafka-clients.

    mvn dependency:copy -Dartifact=org.apache.kafka:kafka-clients:4.1.1 -DoutputDirectory=libs
    (the same for com.fasterxml.jackson.core:jackson-{databind,core,annotations}:2.19.0, org.slf4j:slf4j-api:1.7.36)
    python3 make.py libs          # with Java 17
"""

import base64
import json
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORDS = ["", "orders", "größe", "a.b-c_d", "消費者", "x" * 130]


def inside(version, text):
    if text == "none":
        return False
    if text.endswith("+"):
        return version >= int(text[:-1])
    low, _, high = text.partition("-")
    return int(low) <= version <= int(high or low)


def value(kind, field, structs, version, chance):
    if kind.startswith("[]"):
        count = chance.choice([0, 1, 2, 2, 2, 2])
        return [value(kind[2:], field, structs, version, chance) for _ in range(count)]
    if kind == "bool":
        return chance.random() < 0.5
    if kind.startswith("int"):
        bits = int(kind[3:])
        return chance.choice([0, 1, -1, 7, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), chance.getrandbits(bits - 1)])
    if kind == "string":
        return chance.choice(WORDS)
    if kind == "uuid":
        return base64.urlsafe_b64encode(chance.randbytes(16)).decode().rstrip("=")
    if kind == "bytes" or kind == "records":
        return base64.b64encode(chance.randbytes(chance.choice([0, 1, 100, 200]))).decode()
    return struct(field.get("fields") or structs[kind], structs, version, chance)


def struct(fields, structs, version, chance):
    out = {}
    for field in fields:
        if not inside(version, field["versions"]):
            continue
        if inside(version, field.get("tagged", "none")) and chance.random() < 0.4:
            continue  # Left to its default.
        name = field["name"][0].lower() + field["name"][1:]
        if inside(version, field.get("nullable", "none")) and chance.random() < 0.3:
            out[name] = None
        else:
            out[name] = value(field["type"], field, structs, version, chance)
    return out


def main():
    chance = random.Random(20261128)
    lines = []
    for message in json.loads((HERE.parent / "messages.json").read_text()):
        structs = {one["name"]: one["fields"] for one in message.get("structs", [])}
        low, _, high = message["versions"].partition("-")
        for version in range(int(low), int(high or low) + 1):
            data = struct(message["fields"], structs, version, chance)
            lines.append(f"{message['name']} {version} {json.dumps(data, ensure_ascii=False)}\n")
    run = subprocess.run(
        ["java", "-cp", f"{sys.argv[1]}/*", HERE / "Encode.java"],
        input="".join(lines), capture_output=True, encoding="utf-8",
    )
    if run.returncode:
        sys.exit(run.stderr)
    (HERE / "messages.txt").write_text(run.stdout)


main()
