import numpy as np
import pandas as pd
import pytest

from fintok.plots.comparison import frontier


@pytest.fixture
def table():
    rows = [
        ("one regime", 0.0, 2.0),
        ("fintok", 0.0, 2.7),
        ("fintok", 9.0, 2.8),
        ("HMM", 4.0, 2.75),
        ("rule", 1.0, 1.0),
    ]
    rows += [("quantiles", 2.0 + k, 2.7 + 0.01 * k) for k in range(6)]
    return pd.DataFrame(
        [
            {"method": name, "setting": "plain", "regimes": 3, "switches_a_year": switches, "score": score}
            for name, switches, score in rows
        ]
    )


def points_of(figure):
    return {trace.name: trace for trace in figure.data if trace.mode == "markers"}


def test_each_method_has_a_symbol_of_its_own_which_the_legend_shows(table):
    figure = frontier(table, "score", "Log score, nats")
    points = points_of(figure)
    assert len({trace.marker.symbol for trace in points.values()}) == 4
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == list(points)


def test_a_method_below_the_axis_says_so(table):
    figure = frontier(table, "score", "Log score, nats")
    assert list(points_of(figure)) == ["fintok", "HMM", "rule (below)", "quantiles"]
    assert figure.layout.yaxis.range[0] > 1.0


def test_labels_that_never_switch_are_drawn_at_the_left_and_hovered_as_they_are(table):
    figure = frontier(table, "score", "Log score, nats")
    ours = points_of(figure)["fintok"]
    np.testing.assert_array_equal(ours.x, [0.1, 9.0])
    np.testing.assert_array_equal(ours.customdata, [0.0, 9.0])
    assert figure.layout.xaxis.ticktext[0] == "≤ 0.1"
    assert np.isfinite(frontier(table.iloc[1:2], "score", "Log score").data[0].x).all()


def test_a_frontier_of_nothing_is_an_empty_figure(table):
    assert len(frontier(table.iloc[:1], "score", "Log score").data) == 0
