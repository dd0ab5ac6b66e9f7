"""What many short texts are about: words that come together, found by factorising how often
each is said.

Non-negative matrix factorisation of tf-idf weights (Lee & Seung 1999, Nature 401, 788-791)
with scikit-learn; it starts from the data (NNDSVD, Boutsidis & Gallopoulos 2008), so the same
texts give the same topics. Chinese is cut into words by rjieba where it is installed, else
into pairs of signs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

__all__ = ["Topics", "find_topics", "words_of"]

#: different texts that the topics are learned from, words they are learned in
MOST_TEXTS, MOST_WORDS = 4000, 1500
#: different texts for every topic up to which there is nothing to learn
SEED = 0  # of the draws a decomposition starts from
FEW_TEXTS = 2
#: words that name a topic
NAMED = 3
#: a text is about a topic when that has this share of its weight, and the cosine of their words
#: is this much; else it is about nothing named
CLEAR, ALIKE = 0.4, 0.2
_RUNS = re.compile(r"[\u4e00-\u9fff]+|[^\W\d_\u4e00-\u9fff]+(?:'[^\W\d_]+)?")
#: words that tell nothing, beside scikit-learn's list
_EMPTY = frozenset(
    [
        "just",
        "really",
        "quite",
        "bit",
        "lot",
        "got",
        "get",
        "thing",
        "things",
        "would",
        "like",
        "too",
        "one",
    ]
)
#: signs that join and never tell
_JOINTS = frozenset("的了是我你他她它们这那有和在也就都很不没还吗呢吧啊着过到给被把与及或")


@dataclass(frozen=True)
class Topics:
    """`names`: the words of each topic, the commonest topic first; `which`: for each text the
    number of its topic, -1 where none is clear.
    """

    names: list[str]
    which: ndarray


def words_of(text: str) -> list[str]:
    """The words of a text that may tell what it is about, in lower case."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    words = []
    for run in _RUNS.findall(text.casefold()):
        words += _cut(run) if _is_chinese(run) else [run]
    silent = ENGLISH_STOP_WORDS | _EMPTY | _JOINTS
    return [w for w in words if w not in silent and (len(w) > 2 or _is_chinese(w))]


def _is_chinese(word: str) -> bool:
    return "\u4e00" <= word[0] <= "\u9fff"


def _cut(run: str) -> list[str]:
    """A run of Chinese signs as words."""
    try:
        import rjieba
    except ImportError:
        return [run[i : i + 2] for i in range(max(len(run) - 1, 1))]
    return list(rjieba.cut(run))


def find_topics(texts: list[str], *, n_topics: int = 8) -> Topics:
    """Sorts texts into at most `n_topics` topics. Texts said several times are learned from
    once and counted as often; where hardly more differ than topics are asked for (answers to
    choose from), each is a topic.
    """
    unique, back = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    counts = np.bincount(back)
    if len(unique) <= FEW_TEXTS * n_topics:
        return _each_text(list(unique), counts, back)
    weights, words = _weighed(list(unique), counts)
    parts, loads = _factors(weights, counts, n_topics)
    share = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    # rows of tf-idf have length one
    cosine = weights @ (loads / np.maximum(np.linalg.norm(loads, axis=1, keepdims=True), 1e-12)).T
    most = share.argmax(axis=1)
    at = np.arange(len(most)), most
    which = np.where((share[at] >= CLEAR) & (cosine[at] >= ALIKE), most, -1)
    size = np.bincount(which[which >= 0], counts[which >= 0], loads.shape[0])
    order = np.argsort(-size, kind="stable")
    place = np.full(len(order) + 1, -1)
    place[order] = np.arange(len(order))
    # the last digits of a factor hang on where its numbers lie in memory
    loads = np.round(loads / np.maximum(loads.max(axis=1, keepdims=True), 1e-12), 6)
    names = [
        ", ".join(words[i] for i in np.argsort(-loads[t], kind="stable")[:NAMED]) for t in order
    ]
    said = int((size > 0).sum())
    return Topics(names[:said], place[which][back])


def _each_text(unique: list[str], counts: ndarray, back: ndarray) -> Topics:
    """Every text that says anything is a topic of its own, named by its first words."""
    names = [", ".join(list(dict.fromkeys(words_of(text)))[:NAMED]) for text in unique]
    order = [i for i in np.argsort(-counts, kind="stable") if names[i]]
    known = list(dict.fromkeys(names[i] for i in order))
    which = np.array([known.index(name) if name else -1 for name in names], dtype=int)
    return Topics(known, which[back] if len(back) else np.array([], dtype=int))


def _weighed(texts: list[str], counts: ndarray) -> tuple[object, ndarray]:
    """Tf-idf weights of the texts' words, and the words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    maker = TfidfVectorizer(
        tokenizer=words_of,
        token_pattern=None,
        lowercase=False,
        max_features=MOST_WORDS,
        sublinear_tf=True,
    )
    return maker.fit_transform(texts), maker.get_feature_names_out()


def _factors(weights: object, counts: ndarray, n_topics: int) -> tuple[ndarray, ndarray]:
    """How much of each topic is in each text, and of each word in each topic; learned from the
    texts said most, at most `MOST_TEXTS` of them.
    """
    from sklearn.decomposition import NMF

    model = NMF(n_topics, init="nndsvda", max_iter=300, tol=1e-3, random_state=SEED)
    learned = np.sort(np.argsort(-counts, kind="stable")[:MOST_TEXTS])
    model.fit(weights[learned])
    return model.transform(weights), model.components_
