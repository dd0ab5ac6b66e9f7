"""`init`: a new store folder with shop.yaml and a workbook of fill-in sheets for what
no export holds.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.sources.sheets import FILL_IN
from playbook.store.contract import TABLES

SHOP_YAML = """\
# The shop, as the notebooks need to know it. Everything here can be changed at any time.
name: {name}
currency: {currency}        # three letters; empty: that of most orders. Others need an exchange_rate in cost_rates
timezone: {timezone}        # such as Europe/Berlin; empty: days are counted as the exports print them
week_starts_on: monday
closed_weekdays: []         # such as [sunday]: days without sales are then closed, not missing
holidays: []                # such as [2026-12-25]
# orders that count as sales; the others (placed, cancelled) stand in the ledger
counted_statuses: [paid, shipped, done, refunded]
# true only if the very first order of the shop is in the data; otherwise early cohorts are marked
log_starts_with_shop: false
# columns or texts that may hold an e-mail or a phone number, such as products.title or help@example.com
privacy_allow: []
# thresholds of single notebooks, such as: parameters: {{05_ltv_modelling: {{horizon_days: 365}}}}
parameters: {{}}
"""

# Where an order came from, in the words of campaign tags: tried in this order, the first that stands in the text wins.
CHANNEL_RULES: tuple[tuple[str, str, str, bool], ...] = (
    ("google_ads", "google ads", "paid", True),
    ("google / cpc", "google ads", "paid", True),
    ("bing / cpc", "microsoft ads", "paid", True),
    ("meta_ads", "meta ads", "paid", True),
    ("facebook / paid", "meta ads", "paid", True),
    ("instagram / paid", "meta ads", "paid", True),
    ("paid social", "meta ads", "paid", True),
    ("tiktok_ads", "tiktok ads", "paid", True),
    ("wanxiangtai", "wanxiangtai", "paid", True),
    ("万相台", "wanxiangtai", "paid", True),
    ("直播", "live", "live", False),
    ("paid search", "google ads", "paid", True),
    ("cross-network", "google ads", "paid", True),
    ("affiliate", "partners", "partner", True),
    ("email", "email", "email", False),
    ("newsletter", "email", "email", False),
    ("sms", "sms", "email", False),
    ("organic social", "organic social", "social", False),
    ("organic", "organic search", "search", False),
    ("referral", "referral", "referral", False),
    ("amazon", "amazon", "partner", False),
    ("direct", "direct", "direct", False),
    ("(none)", "direct", "direct", False),
)


@dataclass
class InitReport:
    """What was written, and what to do next."""

    folder: str
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """The report in sentences, one a line."""
        return [
            f"written: {', '.join(self.written) or 'nothing'}",
            *([f"kept as it was: {', '.join(self.kept)}"] if self.kept else []),
            *self.next_steps,
        ]


def init_store(folder: str | os.PathLike, *, currency: str = "", timezone: str = "") -> InitReport:
    """Writes `shop.yaml` and `fill-in.xlsx` into `folder`; what is already there is
    kept. PlaybookError on a bad currency or time zone, and where `folder` is a file.
    """
    import zoneinfo

    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise PlaybookError("sources.store_is_a_file", file=path.name)
    if currency and not re.fullmatch(r"[A-Z]{3}", currency.upper()):
        raise PlaybookError("sources.no_currency", given=currency)
    try:
        zoneinfo.ZoneInfo(timezone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise PlaybookError("sources.no_time_zone", given=timezone) from None
    path.mkdir(parents=True, exist_ok=True)
    report = InitReport(str(path))
    name = re.sub(r"[^\w-]+", "-", path.resolve().name).strip("-") or "shop"
    text = SHOP_YAML.format(name=name, currency=currency.upper(), timezone=timezone)
    for file, write in (
        ("shop.yaml", lambda p: p.write_text(text, encoding="utf-8")),
        ("fill-in.xlsx", _workbook),
    ):
        if (path / file).exists():
            report.kept.append(file)
        else:
            write(path / file)
            report.written.append(file)
    report.next_steps = [
        f"correct {path / 'shop.yaml'}",
        f"fill in the sheets you can, then: playbook import auto {path / 'fill-in.xlsx'} --into {path}",
        f"put your exports in one folder, then: playbook import auto exports/* --into {path}",
    ]
    return report


def _workbook(path: Path) -> None:
    """One sheet per table, headers being the contract's columns, notes on every header;
    rules for channels filled in.
    """
    import xlsxwriter

    with xlsxwriter.Workbook(
        str(path), {"strings_to_formulas": False, "strings_to_urls": False}
    ) as book:
        book.set_properties(
            {"created": dt.datetime(2000, 1, 1)}
        )  # the same bytes whenever it is written
        needed, plain = (
            book.add_format({"bold": True, "bg_color": "#DDEBF7"}),
            book.add_format({"bold": True}),
        )
        for name in FILL_IN:
            table = TABLES[name]
            sheet = book.add_worksheet(name)
            sheet.freeze_panes(1, 0)
            for i, c in enumerate(table.columns):
                sheet.write_string(0, i, c.name, needed if c.required else plain)
                note = [c.meaning, f"{c.type}{', needed' if c.required else ''}"]
                note += [f"one of: {', '.join(c.allowed)}"] if c.allowed else []
                sheet.write_comment(0, i, "\n".join(note))
                sheet.set_column(i, i, max(12, len(c.name) + 2))
                if c.allowed:
                    sheet.data_validation(
                        1, i, 2000, i, {"validate": "list", "source": list(c.allowed)}
                    )
            if name == "channels":
                for i, (pattern, channel, kind, is_paid) in enumerate(CHANNEL_RULES, start=1):
                    sheet.write_number(i, 0, i)
                    for j, value in enumerate((pattern, channel, kind), start=1):
                        sheet.write_string(i, j, value)
                    sheet.write_boolean(i, 4, is_paid)
