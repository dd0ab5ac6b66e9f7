"""The state of an order in a platform's words: its own first, then the words that shops and
plug-ins use in several languages; what is none of them is named with its orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from playbook.messages import say
from playbook.sources.adapter import Delivery
from playbook.sources.mapped import fields
from playbook.store.write import quoted

SHOWN = 5


def status_of(d: Delivery, said: str, own: Mapping[str, Sequence[str]]) -> str:
    """SQL: the status a platform's word (`said`, in lower case) stands for; `placed` where
    nobody knows the word, and a sentence that says so.
    """
    whens = [_when(said, own_words, status) for status, own_words in own.items()]
    spaced = f"regexp_replace({said}, '[-_\\s]+', ' ', 'g')"
    for status, words in fields()["status"].items():
        whens.append(_when(spaced, [w.strip() for w in words.split("|")], status))
    case = f"CASE {' '.join(whens)} END"
    found = d.con.execute(
        f"SELECT {said}, count(*) FROM raw WHERE {said} IS NOT NULL AND {case} IS NULL "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    if found:
        words, n = ", ".join(word for word, _ in found[:SHOWN]), sum(n for _, n in found)
        d.notes.append(say("sources.states_unknown", words=words, n=n, header=d.header("status")))
    return f"coalesce({case}, 'placed')"


def _when(said: str, words: Sequence[str], status: str) -> str:
    return f"WHEN {said} IN ({', '.join(map(quoted, words))}) THEN '{status}'"
