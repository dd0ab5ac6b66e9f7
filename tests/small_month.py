"""A shop of six orders and notebooks of three cells: what the runner's tests run."""

import nbformat
import pandas as pd

#: a mapping of an export of the shop's own, and its columns
MAPPING = """name: our own orders
table: orders
day_first: false
columns:
  order_id: number
  ordered_at: when
  sku: article
  quantity: pieces
  price: each
"""
PARAMETERS = """month: str = "2026-02"  # report month, YYYY-MM
store: str = "demo"  # which tables to read
out: str = ""  # run folder"""
OPEN = """import pandas as pd
from playbook.decisions import Decision
from playbook.runs.results import Results
from playbook.store import open_store
shop = open_store(store, until=month)
results = Results("{name}", out, shop=shop)"""


def write_shop(folder, last="2026-02-28", price=10):
    """Orders in January and February 2026; the log reaches `last`."""
    folder.mkdir(parents=True, exist_ok=True)
    days = ["2026-01-03", "2026-01-10", "2026-01-20", "2026-02-03", "2026-02-14", last]
    orders = pd.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(6)],
            "ordered_at": [f"{d} 10:00:00" for d in days],
            "ordered_on": days,
            "status": "done",
            "customer_id": list("aabbca"),
            "gross": 2 * price,
            "discount": 0,
            "shipping": 0,
            "tax": 0,
            "total": 2 * price,
        }
    )
    orders.to_csv(folder / "orders.csv", index=False)
    lines = pd.DataFrame(
        {
            "order_id": orders.order_id,
            "line_no": 1,
            "sku": list("xyxyxy"),
            "quantity": 2,
            "price": price,
            "discount": 0,
        }
    )
    lines.to_csv(folder / "order_lines.csv", index=False)
    (folder / "shop.yaml").write_text("name: corner\ncurrency: EUR\nlog_starts_with_shop: true\n")
    return folder


def write_notebook(path, *cells, extra="", tags=()):
    """A notebook with a parameters cell and code cells; `tags` are those of the code
    cells, in order.
    """
    parameters = nbformat.v4.new_code_cell("\n".join(filter(None, [PARAMETERS, extra])))
    parameters.metadata["tags"] = ["parameters"]
    nb = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(
                f"# {path.stem}\n\n## Objective\n\nDecides what comes next.\n\n## Parameters"
            ),
            parameters,
            nbformat.v4.new_markdown_cell("## Analysis"),
        ]
    )
    for number, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source.replace("{name}", path.stem))
        if number < len(tags) and tags[number]:
            cell.metadata["tags"] = [tags[number]]
        nb.cells.append(cell)
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


def write_notebooks(folder):
    """00, 04 (with parameters), 05 and 11, none of which opens a store: fast ones for a
    fake executor.
    """
    write_notebook(folder / "00_start.ipynb", "1")
    write_notebook(
        folder / "04_cohorts.ipynb",
        "2",
        extra="k: int = 3  # rows\nshare: float = 0.5  # of what\n"
        "label: str = 'x'  # a word\nis_on: bool = True  # switch",
    )
    write_notebook(folder / "05_ltv.ipynb", "3")
    write_notebook(folder / "11_review.ipynb", "4", extra='reviewed: str = ""  # a month folder')
    return folder
