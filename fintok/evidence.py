"""Evidence of strangeness: one statistic for each way in which an asset can leave its own path or its peers'."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fintok.peers import PeerRows, PeerView, peer_view
from fintok.tails import TailMap
from fintok.trailing import STILL, median_of_day, trailing_moments, trailing_sum

Array = NDArray[np.float64]

_DEGREES = 2.0  # of freedom of the Student-t by which days are judged: one wild day says only so much
_UNIT = 0.8  # its scale for values of usual size 1
_RECENT = 60  # rows: half-life of a distance's own past
_MIN_HISTORY = 60
_COMES_BACK = 5  # rows within which a wrong print is put right
_MOST = 2.0  # deviations that one day adds to a drift
_MOST_SURPRISE = 3.0  # deviations that one code adds to a surprise
BURST_ROWS, QUIET_ROWS, DECOUPLED_ROWS, LAGGED_ROWS, DRIFT_ROWS = 7, 15, 15, 15, 10
_BURST, _QUIET = 3.0, 0.35  # times the move that is expected

REASONS = {
    "jump": "jumped away from its peers",
    "rebound": "jumped and came back",
    "burst": "volatility burst",
    "quiet": "gone quiet",
    "decoupled": "moves without its peers",
    "lagged": "follows its peers a day late",
    "drift": "drifts away from its peers",
    "swapped": "moves like another asset",
    "surprise": "unusual pattern",
}
# Centre and unit of a Student-t with four degrees of freedom that has the 90 % and 99.9 % quantiles of each statistic
# on 20 US stocks; a wider one for swaps, which are nearer where assets are much alike
_STANDARD = {
    "jump": (0.1, 1.1),
    "rebound": (0.7, 0.35),
    "burst": (-1.5, 0.41),
    "quiet": (-1.6, 0.43),
    "decoupled": (-0.35, 0.21),
    "lagged": (-0.65, 0.25),
    "drift": (1.1, 0.29),
    "swapped": (-2.2, 0.5),
    "surprise": (0.7, 0.42),
}


class Surprises(Protocol):
    """What a bundle says of each (date, asset): arrays (T, A), NaN where there is no token."""

    @property
    def surprise(self) -> NDArray[np.floating]: ...  # -log p of the newest code

    @property
    def expected(self) -> NDArray[np.floating]: ...  # mean of the surprise under p

    @property
    def deviation(self) -> NDArray[np.floating]: ...  # standard deviation of the surprise under p

    @property
    def distance(self) -> NDArray[np.floating]: ...  # patch to its code, positive


class Evidence(NamedTuple):
    """What is held against each (date, asset)."""

    statistics: dict[str, NDArray[np.float32]]  # (T, A) each, higher = stranger; NaN where there is no token
    expected: Array  # (T, A) return that the other assets' returns of the day lead to expect
    residual: Array  # (T, A) return less that, in its usual deviation
    peers: PeerRows  # (T, A) each: spares a panel that goes on from here the dear part of the view


def gather(surprise: Surprises, returns: NDArray[np.floating], earlier: PeerRows | None = None) -> Evidence:
    """Compare each day with the other assets, with the asset's own past, and with the vocabulary.

    `earlier` is the `Evidence.peers` of the first rows, where they are known.

    jump: size of the newest residual to the peers (`fintok.peers.PeerView.residual`);
    rebound: the smaller of the newest residual and the opposite one of the last five days that fits it best;
    burst, quiet, decoupled, lagged: log-likelihood ratios, summed over one to three weeks, of "three times the usual
    move", "a third of it", "a move of its own" and "what yesterday's peers led to expect" against "what today's
    peers lead to expect";
    drift: size of the ten-day sum of residuals;
    swapped: the same ratio for "another asset's return" (`fintok.peers.PeerView.swapped`);
    surprise: both parts of -log p(patch): half of (S - E[S]) / sd[S] of the newest code, up to three, so that days on
    which everything is uncertain do not alarm, plus the log of the patch's distance to its code, less the day's
    median over assets (in a crash every patch lies far out), standardised by its own recent mean and deviation.
    Every trailing scale uses rows strictly before t.
    """
    view = peer_view(returns, earlier)
    residual = view.residual
    with np.errstate(divide="ignore", invalid="ignore"):
        code = (surprise.surprise - surprise.expected) / surprise.deviation
        distance = _log(surprise.distance)
        distance = _standardised(distance - median_of_day(distance), _RECENT)
        found = {
            "jump": np.abs(residual),
            "rebound": _rebound(residual),
            **_ratios(view, np.asarray(returns, dtype=np.float64)),
            "drift": np.abs(_over(np.clip(residual, -_MOST, _MOST), DRIFT_ROWS)),
            "swapped": view.swapped,
            "surprise": 0.5 * np.minimum(code, _MOST_SURPRISE) + np.nan_to_num(distance),
        }
    has_token = np.isfinite(surprise.surprise)
    statistics = {
        name: np.where(has_token & np.isfinite(found[name]), found[name], np.nan).astype(np.float32) for name in REASONS
    }
    peers = PeerRows(view.expected, view.swapped.astype(np.float32))
    found = Evidence(statistics, view.expected * view.size, residual, peers)
    for array in (*statistics.values(), found.expected, found.residual):
        array.flags.writeable = False  # the scorer keeps them for the panel's next rows
    return found


def _ratios(view: PeerView, returns: Array) -> dict[str, Array]:
    """Log-likelihood ratios against "the peers explain it", over the last rows."""
    usual = _log_density(view.scaled - view.expected, view.deviation)
    alone = _log_density(view.scaled, view.level)
    burst = _log_density(view.scaled - _BURST * view.expected, _BURST * view.deviation)
    quiet = _log_density(view.scaled - _QUIET * view.expected, _QUIET * view.deviation)
    quiet = np.where(np.abs(returns) > STILL, quiet, np.nan)  # prices that stand still are a check's business
    yesterday = np.concatenate([np.full_like(view.expected[:1], np.nan), view.expected[:-1]])
    late = _log_density(view.scaled - yesterday, view.deviation)
    return {
        "burst": _over(burst - usual, BURST_ROWS),
        "quiet": _over(quiet - usual, QUIET_ROWS),
        "decoupled": _over(alone - usual, DECOUPLED_ROWS),
        "lagged": _over(late - usual, LAGGED_ROWS),
    }


def _log_density(values: Array, scale: Array | float) -> Array:
    """Student-t, up to a constant."""
    unit = _UNIT * np.asarray(scale)
    return -0.5 * (_DEGREES + 1.0) * np.log1p((values / unit) ** 2 / _DEGREES) - np.log(unit)


def _over(values: Array, rows: int) -> Array:
    return trailing_sum(values, rows, min_count=rows // 2)


def _rebound(residual: Array) -> Array:
    answer = np.where(np.isfinite(residual), 0.0, np.nan)
    for lag in range(1, min(_COMES_BACK, len(residual) - 1) + 1):
        now, then = residual[lag:], residual[:-lag]
        both = np.where(now * then < 0.0, np.minimum(np.abs(now), np.abs(then)), 0.0)
        answer[lag:] = np.maximum(answer[lag:], both)  # NaN now stays NaN, and NaN then counts as none
    return answer


def _standardised(values: Array, half_life: float) -> Array:
    past = trailing_moments(values, half_life=half_life, min_count=_MIN_HISTORY)
    return (values - past.mean) / past.deviation


def _log(values: NDArray[np.floating]) -> Array:
    """Logarithm of what is positive; NaN elsewhere."""
    values = np.asarray(values, dtype=np.float64)
    return np.log(np.where(values > 0.0, values, np.nan))


def standard_tails() -> dict[str, TailMap]:
    """A map for each statistic when there is no training sample."""
    return {name: TailMap.standard(*_STANDARD[name]) for name in REASONS}
