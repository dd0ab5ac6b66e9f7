"""Published scanner data by a mapping: store, product and feature as columns, and the pooled figure
with and without what moves with the price.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.methods.pooled_elasticity import pooled_elasticity
from playbook.sources.scanner_table import scanner_weeks

#: the columns of the published orange-juice table: one price column per brand
WIDE = {
    "store": "store",
    "sku": "brand",
    "week": "week",
    "log_units": "logmove",
    "price": {brand: f"price{brand}" for brand in (1, 2, 3)},
    "controls": ["feat"],
}


def juice(truth=-2.6, n_stores=40, n_weeks=60, feature=0.9):
    """A made table in that layout: a feature comes with a lower price and sells by itself."""
    rng = np.random.default_rng(5)
    rows = []
    for store in range(n_stores):
        feat = rng.random((n_weeks, 3)) < 0.2
        cut = rng.uniform(0.9, 1.1, feat.shape) * (1 - 0.25 * feat)
        price = np.array([0.06, 0.045, 0.03]) * cut
        logs = 9 - np.arange(3) + truth * np.log(price / 0.04) + feature * feat
        logs += 0.3 * rng.normal(size=feat.shape)
        for t in range(n_weeks):
            for b in range(3):
                rows.append((store, b + 1, 40 + t, logs[t, b], *price[t], float(feat[t, b])))
    columns = ["store", "brand", "week", "logmove", "price1", "price2", "price3", "feat"]
    return pd.DataFrame(rows, columns=columns)


def test_each_row_takes_the_price_of_its_own_product():
    table = juice(n_stores=2, n_weeks=3)
    found = scanner_weeks(table, WIDE)
    row = table[(table.store == 1) & (table.brand == 3) & (table.week == 41)].iloc[0]
    mine = found[(found.store == "1") & (found.sku == "3") & (found.week == 41)].iloc[0]
    assert mine.price == row.price3
    assert mine.units == pytest.approx(np.exp(row.logmove))
    assert list(found) == ["store", "sku", "week", "units", "price", "feat"]


def test_the_figure_without_controls_takes_the_feature_for_the_price():
    found = pooled_elasticity(scanner_weeks(juice(), WIDE), controls=["feat"])
    plain, with_feature = found.itertuples()
    assert with_feature.low < -2.6 < with_feature.high
    assert plain.estimate < with_feature.estimate - 0.5
    assert found.controls.tolist() == ["", "feat"]
    assert found.n.tolist() == [7_200, 7_200]


def test_the_pooled_figure_is_statsmodels_with_dummies_and_clusters():
    import statsmodels.formula.api as smf

    weeks = scanner_weeks(juice(n_stores=6, n_weeks=20), WIDE)
    ours = pooled_elasticity(weeks, controls=["feat"]).iloc[1]
    logs = weeks.assign(y=np.log(weeks.units), p=np.log(weeks.price))
    groups = {"groups": pd.factorize(logs.store)[0], "use_correction": False}
    theirs = smf.ols("y ~ p + feat + C(store):C(sku)", logs).fit(
        cov_type="cluster", cov_kwds=groups
    )
    assert ours.estimate == pytest.approx(theirs.params["p"], rel=1e-9)
    assert ours.se == pytest.approx(theirs.bse["p"] * np.sqrt(6 / 5), rel=1e-6)


def test_a_dear_store_that_sells_much_is_no_move_of_a_price():
    weeks = scanner_weeks(juice(), WIDE)
    is_dear = weeks.store.astype(int) % 2 == 0
    dearer = weeks.assign(
        price=weeks.price.where(~is_dear, 2 * weeks.price),
        units=weeks.units.where(~is_dear, 10 * weeks.units),
    )
    pd.testing.assert_frame_equal(pooled_elasticity(dearer), pooled_elasticity(weeks))


def test_plain_columns_and_logs_are_the_same_table():
    table = juice(n_stores=2, n_weeks=4)
    wide = scanner_weeks(table, WIDE)
    plain = wide.rename(columns={"units": "move"}).assign(lp=np.log(wide.price))
    mapping = {"store": "store", "sku": "sku", "week": "week", "units": "move", "log_price": "lp"}
    found = scanner_weeks(plain, mapping)
    np.testing.assert_allclose(found.price, wide.price)
    np.testing.assert_allclose(found.units, wide.units)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"controls": ["deal"]}, "deal"),
        ({"price": {1: "price1", 2: "price2"}}, "3"),
        ({"log_units": "sold"}, "sold"),
    ],
)
def test_a_column_that_is_not_there_is_named(change, word):
    with pytest.raises(PlaybookError, match=word):
        scanner_weeks(juice(n_stores=2, n_weeks=2), WIDE | change)


def test_two_rows_of_a_week_are_refused():
    table = juice(n_stores=2, n_weeks=2)
    with pytest.raises(PlaybookError, match="week"):
        scanner_weeks(pd.concat([table, table.head(1)]), WIDE)


def test_prices_that_never_move_give_no_figure():
    weeks = scanner_weeks(juice(n_stores=3, n_weeks=5), WIDE)
    found = pooled_elasticity(weeks.assign(price=1.0)).iloc[0]
    assert np.isnan(found.estimate)
    one_store = pooled_elasticity(weeks[weeks.store == "1"]).iloc[0]
    assert np.isfinite(one_store.estimate)
    assert np.isnan(one_store.se)
