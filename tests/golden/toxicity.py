"""Writes toxicity.json: what Keras and the package's own tokenizer answer, from the folder of an unpacked tox-block 0.1.2.

    pip install tensorflow-cpu tf_keras
    python toxicity.py UNPACKED_WHEEL > toxicity.json

`tf_keras` is Keras 2, for which the weights were made: the gates' hard sigmoid is clip(x / 5 + 1/2) there.
The wheel must be the one that weights/catalog/tox-block.toml pins; its pickle is a program, so run no other.
"""

import json
import os
import pickle
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow
import tf_keras

TEXTS = [
    "I will kill you, you fucking idiot!",
    "Good morning my friend, I hope you're having a fantastic day!",
    "I do strongly disagree with the fascist views of this joke that calls itself a political party.",
    "You are so dumb and stupid!",
    "I hate you so much!",
    "This is wonderful news.",
    "The weather is nice and the train leaves at nine.",
    "Shut up, you worthless piece of garbage.",
    "What a damn good pizza, holy crap.",
    "People from that country should all be deported, they are vermin.",
    "I am going to find you and hurt you.",
    "Your argument is wrong because the second premise does not hold.",
    "",
    "xyzzyplugh qwrtzx",
    "IDIOT\tidiot\nidiot\ridiot",
    "ÄRGER über Straße İstanbul ΟΔΥΣΣΕΥΣ naïve café",
    "one two three four five six seven eight nine ten " * 10,
    "You are a stupid person. " + "The garden is full of flowers and the birds sing in the morning. " * 9,
    "don't can't won't it's #hashtag @name e-mail a_b {c} [d] ~e ^f `g` |h| 'i' \"j\"",
    "you",
]


class Unpickler(pickle.Unpickler):
    """Leaves out the package's own code, whose imports are of 2020."""

    def find_class(self, module, name):
        if name == "TokenSequencer":
            return type("TokenSequencer", (), {})
        if module == "keras_preprocessing.text":
            return getattr(tf_keras.preprocessing.text, name)
        return super().find_class(module, name)


folder = Path(sys.argv[1]) / "tox_block" / "trained_models"
with open(folder / "encoder_0.1.2.pkl", "rb") as file:
    encoder = Unpickler(file).load()
encoder.tokenizer.analyzer = None  # an attribute that came after the pickle
model = tf_keras.models.load_model(folder / "lstm_model_0.1.2.h5", compile=False)
ids = encoder.tokenizer.texts_to_sequences(TEXTS)
scores = model.predict(
    tf_keras.preprocessing.sequence.pad_sequences(ids, maxlen=encoder.max_sequence_length), verbose=0
)
golden = {
    "reference": f"tensorflow {tensorflow.__version__}, tf_keras {tf_keras.__version__}, tox-block 0.1.2",
    "labels": ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"],
    "items": [
        {"text": text, "ids": words, "scores": [round(float(score), 8) for score in row]}
        for text, words, row in zip(TEXTS, ids, scores)
    ],
}
json.dump(golden, sys.stdout, indent=1, ensure_ascii=False)
print()
