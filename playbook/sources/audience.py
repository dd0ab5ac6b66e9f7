"""`audience`: the people of a segment, found in the shop's own contact file, on this
machine only.

The store knows people by keys; the shop's contact file knows their e-mails. Both meet
here under the shop's salt, and only those who consented and are not held out come out.
Nothing of it is written into a store or under `runs/`.
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery, Settings, found_columns
from playbook.sources.importing import read_log
from playbook.sources.read import open_sheets
from playbook.sources.secret import Salt
from playbook.store.write import connect, quoted

CONTACTS = Adapter(
    kind="contacts",
    title="contact file",
    gives=(),
    columns="""
        email! word | email | e-mail | e mail | email address | customer email | e-mail-adresse | adresse e-mail | 邮箱 | 电子邮箱
        consent! word | consent | accepts email marketing | accepts marketing | email marketing | marketing consent | opt in | optin | newsletter | einwilligung | consentement | 营销同意
    """,
    shape=lambda d: None,
)
YES = ("true", "yes", "y", "1", "ja", "oui", "x", "subscribed", "是", "同意")


@dataclass
class AudienceReport:
    """How many people of a segment were found, and why the others are not in the file."""

    segment: str
    file: str
    n_segment: int
    n_held_out: int
    n_in_contacts: int
    n_without_consent: int
    n_written: int

    def as_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """The report in sentences, one a line."""
        return [
            f"{self.segment}: {self.n_segment:,} customers, {self.n_held_out:,} of them held out",
            f"found in the contact file: {self.n_in_contacts:,}; without consent: {self.n_without_consent:,}",
            f"{self.n_written:,} written to {self.file}; delete it when the campaign has gone out",
        ]


def safe_cell(text: object) -> str:
    """Text that a spreadsheet will show and not run: a leading sign of a formula gets
    an apostrophe before it.
    """
    value = "" if text is None else str(text)
    return (
        f"'{value}"
        if value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") or value.lstrip()[:1] in ("=", "@")
        else value
    )


def write_audience(
    segment: str,
    contacts: str | os.PathLike,
    to: str | os.PathLike,
    *,
    store: str | os.PathLike,
    members: pd.DataFrame | Iterable[str] | str | os.PathLike,
    held_out: Iterable[str] = (),
    salt: bytes | None = None,
) -> AudienceReport:
    """Writes the e-mails of a segment's customers who consented and are not held out to
    the CSV file `to`.

    `members`: the customer_ids of the segment, or a frame or parquet/CSV file of
    customers with customer_id, segment and optionally arm (`holdout` is left out) and
    products (skus, one column each in the file).
    `contacts` needs an e-mail and a consent column; rows without a clear yes are left
    out. Refuses a file under a folder `runs` and a store whose salt is another one.
    """
    target = Path(to)
    if (
        "runs" in [p.lower() for p in target.resolve().parts]
        or Path(store).resolve() in target.resolve().parents
    ):
        raise PlaybookError("sources.list_inside_store", file=target.name)
    keys, out, products = _members(segment, members)
    out |= set(held_out)
    secret = Salt(read_log(Path(store)).get("salt_fingerprint"), given=salt, may_create=False)
    secret()
    found, refused, mails = _matched(Path(contacts), secret, keys, out)
    _write(target, mails, products)
    return AudienceReport(
        segment, target.name, len(keys | (out & keys)), len(out & keys), found, refused, len(mails)
    )


def _matched(
    contacts: Path, secret: Salt, keys: set[str], out: set[str]
) -> tuple[int, int, list[tuple[str, str]]]:
    """How many of the segment stand in the contact file, how many of them without
    consent, and e-mail and customer_id of the others.
    """
    with tempfile.TemporaryDirectory(prefix="playbook-import-") as folder:
        con = connect(scratch=Path(folder))
        sheets = open_sheets(
            con, contacts, Path(folder), lambda names: len(found_columns(CONTACTS, names))
        )
        d = Delivery(con, CONTACTS, sheets[0], Settings(), secret)
        d.load()
        con.register("members", pd.DataFrame({"customer_id": sorted(keys)}, dtype="str"))
        con.register("held", pd.DataFrame({"customer_id": sorted(out)}, dtype="str"))
        yes = ", ".join(quoted(y) for y in YES)
        con.execute(f"""CREATE TABLE matched AS
            SELECT {d.key("email")} AS customer_id, min(lower(email)) AS email,
                   bool_and(lower(coalesce(consent, '')) IN ({yes})) AS is_yes
            FROM raw WHERE email IS NOT NULL GROUP BY 1""")
        wanted = "matched SEMI JOIN members USING (customer_id) ANTI JOIN held USING (customer_id)"
        found, refused = con.execute(
            f"SELECT count(*), count(*) FILTER (NOT is_yes) FROM {wanted}"
        ).fetchone()
        query = f"SELECT email, customer_id FROM {wanted} WHERE is_yes ORDER BY email"
        rows = con.execute(query).fetchall()
    return found, refused, rows


def _write(target: Path, mails: list[tuple[str, str]], products: dict[str, list[str]]) -> None:
    """The list, readable by its owner only, whole or not at all; with each customer's
    products where there are any.
    """
    n = max(map(len, products.values()), default=0)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(part, flags, 0o600), "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["email", *(f"product_{k + 1}" for k in range(n))])
        for mail, customer in mails:
            own = list(products.get(customer, []))
            writer.writerow([safe_cell(cell) for cell in [mail, *own, *[""] * (n - len(own))]])
    os.replace(part, target)


def _members(segment: str, members: object) -> tuple[set[str], set[str], dict[str, list[str]]]:
    """Customer ids of the segment, those of them held out, and each one's products."""
    if isinstance(members, (str, os.PathLike)):
        path = Path(members)
        if not path.is_file():
            raise PlaybookError("sources.segment_list_missing", file=path.name)
        members = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
        )
    if not isinstance(members, pd.DataFrame):
        return {str(m) for m in members}, set(), {}
    if "customer_id" not in members:
        raise PlaybookError("sources.segment_list_without_ids", column="customer_id")
    frame = members
    if "segment" in frame:
        names = sorted(frame["segment"].astype(str).unique())
        frame = frame[frame["segment"].astype(str) == segment]
        if frame.empty:
            raise PlaybookError("sources.no_segment", segment=segment, known=", ".join(names))
    arms = frame["arm"].astype(str) if "arm" in frame else pd.Series("treated", index=frame.index)
    is_out = arms.map(lambda a: bool(re.match(r"hold|control", a.lower())))
    ids = frame["customer_id"].astype(str)
    products = dict(zip(ids, frame["products"], strict=True)) if "products" in frame else {}
    return set(ids), set(ids[is_out]), products
