"""Random damage to exports: each one is imported with every row and cent itemised, or
refused by name.

The same generator runs over thousands more seeds in tests/proof/proof_import.py.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "proof"))

from proof_import import damaged

SEEDS = 100
BLOCKS = 4


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_randomly_damaged_export_is_itemised_in_full_or_refused_by_name(block, tmp_path):
    outcomes = [damaged(seed, tmp_path) for seed in range(block, SEEDS, BLOCKS)]
    assert set(outcomes) == {"imported", "refused"}
