"""Shift-JIS and EUC-JP told from GB18030 and from Western text.

One encoding taken for another turns every name into another, without an error. So the bytes
have to be Japanese by their own measure, and where they could be Chinese as well the words of
the headers decide. The measures: how Japanese is written (two bytes a sign, signs in a row,
most of them kana or of the commoner kanji), against a Western sign above ASCII, which stands
alone. Files that were misread by others: github.com/jawah/charset_normalizer/issues/605,
github.com/kohii/smoothcsv3/issues/228 and 239, github.com/chardet/chardet/issues/280.
"""

from __future__ import annotations

import codecs
import functools
import re
from pathlib import Path

from playbook.messages import read_yaml

PAIR = rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]"
# lead bytes of signs, kana and the kanji of level 1
COMMON = rb"[\x81-\x84\x88-\x98]"
LEAST_COMMON, LEAST_IN_A_ROW, MOST_HALF_WIDTH = 0.6, 0.6, 0.3
# where no header is a Japanese word: so many signs, and so many of them kana
LEAST_SIGNS, LEAST_KANA = 12, 0.2
HEADER_LINES = 60


@functools.cache
def _words(language: str) -> tuple[str, ...]:
    found = read_yaml(Path(__file__).with_name("words.yaml"))
    return tuple(found[f"{language}_headers"])


def decoded(sample: bytes, encoding: str) -> str | None:
    """The sample as text, a sign cut off at its end left out; None where it is not text in
    this encoding.
    """
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return None


def header_hits(sample: bytes, encoding: str, language: str) -> int:
    """How many of a language's words for columns stand in the file's first lines."""
    text = decoded(sample, encoding) or ""
    head = "\n".join(text.splitlines()[:HEADER_LINES])
    return sum(word in head for word in _words(language))


def is_shift_jis(sample: bytes) -> bool:
    """Whether bytes are Japanese written in Shift-JIS (Windows' code page 932)."""
    text = decoded(sample, "cp932")
    if text is None:
        return False
    pairs = re.findall(PAIR, sample)
    if not pairs:
        return False
    common = sum(re.match(COMMON, p) is not None for p in pairs)
    rows = re.findall(b"(?:" + PAIR + b")+", sample)
    in_a_row = sum(len(row) // 2 for row in rows if len(row) > 2)
    half_width = sum("\uff61" <= sign <= "\uff9f" for sign in text)
    return (
        common >= LEAST_COMMON * len(pairs)
        and in_a_row >= LEAST_IN_A_ROW * len(pairs)
        and half_width <= MOST_HALF_WIDTH * (len(pairs) + half_width)
    )


def _is_full_of_kana(sample: bytes) -> bool:
    signs = [s for s in decoded(sample, "cp932") or "" if s > "\u3000"]
    kana = sum("\u3041" <= s <= "\u30fe" for s in signs)
    return len(signs) >= LEAST_SIGNS and kana >= LEAST_KANA * len(signs)


def japanese_encoding(sample: bytes, *, may_be_chinese: bool) -> str:
    """`cp932` or `euc_jp` where the bytes are Japanese, else nothing. Where they may be
    Chinese too, only headers that are Japanese words and not Chinese ones prove it; a few
    signs without such a word prove nothing.
    """
    if is_shift_jis(sample):
        hits = header_hits(sample, "cp932", "japanese")
        if hits > header_hits(sample, "gb18030", "chinese"):
            return "cp932"
        if not may_be_chinese and _is_full_of_kana(sample):
            return "cp932"
    euc = header_hits(sample, "euc_jp", "japanese")
    if euc > max(1, header_hits(sample, "gb18030", "chinese")):
        return "euc_jp"
    return ""
