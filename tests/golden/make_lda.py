"""Writes lda.json: topics that scikit-learn learns from documents that a formula makes.

    pip install scikit-learn
    python make_lda.py > lda.json

Document d has the words (d * 31 + i * i * 7) % 60 for i below d % 13 + 1, each as often as it comes; its own topic draws it to a
third of the words. Parameters begin with 0.5 + ((k * 60 + v) * 7919 % 1021) / 1020 for topic k and word v. Documents begin with
equal topics: scikit-learn draws them at random while it learns, which is overridden here.
"""

import json

import numpy
import sklearn
from scipy.special import digamma
from sklearn.decomposition import LatentDirichletAllocation

TOPICS, WORDS, DOCUMENTS, BATCH = 6, 60, 256, 64


class Lda(LatentDirichletAllocation):
    def _e_step(self, X, cal_sstats, random_init, parallel=None):
        return super()._e_step(X, cal_sstats, False, parallel)


def document(d):
    counts = numpy.zeros(WORDS)
    for i in range(d % 13 + 1):
        word = (d * 31 + i * i * 7) % WORDS
        counts[word if i % 3 == 0 else d % 3 * 20 + word // 3] += 1
    return counts


counts = numpy.stack([document(d) for d in range(DOCUMENTS)])
begin = 0.5 + (numpy.arange(TOPICS * WORDS) * 7919 % 1021).reshape(TOPICS, WORDS) / 1020
lda = Lda(TOPICS, learning_method="online", total_samples=DOCUMENTS, n_jobs=1)
# What a first call would draw by chance.
lda._check_n_features = lambda *_, **__: None
lda.n_features_in_ = WORDS
lda.random_state_ = numpy.random.RandomState(0)
lda.n_batch_iter_ = 1
lda.n_iter_ = 0
lda.doc_topic_prior_ = lda.topic_word_prior_ = 1 / TOPICS
lda.components_ = begin
lda.exp_dirichlet_component_ = numpy.exp(digamma(begin) - digamma(begin.sum(1, keepdims=True)))
rounds = []
for _ in range(3):
    for at in range(0, DOCUMENTS, BATCH):
        lda.partial_fit(counts[at : at + BATCH])
    rounds.append(lda.components_.copy())


def rounded(values):
    return [[round(value, 9) for value in row] for row in values.tolist()]


print(
    json.dumps(
        {
            "versions": {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__},
            "components": [rounded(components) for components in rounds],
            "mixtures": rounded(lda.transform(counts)[:78]),
        }
    )
)
