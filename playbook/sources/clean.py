"""Cleaners: from a platform's text to numbers, times, ids and masked text, as
expressions the engine runs in bulk.

Each one answers two questions about a whole column before it is used: which style is it
written in, and which values does that style not explain. A value no style explains is
never guessed.
"""

from __future__ import annotations

import re

from playbook.store.privacy import EMAIL, PHONES

__all__ = [
    "BLANKS",
    "DATE_STYLES",
    "EMAIL",
    "PHONES",
    "SCIENTIFIC",
    "blank",
    "currency_code",
    "day_of",
    "masked",
    "number",
    "plain_text",
    "time_of",
]

# what platforms write where there is nothing
BLANKS = (
    "",
    ".",
    "-",
    "--",
    "---",
    "—",
    "–",
    "null",
    "none",
    "nan",
    "n/a",
    "#n/a",
    "nil",
    "无",
    "\\n",
    "(not set)",
)
SCIENTIFIC = r"^[+-]?[0-9](\.[0-9]+)?[eE]\+?[0-9]{2,}$"

_SPACES = " \t\n\r\u00a0\u3000\ufeff"
_CURRENCY = r"(?i)(us\$|au\$|ca\$|hk\$|nt\$|r\$|[£€$¥￥₩₹₽฿₺₫]|元|円|kr\.?|zł|chf|gbp|eur|usd|cny|rmb|jpy|aud|cad|sek|nok|dkk|pln)"
CODES = {"£": "GBP", "€": "EUR", "$": "USD", "US$": "USD", "¥": "CNY", "￥": "CNY", "元": "CNY"}
# signs that several currencies share
SHARED_SIGNS = {
    "USD": ("USD", "AUD", "CAD", "NZD", "HKD", "SGD", "MXN", "TWD", "ARS", "CLP", "COP"),
    "CNY": ("CNY", "JPY"),
}

# style: (what a value looks like, the engine's format); the first one that explains every value is taken
DATE_STYLES: tuple[tuple[str, str], ...] = (
    ("iso", ""),
    ("y/m/d h:m:s", "%Y/%m/%d %H:%M:%S"),
    ("y/m/d h:m", "%Y/%m/%d %H:%M"),
    ("y/m/d", "%Y/%m/%d"),
    ("ymd", "%Y%m%d"),
    ("y-m-d h:m", "%Y-%m-%d %H:%M"),
    ("年月日", "%Y年%m月%d日"),
    ("年月日 h:m:s", "%Y年%m月%d日 %H:%M:%S"),
    ("mon d, y h:m:s p", "%b %d, %Y %I:%M:%S %p"),
    ("mon d, y h:m:s", "%b %d, %Y %H:%M:%S"),
    ("mon d, y", "%b %d, %Y"),
    ("month d, y", "%B %d, %Y"),
    ("mon-d-yy", "%b-%d-%y"),
    ("mon-d-yy h:m:s", "%b-%d-%y %H:%M:%S"),
    ("mon-d-y", "%b-%d-%Y"),
    ("d mon y h:m:s", "%d %b %Y %H:%M:%S"),
    ("d mon y", "%d %b %Y"),
    ("d month y", "%d %B %Y"),
    ("d-mon-y", "%d-%b-%Y"),
    ("d-mon-yy", "%d-%b-%y"),
    ("d.m.y h:m:s", "%d.%m.%Y %H:%M:%S"),
    ("d.m.y h:m", "%d.%m.%Y %H:%M"),
    ("d.m.y", "%d.%m.%Y"),
    ("m/d/y h:m:s", "%m/%d/%Y %H:%M:%S"),
    ("d/m/y h:m:s", "%d/%m/%Y %H:%M:%S"),
    ("m/d/y h:m:s p", "%m/%d/%Y %I:%M:%S %p"),
    ("d/m/y h:m:s p", "%d/%m/%Y %I:%M:%S %p"),
    ("m/d/y h:m", "%m/%d/%Y %H:%M"),
    ("d/m/y h:m", "%d/%m/%Y %H:%M"),
    ("m/d/y", "%m/%d/%Y"),
    ("d/m/y", "%d/%m/%Y"),
    ("m/d/yy h:m", "%m/%d/%y %H:%M"),
    ("d/m/yy h:m", "%d/%m/%y %H:%M"),
    ("m/d/yy", "%m/%d/%y"),
    ("d/m/yy", "%d/%m/%y"),
    ("d-m-y", "%d-%m-%Y"),
    ("y-m", "%Y-%m"),
    ("y/m", "%Y/%m"),
    ("mon y", "%b %Y"),
    ("month y", "%B %Y"),
    ("y年m月", "%Y年%m月"),
)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def is_odd(column: str, *, is_id: bool = False) -> str:
    """Whether a text may have outer blanks or a spreadsheet wrapper (`="x"`, a leading
    apostrophe), or stand for nothing.

    Cheap to ask, so that the dear `plain_text` runs only on columns that need it.
    """
    o = f"ord({column})"  # -1 for an empty text; comparisons cost a fraction of a list to look in
    last = " OR ".join(f"suffix({column}, '{c}')" for c in (" ", "\t", "\u00a0", "\u3000"))
    hash_sign = "" if is_id else f" OR {o} = {ord('#')}"
    word = f"({o} IN (78, 110) AND NOT {is_plain(column)})"
    return (
        f"({o} < 33 OR {o} = 39 OR {o} BETWEEN 45 AND 46 OR {o} = 61 OR {o} = 92 OR {o} >= 160 OR {word} "
        f"OR {last}{hash_sign})"
    )


def is_plain(column: str) -> str:
    """Whether `plain_text` is sure to leave a text as it is: no odd sign at its ends,
    and no word for nothing.
    """
    shape = "[0-9A-Za-z+][ -~]*[0-9A-Za-z]"
    words = ", ".join(_literal(w) for w in BLANKS if re.fullmatch(shape, w))
    return f"(regexp_full_match({column}, '{shape}') AND lower({column}) NOT IN ({words}))"


def plain_text(column: str) -> str:
    """The column without wrappers and outer blanks. Dear to set up and to run, so used
    only where `is_odd` finds some.

    Each inner expression stands once: the engine would take repeated ones out of their
    branch and run them on all rows.
    """
    bare = f"trim({column}, '{_SPACES}')"
    inner = f"regexp_replace(regexp_replace({bare}, '^=\"(.*)\"$', '\\1', 's'), '^''+', '')"
    nothing = "(?i)^(" + "|".join(re.escape(w) for w in BLANKS) + ")$"
    return f"nullif(regexp_replace(trim({inner}, '{_SPACES}'), {_literal(nothing)}, ''), '')"


def whole_id(text: str) -> str:
    """An id without the `.0` that a spreadsheet or a data frame puts behind a number."""
    number = f"regexp_replace({text}, '^([0-9]+)\\.0+$', '\\1')"
    return f"CASE WHEN suffix({text}, '.0') OR suffix({text}, '.00') THEN {number} ELSE {text} END"


def blank(text: str) -> str:
    """Whether cleaned text stands for nothing."""
    return f"({text} IS NULL OR lower({text}) IN ({', '.join(map(_literal, BLANKS))}))"


def number(text: str, style: str) -> str:
    """A decimal from cleaned text in one of the styles plain, dot (1,234.56) or comma
    (1.234,56 and 1 234,56).
    """
    if style == "plain":
        return f"TRY_CAST({text} AS DECIMAL(18,6))"
    bare = f"regexp_replace({text}, '{_CURRENCY}', '', 'g')"
    bare = f"regexp_replace({bare}, '[\\s\u00a0\u202f\u2009’'']', '', 'g')"
    bare = (
        f"regexp_replace(regexp_replace({bare}, '^\\((.*)\\)$', '-\\1'), '^([0-9.,]+)-$', '-\\1')"
    )
    bare = f"replace({bare}, '−', '-')"
    if style == "dot":
        shape, digits = (
            r"^[+-]?([0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}|[0-9]*)(\.[0-9]*)?$",
            f"replace({bare}, ',', '')",
        )
    else:
        shape = r"^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]*)(,[0-9]*)?$"
        digits = f"replace(replace({bare}, '.', ''), ',', '.')"
    return (
        f"CASE WHEN regexp_matches({bare}, '{shape}') THEN TRY_CAST({digits} AS DECIMAL(18,6)) END"
    )


def currency_code(text: str) -> str:
    """The currency sign or code a money text carries; missing where it carries none."""
    return f"nullif(upper(regexp_extract({text}, '{_CURRENCY}', 1)), '')"


def currency_by_sign(text: str, shop: str | None) -> str:
    """SQL: the currency a money text's sign or code stands for. A sign that several share is
    the shop's own where the shop is one of them.
    """
    own = str(shop or "").upper()
    whens = [
        f"WHEN {_literal(sign)} THEN {_literal(own if own in SHARED_SIGNS.get(code, ()) else code)}"
        for sign, code in (
            *CODES.items(),
            ("ZŁ", "PLN"),
            ("KR", own or "SEK"),
            ("KR.", own or "DKK"),
        )
    ]
    sign = currency_code(text)
    return f"CASE {sign} {' '.join(whens)} ELSE CASE WHEN length({sign}) = 3 THEN {sign} END END"


def time_of(text: str, style: str) -> str:
    """(naive or zoned) time from cleaned text as TIMESTAMP in the zone it is printed
    in.
    """
    if style == "iso":
        head = f"replace(regexp_replace({text}, '\\s*(Z|UTC|GMT|[+-][0-9]{{2}}:?[0-9]{{2}})$', ''), 'T', ' ')"
        return f"TRY_CAST(CASE WHEN regexp_matches({text}, '^[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}') THEN {head} END AS TIMESTAMP)"
    if style == "zoned":  # exactly `2026-10-01 09:00:00 +0100`
        return f"TRY_CAST(substr({text}, 1, 19) AS TIMESTAMP)"
    if style == "fast":  # exactly `2026-10-01 09:00:00 +0100` or the same without offset
        return f"TRY_CAST(substr({text}, 1, 19) AS TIMESTAMP)"
    text = f"regexp_replace({text}, ' (UTC|GMT|[A-Z]{{2,4}}T)$', '')"
    return f"CAST(try_strptime({text}, {_literal(dict(DATE_STYLES)[style])}) AS TIMESTAMP)"


def offset_minutes(text: str, style: str = "") -> str:
    """Minutes east of UTC that a time text states; missing where it states none."""
    if style == "zoned":
        sign = f"CASE substr({text}, 21, 1) WHEN '-' THEN -1 ELSE 1 END"
        return f"({sign} * (TRY_CAST(substr({text}, 22, 2) AS INTEGER) * 60 + TRY_CAST(substr({text}, 24, 2) AS INTEGER)))"
    found = f"regexp_extract({text}, '([+-])([0-9]{{2}}):?([0-9]{{2}})$', ['s', 'h', 'm'])"
    return (
        f"CASE WHEN regexp_matches({text}, '(Z|UTC|GMT)$') THEN 0 WHEN regexp_matches({text}, ':[0-9.]+ ?[+-][0-9]{{2}}:?[0-9]{{2}}$') "
        f"THEN (CASE {found}.s WHEN '-' THEN -1 ELSE 1 END) * (CAST({found}.h AS INTEGER) * 60 + CAST({found}.m AS INTEGER)) "
        f"WHEN regexp_matches({text}, ' (PDT|MST)$') THEN -420 WHEN regexp_matches({text}, ' (PST)$') THEN -480 "
        f"WHEN regexp_matches({text}, ' (BST|CET|MEZ|WEST)$') THEN 60 WHEN regexp_matches({text}, ' (CEST|MESZ|EET)$') THEN 120 END"
    )


def day_of(text: str, style: str) -> str:
    """The day a cleaned text names."""
    return f"CAST({time_of(text, style)} AS DATE)"


def masked(text: str) -> str:
    """Text with e-mails and phone numbers replaced by the word for what stood there."""
    out = f"regexp_replace({text}, {_literal(EMAIL)}, '[e-mail]', 'g')"
    for pattern in PHONES:
        groups = 1 + len(re.findall(r"(?<!\\)\((?!\?)", pattern.rsplit("($|", 1)[0]))
        out = f"regexp_replace({out}, {_literal(pattern)}, '\\1[phone]\\{groups}', 'g')"
    return out


def has_contact(text: str) -> str:
    """Whether a text holds an e-mail or a phone number."""
    digits = " OR ".join(f"regexp_matches({text}, {_literal(p)})" for p in PHONES)
    return f"((contains({text}, '@') AND regexp_matches({text}, {_literal(EMAIL)})) OR {digits})"
