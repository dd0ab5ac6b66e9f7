"""Buy-till-you-die and spend models: the published estimates, both ways to them, and
verdicts on hopeless data.
"""

import itertools
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from benchmarks.bench_ltv import refit_resampled

from playbook.errors import PlaybookError
from playbook.methods import btyd_models
from playbook.methods.btyd import expected_purchases, fit_counts, p_alive
from playbook.methods.btyd_models import MODELS, Histories, log_likelihood
from playbook.methods.spend import expected_spend, fit_spend

PUBLISHED = {  # CDNOW 1/10 sample, first 39 weeks: Fader, Hardie & Lee (2005) table 2; Fader & Hardie notes
    "bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "pareto_nbd": {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669},
}


def history_of(days, as_of):
    days = days[days.day_on <= pd.Timestamp(as_of)]
    g = days.groupby("customer_id").day_on.agg(["min", "max", "size"])
    return pd.DataFrame(
        {
            "x": g["size"] - 1,
            "t_x": (g["max"] - g["min"]).dt.days,
            "T": (pd.Timestamp(as_of) - g["min"]).dt.days,
        }
    )


def bg_customers(n, seed, *, r=0.5, alpha=6.0, a=0.8, b=2.5, longest=400):
    """Purchase histories drawn by the story BG/NBD tells, in days."""
    rng = np.random.default_rng(seed)
    rate, drop, age = (
        rng.gamma(r, 1 / alpha, n) / 7,
        rng.beta(a, b, n),
        rng.integers(longest // 4, longest, n),
    )
    rows = []
    for k in range(n):
        at, times = 0.0, []
        while True:
            at += rng.exponential(1 / max(rate[k], 1e-9))
            if at > age[k]:
                break
            times.append(int(np.ceil(at)))
            if rng.random() < drop[k]:
                break
        times = sorted(set(times))
        rows.append((len(times), times[-1] if times else 0, age[k]))
    return pd.DataFrame(rows, columns=["x", "t_x", "T"])


@pytest.fixture(scope="module")
def sample(shared_data):
    names = ["master_id", "customer_id", "day_on", "units", "revenue"]
    frame = pd.read_csv(
        shared_data / "cdnow" / "CDNOW_sample.txt.gz",
        sep=r"\s+",
        header=None,
        names=names,
        dtype=str,
    )
    frame["day_on"], frame["revenue"] = pd.to_datetime(frame.day_on), frame.revenue.astype(float)
    return frame.groupby(["customer_id", "day_on"], as_index=False).revenue.sum()


@pytest.mark.parametrize("engine", ["auto", "own"])
@pytest.mark.parametrize("model", list(PUBLISHED))
def test_both_ways_give_the_published_estimates(sample, model, engine):
    fit = fit_counts(history_of(sample, "1997-09-30"), model=model, engine=engine, week_cells=False)
    assert {k: round(v, 3) for k, v in fit.params.items()} == PUBLISHED[model]
    assert fit.is_converged and fit.is_identified and fit.reason == ""
    if model == "bg_nbd":
        assert round(fit.log_likelihood, 1) == -9582.4


def test_a_fit_neither_reads_nor_moves_the_global_random_numbers(sample):
    history, states = history_of(sample, "1997-09-30"), []
    fits = []
    for seed in (1, 2):
        np.random.seed(seed)
        states.append(np.random.get_state()[1].copy())
        fits.append(fit_counts(history, model="pareto_nbd"))
        assert (np.random.get_state()[1] == states[-1]).all()
    assert fits[0] == fits[1] and fits[0].engine == "lifetimes"


@pytest.mark.parametrize("engine", ["auto", "own"])
def test_gamma_gamma_gives_the_published_estimates(sample, engine):
    days = sample[sample.day_on <= "1997-09-30"].sort_values(["customer_id", "day_on"])
    repeat = (
        days[days.groupby("customer_id").cumcount() > 0]
        .groupby("customer_id")
        .revenue.agg(["size", "mean"])
    )
    fit = fit_spend(repeat.rename(columns={"size": "n"}), model="gamma_gamma", engine=engine)
    assert [round(fit.params[k], 2) for k in "pqv"] == [6.25, 3.74, 15.44]


def test_without_lifetimes_the_own_fit_serves_and_says_so(sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "lifetimes", None)
    fit = fit_counts(history_of(sample, "1997-09-30"), week_cells=False)
    assert (
        round(fit.params["b"], 3) == 2.426
        and fit.engine == "own"
        and "lifetimes is not installed" in fit.reason
    )


def test_fitting_leaves_pandas_options_and_warning_filters_alone(sample):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = pd.get_option("mode.chained_assignment")
    filters = list(warnings.filters)
    fit_counts(history_of(sample, "1997-09-30"))
    assert list(warnings.filters) == filters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pd.get_option("mode.chained_assignment") == before


@pytest.mark.parametrize("model", list(MODELS))
def test_gradients_are_the_derivatives_of_the_likelihood(model):
    customers = Histories(
        np.array([0, 1, 5, 40.0]), np.array([0, 3, 20, 39.0]), np.array([10, 30, 39, 40.0])
    )
    at = np.log(np.array([0.4, 5.0, 0.7, 2.5])[: len(MODELS[model])])
    grad = log_likelihood(model, np.exp(at), customers)[1]
    for k, move in enumerate(np.eye(len(at)) * 1e-6):
        up, down = (log_likelihood(model, np.exp(at + s * move), customers)[0] for s in (1, -1))
        np.testing.assert_allclose(grad[k], (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


def test_a_customer_with_five_hundred_purchases_gets_a_number_from_every_model():
    history = bg_customers(400, 1)
    heavy = pd.DataFrame({"x": [500], "t_x": [700], "T": [705]})
    for model in MODELS:
        fit = fit_counts(history, model=model, engine="own")
        assert 30 < expected_purchases(fit, heavy, days=91)[0] < 80


def test_expected_purchases_of_new_customers_equal_simulated_ones():
    fit = fit_counts(bg_customers(4000, 2), engine="own")
    new = expected_purchases(fit, pd.DataFrame({"x": [0], "t_x": [0], "T": [0]}), days=280)[0]
    rng = np.random.default_rng(3)
    rate = rng.gamma(fit.params["r"], 1 / fit.params["alpha"], 200_000)
    drop = rng.beta(fit.params["a"], fit.params["b"], 200_000)
    assert new == pytest.approx(((1 - np.exp(-rate * drop * 40)) / drop).mean(), rel=0.02)


def test_shuffled_customers_give_the_same_fit_to_the_last_digit():
    history = bg_customers(300, 4)
    one, two = (
        fit_counts(history, engine="own"),
        fit_counts(history.sample(frac=1, random_state=1), engine="own"),
    )
    assert one == two


def test_drop_out_that_the_data_do_not_show_is_named_and_not_identified():
    fit = fit_counts(bg_customers(500, 5, a=0.001, b=50.0), engine="own")
    assert not fit.is_identified and "drop-out is not identified" in fit.reason


def test_nobody_who_came_back_means_no_parameters_and_a_reason():
    fit = fit_counts(pd.DataFrame({"x": [0, 0], "t_x": [0, 0], "T": [30, 60]}))
    assert fit.params is None and "second day" in fit.reason
    with pytest.raises(PlaybookError, match="was not fitted"):
        p_alive(fit, pd.DataFrame({"x": [0], "t_x": [0], "T": [30]}))


def test_impossible_histories_are_refused_by_rule():
    with pytest.raises(PlaybookError, match="t_x"):
        fit_counts(pd.DataFrame({"x": [1], "t_x": [90], "T": [30]}))


def test_no_random_shop_fails_in_silence():
    for seed in range(12):  # the proof runs a hundred
        rng = np.random.default_rng(seed)
        size, drop = (
            int(rng.integers(20, 300)),
            (float(rng.gamma(1, 1)) + 0.01, float(rng.gamma(2, 2)) + 0.1),
        )
        history = bg_customers(size, seed, r=float(rng.gamma(1, 0.5)) + 0.05, a=drop[0], b=drop[1])
        for model in MODELS:
            fit = fit_counts(history, model=model, engine="own")
            assert fit.is_identified or fit.reason
            if fit.is_identified:
                assert np.isfinite(list(fit.params.values())).all()


def test_bootstrap_refits_converge_and_repeat_with_the_seed():
    history = bg_customers(1500, 6)
    fit = fit_counts(history, engine="own")
    one, two = (refit_resampled(fit, history, n=5, seed=7) for _ in range(2))
    assert one.is_converged.all() and one.equals(two)


def test_negative_means_send_spend_to_the_credibility_mean():
    table = pd.DataFrame({"n": [1, 2, 3, 4] * 10, "mean": [-5.0, 10, 12, 9] * 10})
    fit = fit_spend(table)
    assert fit.model == "credibility" and "gamma–gamma is not used" in fit.reason
    expected = expected_spend(fit, pd.DataFrame({"n": [0, 4], "mean": [np.nan, 20.0]}))
    assert (
        expected[0] == pytest.approx(fit.params["mean"]) and fit.params["mean"] < expected[1] <= 20
    )


@pytest.mark.parametrize("a", [1.5, 20.0, 99.0])
@pytest.mark.parametrize("b", [0.5, 7.0, 3000.0])
def test_the_mean_over_the_chance_to_drop_out_is_the_2f1(a, b, monkeypatch):
    histories = Histories(*np.array([[0, 1, 5, 60.0], [0, 3, 30, 50], [52, 10, 40, 51]]))
    params = np.array([0.6, 8.0, a, b])
    printed = btyd_models.expected_purchases("bg_nbd", params, histories, 52.0)
    monkeypatch.setattr(btyd_models, "_MOST_2F1", 0.0)
    assert btyd_models.expected_purchases("bg_nbd", params, histories, 52.0) == pytest.approx(
        printed, rel=1e-9
    )


@pytest.mark.parametrize("model", ["bg_nbd", "mbg_nbd"])
def test_every_parameter_within_the_bounds_gets_an_answer(model):
    histories = Histories(*np.array([[0, 0, 1, 5, 60.0], [0, 0, 3, 30, 50], [0, 52, 10, 40, 51]]))
    grid = [(0.001, 1.0, 1000.0), (0.01, 8.0, 1e5), (0.001, 1.0, 60.0, 896.0), (0.001, 1.0, 1907)]
    for params in itertools.product(*grid):
        weeks = np.array([[4.0], [52.0], [260.0]])
        told = btyd_models.expected_purchases(model, np.array(params), histories, weeks)
        assert np.isfinite(told).all() and (told >= 0).all(), params


@pytest.mark.parametrize("model", ["bg_nbd", "mbg_nbd"])
def test_large_a_and_b_answer_as_customers_who_all_drop_out_alike(model):
    """With a and b to infinity at a / (a + b) = p nobody differs: P(alive) by
    ((alpha + T) / (alpha + t_x))^(r + x) p / (1 - p), and ahead (1 - (1 + u p)^-(r + x)) / p with
    u = weeks / (alpha + T).
    """
    x, t_x, age = np.array([[2, 40.0], [30.4, 38], [38.9, 38.9]])
    r, alpha, p, weeks = 0.25, 4.4, 0.2, 52.0
    odds = ((alpha + age) / (alpha + t_x)) ** (r + x) * p / (1 - p)
    ahead = (1 - (1 + weeks / (alpha + age) * p) ** -(r + x)) / p / (1 + odds)
    for size in (1e6, 1e8):
        params = np.array([r, alpha, p * size, (1 - p) * size])
        told = btyd_models.expected_purchases(model, params, Histories(x, t_x, age), weeks)
        np.testing.assert_allclose(told, ahead, rtol=1e-4)


@pytest.mark.parametrize(
    ("params", "history", "weeks", "by_mpmath"),
    [
        # 60 digits of equation 10, a moved off 1 by a billionth
        ((0.25, 4.4, 1.0, 1e8), (0, 0, 38.9), 1.0, 0.00577367205459387),
        ((0.25, 4.4, 1.0, 1e8), (2, 30.4, 38.9), 1.0, 0.0519630476296961),
        ((900.0, 5000.0, 1.0, 1e8), (800, 350, 360), 1.0, 0.317164102744581),
        ((0.25, 4.4, 1.0, 1e8), (40, 38, 38.9), 1.0, 0.929561174846927),
    ],
)
def test_a_near_one_with_a_large_b_keeps_its_digits(params, history, weeks, by_mpmath):
    histories = Histories(*(np.array([float(part)]) for part in history))
    told = btyd_models.expected_purchases("bg_nbd", np.array(params), histories, weeks)
    assert told[0] == pytest.approx(by_mpmath, rel=1e-5)
