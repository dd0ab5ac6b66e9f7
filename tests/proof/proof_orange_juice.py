"""The published orange-juice data (106,139 store-brand-weeks of 83 stores and 11 brands, Montgomery
1997; `orangeJuice` of the R package bayesm): the pooled own-price elasticity by our mapping.

    python tests/proof/proof_orange_juice.py FILE     the table `yx`, as CSV or parquet

Nothing of it lies here. The figure without controls is to lie within .1 of -3.14 and stands beside
the one with the feature. Exit status 1 where it does not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playbook.methods.pooled_elasticity import pooled_elasticity
from playbook.sources.scanner_table import scanner_weeks

PUBLISHED, WITHIN, ROWS = -3.14, 0.1, 106_139
MAPPING = {
    "store": "store",
    "sku": "brand",
    "week": "week",
    "log_units": "logmove",
    "price": {brand: f"price{brand}" for brand in range(1, 12)},
    "controls": ["feat"],
}


def main(words: list[str]) -> int:
    """Print both figures; 1 where the first lies elsewhere or rows were lost."""
    if len(words) != 1:
        print(__doc__)
        return 0
    path = Path(words[0])
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    table["brand"] = table.brand.astype(int)
    found = pooled_elasticity(scanner_weeks(table, MAPPING), controls=["feat"])
    print(found.to_string(index=False))
    plain = found.iloc[0]
    return int(plain.n != ROWS or abs(plain.estimate - PUBLISHED) > WITHIN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
