"""Nobody's contact details are stored, what slips through is found, and lists of people
come out only as they may.
"""

import re
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.sources import clean
from playbook.sources.audience import safe_cell, write_audience
from playbook.sources.importing import import_files
from playbook.sources.secret import Salt, person_key
from playbook.store import open_store
from playbook.store.privacy import privacy_scan
from playbook.store.readiness import verdict

SALT = b"a salt for tests only"
SAMPLES = Path(__file__).resolve().parent.parent / "data" / "samples"


def masked(text: str) -> str:
    return duckdb.execute(
        f"SELECT {clean.masked('x')} FROM (SELECT ?::VARCHAR AS x)", [text]
    ).fetchone()[0]


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "Write to a.b+c@mail.example.co.uk now",
        "call 13812345678",
        "+86 138 1234 5678",
        "电话13812345678。",
        "+44 20 7946 0958",
        "(020) 794-0958",
        "555-123-4567",
        "tel 020 7946 0958",
        "+491701234567",
    ],
)
def test_a_contact_detail_in_free_text_is_masked(text):
    assert not re.search(r"\d{4,}|@", masked(text)) and re.search(
        r"\[(e-mail|phone)\]", masked(text)
    )


@pytest.mark.parametrize(
    "text",
    [
        "EAN 4006381333931",
        "order 112-1234567-1234567",
        "2026-10-01 09:00",
        "12.5 x 30.0 cm",
        "iPhone 15 Pro 256GB",
        "1990-1234-5678",
        "红色灯 1234567890123456789",
        "SKU 85123A",
        "size 36-38",
        "0.5-1.5 mm",
        "100 x 200 x 300",
    ],
)
def test_barcodes_order_numbers_dates_and_sizes_are_left_alone(text):
    assert masked(text) == text


def store_with(folder: Path, title: str, note: str = "") -> Path:
    folder.mkdir()
    pd.DataFrame(
        {
            "order_id": ["13812345678"],
            "ordered_at": ["2026-10-01 09:00:00"],
            "ordered_on": ["2026-10-01"],
            "status": ["done"],
            "gross": ["5"],
            "total": ["5"],
            "coupon": [note],
        }
    ).to_csv(folder / "orders.csv", index=False)
    pd.DataFrame(
        {
            "order_id": ["13812345678"],
            "line_no": [1],
            "sku": ["13812345678"],
            "quantity": [1],
            "price": ["5"],
            "title": [title],
        }
    ).to_csv(folder / "order_lines.csv", index=False)
    return folder


def test_the_scan_finds_an_email_anywhere_and_a_phone_outside_ids_and_stops_the_run(tmp_path):
    shop = open_store(
        store_with(tmp_path / "s", "for ann@example.com", "13812345678"), until="2026-10-01"
    )
    scan = privacy_scan(shop)
    assert list(scan.itertuples(index=False, name=None)) == [
        ("order_lines", "title", "e-mail", 1, False),
        ("orders", "coupon", "phone", 1, False),
    ]
    judged = verdict(shop, scan=scan)
    assert judged.status == "stop" and "contact details: 2 " in judged.reasons[-1]
    assert "ann@" not in " ".join(judged.reasons)


def test_what_the_shop_allows_is_named_and_does_not_stop_the_run(tmp_path):
    store = store_with(tmp_path / "s", "questions: help@example.com", "13812345678")
    (store / "shop.yaml").write_text("privacy_allow: [help@example.com, 'orders.cou*']\n")
    scan = privacy_scan(open_store(store, until="2026-10-01"))
    assert list(scan.itertuples(index=False, name=None)) == [("orders", "coupon", "phone", 1, True)]
    gates = verdict(open_store(store, until="2026-10-01"), scan=scan).gates.set_index("gate")
    assert gates.loc["values that look like personal contact details", "verdict"] == "go"


def test_a_store_of_imports_has_nothing_to_find(tmp_path):
    import_files("auto", [SAMPLES / "shopify_orders.csv"], tmp_path / "s", salt=SALT)
    assert privacy_scan(open_store(tmp_path / "s", until="2026-10-25")).empty


# --- the salt --------------------------------------------------------------------------------------------------------


def test_a_new_salt_is_kept_for_the_user_alone_and_used_again(tmp_path, monkeypatch):
    monkeypatch.delenv("PLAYBOOK_SALT", raising=False)
    monkeypatch.setenv("PLAYBOOK_CONFIG", str(tmp_path / "config"))
    first = Salt(None)
    value = first()
    assert first.is_new and (tmp_path / "config" / "salt").stat().st_mode & 0o077 == 0
    assert Salt(first.fingerprint)() == value


def test_a_store_whose_salt_is_elsewhere_is_not_given_a_new_one(tmp_path, monkeypatch):
    monkeypatch.delenv("PLAYBOOK_SALT", raising=False)
    monkeypatch.setenv("PLAYBOOK_CONFIG", str(tmp_path / "config"))
    with pytest.raises(PlaybookError, match="not on this machine"):
        Salt("0123456789abcdef")()
    assert not (tmp_path / "config").exists()


# --- audiences -------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    import_files("auto", [SAMPLES / "shopify_orders.csv"], tmp_path / "s", salt=SALT)
    return tmp_path / "s"


def people(tmp_path: Path) -> Path:
    (tmp_path / "contacts.csv").write_text(
        "E-Mail;Name;Accepts Email Marketing\nA.Buyer@example.com;Ann;yes\nb.buyer@example.com;Bob;no\nc@example.com;Cat;yes\n"
        "d@example.com;Dan;yes\n=e@example.com;Eve;yes\n",
        encoding="utf-8",
    )
    return tmp_path / "contacts.csv"


def members(*emails: str, arm: str = "treated") -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": [person_key(e, SALT) for e in emails], "segment": "loyal", "arm": arm}
    )


def test_an_audience_holds_those_who_consented_and_are_not_held_out(store, tmp_path):
    frame = pd.concat(
        [
            members("a.buyer@example.com", "b.buyer@example.com", "nobody@example.com"),
            members("d@example.com", arm="holdout"),
        ]
    )
    report = write_audience(
        "loyal", people(tmp_path), tmp_path / "out.csv", store=store, members=frame, salt=SALT
    )
    assert (tmp_path / "out.csv").read_text().splitlines() == ["email", "a.buyer@example.com"]
    assert (
        report.n_segment,
        report.n_held_out,
        report.n_in_contacts,
        report.n_without_consent,
        report.n_written,
    ) == (
        4,
        1,
        2,
        1,
        1,
    )
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0


def test_a_list_of_people_may_not_lie_in_a_run_or_in_a_store(store, tmp_path):
    for target in (tmp_path / "runs" / "demo" / "out.csv", store / "out.csv"):
        with pytest.raises(PlaybookError, match="may not lie"):
            write_audience(
                "loyal",
                people(tmp_path),
                target,
                store=store,
                members=members("a.buyer@example.com"),
                salt=SALT,
            )
        assert not target.exists()


def test_an_unknown_segment_or_another_salt_is_refused(store, tmp_path):
    with pytest.raises(PlaybookError, match="one of loyal"):
        write_audience(
            "asleep",
            people(tmp_path),
            tmp_path / "o.csv",
            store=store,
            members=members("c@example.com"),
            salt=SALT,
        )
    with pytest.raises(PlaybookError, match="another salt"):
        write_audience(
            "loyal",
            people(tmp_path),
            tmp_path / "o.csv",
            store=store,
            members=members("c@example.com"),
            salt=b"not this one",
        )
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", " =1"])
def test_a_formula_is_shown_and_not_run(text):
    assert safe_cell(text).startswith("'") and safe_cell(text)[1:] == text
