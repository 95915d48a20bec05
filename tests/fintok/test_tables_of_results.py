"""What all result tables have in common: those of different results can be joined on their dates."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.regimes import RegimeLabeler


@pytest.fixture(scope="module")
def results(small_bundle, small_panel):
    labeler, tokens = RegimeLabeler(small_bundle, n_regimes=2), small_bundle.tokenize(small_panel)
    row, column = (int(place[-1]) for place in (tokens.surprise == tokens.surprise).nonzero())
    return {
        "panel": small_panel,
        "tokens": tokens,
        "counterfactual": small_bundle.counterfactual(small_panel, tokens.dates[row], tokens.assets[column]),
        "regimes": labeler.fit().label(small_panel),
        "scores": AnomalyScorer(small_bundle).fit(small_panel).score(small_panel),
        "audit": fintok.audit(small_bundle, small_panel, cuts=1, labeler=labeler),
        "health": fintok.check_panel(small_panel),
    }


def test_dates_count_nanoseconds_in_pandas_and_microseconds_in_polars(results):
    for name, result in results.items():
        table = result.to_pandas().reset_index()
        assert table.select_dtypes("datetime").dtypes.tolist(), name
        assert {str(dtype) for dtype in table.select_dtypes("datetime").dtypes} == {"datetime64[ns]"}, name
        dates = [dtype for dtype in result.to_polars().dtypes if dtype.is_temporal()]
        assert dates, name
        assert set(dates) == {pl.Datetime("us")}, name


def test_a_result_of_no_rows_has_the_columns_and_types_of_any_other(results, small_bundle, small_panel):
    nothing = small_panel[:0]
    empty = {
        "regimes": replace(results["regimes"], panel=nothing, labels=np.zeros(0, int), probabilities=np.zeros((0, 2))),
        "scores": AnomalyScorer(small_bundle).fit().score(nothing),
        "health": fintok.check_panel(nothing),
    }
    for name, result in empty.items():
        assert result.to_polars().schema == results[name].to_polars().schema, name
        assert result.to_polars().height == 0


def test_tokens_and_scores_are_joined_on_date_and_symbol(results):
    tokens = results["tokens"].to_pandas()
    joined = pd.merge(tokens, results["scores"].to_pandas(), on=["date", "symbol"])
    assert len(joined) == len(tokens)
