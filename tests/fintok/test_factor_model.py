"""The rival on hidden assets: its probabilities are without bias, and it is told nothing of what is hidden."""

import numpy as np
import pytest

from fintok.factor_model import MOST_DRAWS, _Paths, log_probabilities


@pytest.fixture
def odds():
    """A distribution over 512 values as uneven as that of codes."""
    return np.random.default_rng(0).dirichlet(np.full(512, 0.3))


def test_log_probabilities_are_those_of_a_known_distribution(odds):
    rng = np.random.default_rng(1)
    wanted = rng.choice(512, p=odds, size=10_000)
    found = log_probabilities(lambda asked, count: rng.choice(512, p=odds, size=(count, len(asked))), wanted)
    truth = np.log(odds[wanted])
    assert abs((found - truth).mean()) < 0.03
    often = odds[wanted] > 20 / MOST_DRAWS
    assert abs((found - truth)[often].mean()) < 0.03
    drawn = rng.multinomial(400, odds, size=10_000)[np.arange(10_000), wanted]
    counted = np.log((drawn + 20 * odds[wanted]) / 420)  # even with the truth for a prior
    assert (counted - truth).mean() < -0.04


def test_what_is_not_asked_is_nan_and_what_never_comes_is_rare():
    found = log_probabilities(lambda asked, count: np.zeros((count, len(asked)), np.int64), np.array([0, 7, -1]))
    assert found[0] == pytest.approx(0.0)
    assert found[1] == pytest.approx(np.log(0.5 / MOST_DRAWS))
    assert np.isnan(found[2])


def test_paths_rest_on_the_visible_assets_alone(small_bundle, small_panel):
    images = small_bundle.images(small_panel)
    hidden, end = np.array([0, 1, 2]), 300
    expected = np.zeros((images.num_days, images.num_assets))

    def draw(asked=range(6)):
        paths = _Paths(small_bundle, images, expected, np.random.default_rng(0))
        return paths.draw(end, hidden, np.array(list(asked)), 50)

    before = draw()
    last = slice(end - 9, end + 1)
    images.values[images.channel_names.index("return"), hidden, last] += 3.0
    images.values[images.channel_names.index("market"), :, last] -= 2.0
    np.testing.assert_array_equal(draw(), before)
    np.testing.assert_array_equal(draw((3,)), before[:, 3:4])  # the second asset's second patch
    images.values[images.channel_names.index("return"), 5, last] += 3.0  # a visible one
    assert (draw() != before).any()
