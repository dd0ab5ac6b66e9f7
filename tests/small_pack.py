"""Published months made without a kernel: what chapters would have left, awkward text
included.
"""

import matplotlib
import nbformat
import pandas as pd
from small_month import write_notebook

from playbook.decisions import Decision
from playbook.runs.first_page import write_pack
from playbook.runs.folders import write_json
from playbook.runs.results import Results

EVIL = "<script>alert('x')</script>=1+1 & co"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def write_month(
    months,
    month,
    *,
    lang="en",
    revenue=None,
    predictions=(),
    decisions=(),
    is_replay=False,
    failed=(),
    is_partial=False,
    name=None,
    chinese_titles=False,
    is_bare=False,
):
    """One published month with chapters 04, 07 and 11 under `months`; returns its
    folder. `is_bare`: no pages.
    """
    folder = months / (name or month)
    revenue = revenue or {month: 1000.0}
    listed = {}
    for chapter in ("04_cohort_retention", "07_inventory_planning", "11_monthly_review"):
        if chapter in failed:
            listed[chapter] = {
                "status": "failed",
                "seconds": 1.0,
                "rows": {},
                "blocked": [],
                "digest": "",
                "cell": 7,
                "section": "Analysis",
                "error": f"ValueError: {EVIL}",
                "traceback": "…",
            }
            continue
        results = Results(chapter, str(folder), month=month, store="corner")
        if chapter.startswith("04"):
            _cohorts(results, month, revenue, predictions, decisions)
            if not is_bare:
                _figures(results, chinese_titles)
        elif chapter.startswith("07"):
            results.table(
                "reorder",
                pd.DataFrame(
                    {
                        "sku": [EVIL, "=A1", "b"],
                        "order_units": [4, 5, 6],
                        "cash": [10.5, 20.0, 30.25],
                    }
                ),
            )
            results.table("loyal", pd.DataFrame({"customer_id": ["c1"], "margin": [5.0]}))
        else:
            results.table(
                "drivers",
                pd.DataFrame({"driver": ["orders", "aov"], "contribution": [120.0, -20.0]}),
            )
            results.table(
                "asks",
                pd.DataFrame(
                    {
                        "owner_role": ["supply-chain head", "marketing head"],
                        "money": [100.0, 50.5],
                        "due_on": [f"{month}-28"] * 2,
                    }
                ),
            )
        _notebook(folder / chapter / "notebook.ipynb", chapter)
        listed[chapter] = {
            "status": "done",
            "seconds": 1.0,
            "digest": "d",
            "blocked": [],
            "rows": {p.stem: 1 for p in (folder / chapter / "tables").glob("*.parquet")},
        }
    last = pd.Period(month).end_time
    record = {
        "state": "complete",
        "store": "corner",
        "month": month,
        "as_of": f"{last:%Y-%m-%d}",
        "currency": "EUR",
        "margin_basis": "revenue",
        "is_partial": is_partial,
        "is_replay": is_replay,
        "lang": lang,
        "code": "c",
        "fingerprint": "f",
        "parameters": {},
        "verdict": {"status": "go"},
        "earlier_packs": [],
        "notebooks": listed,
    }
    write_json(folder / "run.json", record)
    if not is_bare:
        write_pack(folder, record, months=months)
    elif predictions:
        made = pd.read_parquet(folder / "04_cohort_retention" / "predictions.parquet")
        made.assign(is_replay=is_replay).to_parquet(folder / "predictions.parquet", index=False)
    return folder


def _cohorts(results, month, revenue, predictions, decisions):
    results.table(
        "same_age",
        pd.DataFrame(
            {
                "cohort": ["2026-01", "2026-02"],
                "share": [0.25, None],
                "n": [100, 80],
                "is_left_truncated": [False, False],
            }
        ),
    )
    results.headline(
        pd.DataFrame(
            [("net_revenue", m, v, None, None, 10, "complete") for m, v in revenue.items()],
            columns=["metric", "month", "amount", "low", "high", "n", "status"],
        )
    )
    if predictions:
        results.predict(
            pd.DataFrame(
                predictions,
                columns=[
                    "metric",
                    "subject",
                    "horizon",
                    "due_on",
                    "point",
                    "low",
                    "high",
                    "level",
                    "naive",
                    "model",
                ],
            )
        )
    results.decide(
        Decision(
            "channel",
            EVIL,
            "raise",
            1000,
            "EUR",
            300.0,
            100.0,
            500.0,
            "EUR margin/month",
            "high",
            "net_revenue",
            1.5,
            1.0,
            f"because {EVIL}",
            "marketing head",
            f"{month}-20",
        ),
        Decision(
            "segment", "one-time buyers", "wake", owner_role="CRM manager", due_on=f"{month}-25"
        ),
        Decision("data", "Payback", "blocked", reason="needs table ad_spend"),
        *decisions,
    )


def _figures(results, chinese_titles):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from playbook.pictures import use_style

    use_style()
    axes = plt.subplots()[1]
    axes.plot([1, 2, 3], [3, 1, 2])
    axes.set_title("留存率按月龄" if chinese_titles else "Share that ordered & stayed")
    results.figure("retention", axes)
    results.figure("lesson_only", axes)
    plt.close("all")


def _notebook(path, chapter):
    write_notebook(
        path,
        "month = '2026-01'",
        "arrows",
        'results.figure("lesson_only", ax)',
        "table",
        'results.figure("retention", ax)',
        tags=("injected-parameters", "lesson", "lesson"),
    )
    nb = nbformat.read(path, as_version=4)
    code = [c for c in nb.cells if c.cell_type == "code"]
    nb.cells.insert(
        3,
        nbformat.v4.new_markdown_cell(
            f"The tempting reading.\n\n{EVIL}\n\n[out](javascript:alert(1)) ![pixel](https://example.org/p.png)",
            metadata={"tags": ["lesson"]},
            id="tempting",
        ),
    )
    html = f"<table><tr><td onclick='x()'>{EVIL}</td></tr></table><style>td {{}}</style><script src='//x.y/z.js'>"
    wrong = {"text/html": "<b>TEMPTING 99.9</b>", "text/plain": "x"}
    code[2].outputs = [nbformat.v4.new_output("execute_result", wrong, execution_count=1)]
    code[3].outputs = [
        nbformat.v4.new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})
    ]
    shown = {"text/html": html, "text/plain": "t"}
    code[4].outputs = [
        nbformat.v4.new_output("execute_result", shown, execution_count=2),
        nbformat.v4.new_output("stream", name="stderr", text="a warning"),
    ]
    code[5].outputs = [
        nbformat.v4.new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})
    ]
    nbformat.write(nb, path)
