"""How much a day's regime tells of the next day's returns: fintok beside the usual rivals.

    python tests/benchmarks/regime_log_score.py RUN [PANEL]

Log score in nats per asset-day, higher is better: a Student t per regime is fitted to next-day returns up to
the run's train_end, pooled over assets, and judged on the days after it. Beside it stands how often the labels
switch a year. PANEL is the bundled one where none is given. Quantiles of volatility are always there; with
hmmlearn, scikit-learn and jumpmodels (`pip install "fintok[peers]"`) also a filtered Gaussian HMM on the day's log
mean |return|, and a Gaussian mixture and an online jump model on that mean smoothed over 5, 20 and 60 days. All
learn from the rows up to train_end, and label each day from days up to it.
"""

import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

import fintok
from fintok.channels import decayed_mean, scaled_returns
from fintok.sample import load_us20

DEGREES = (2.5, 3.0, 4.0, 6.0, 10.0)  # of freedom, tried in turn
MAX_FITTED = 20_000  # returns a regime's distribution is fitted to, evenly spaced
FEWEST = 200  # training returns a regime needs for a distribution of its own; else it has that of all days


def log_density(y: NDArray, degrees: float, centre: float, square: float) -> NDArray:
    constant = gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi * square)
    return constant - (degrees + 1) / 2 * np.log1p((y - centre) ** 2 / square / degrees)


def fit_student(y: NDArray) -> tuple[float, float, float]:
    """Degrees, centre and squared scale by EM, over a few degrees of freedom."""
    y = y[:: max(1, len(y) // MAX_FITTED)]
    best = (-np.inf, (3.0, 0.0, 1.0))
    for degrees in DEGREES:
        centre, square = float(np.median(y)), float(y.var()) / 2
        for _ in range(20):
            weight = (degrees + 1) / (degrees + (y - centre) ** 2 / square)
            centre = float((weight * y).sum() / weight.sum())
            square = float((weight * (y - centre) ** 2).mean())
        best = max(best, (float(log_density(y, degrees, centre, square).mean()), (degrees, centre, square)))
    return best[1]


def log_score(labels: NDArray[np.integer], returns: NDArray, first: int, cut: int) -> float:
    """Mean log density (nats) of the returns of the days after ``cut``, given the label of the day before."""
    label, after = labels[first:-1], returns[first + 1 :]
    is_training = np.arange(first + 1, len(returns)) < cut
    total, count = 0.0, 0
    for regime in np.unique(label):
        known = after[is_training & (label == regime)]
        known = known[np.isfinite(known)]
        if len(known) < FEWEST:
            known = after[is_training][np.isfinite(after[is_training])]
        judged = after[~is_training & (label == regime)]
        judged = judged[np.isfinite(judged)]
        total += float(log_density(judged, *fit_student(known)).sum())
        count += len(judged)
    return total / count


def filtered_states(model, observations: NDArray) -> NDArray[np.integer]:
    """The likeliest state of an HMM on each day given the days up to it: hmmlearn's own `predict` looks ahead."""
    log_likelihood = model._compute_log_likelihood(observations)
    with np.errstate(divide="ignore"):
        transition, state = np.log(model.transmat_), np.log(model.startprob_) + log_likelihood[0]
    path = [state.argmax()]
    for row in log_likelihood[1:]:
        state = logsumexp(state[:, None] - logsumexp(state) + transition, axis=0) + row
        path.append(state.argmax())
    return np.array(path)


def rivals(returns: NDArray, dates: NDArray, first: int, cut: int) -> Iterator[tuple[str, int, NDArray[np.integer]]]:
    """(name, number of regimes, label of each day), for the libraries that are installed."""
    size = pd.Series(np.nanmean(np.abs(returns), axis=1), index=pd.DatetimeIndex(dates)).ffill()
    smooth = pd.DataFrame({days: np.log(size.ewm(halflife=days).mean()) for days in (5, 20, 60)}).iloc[first:]
    smooth = (smooth - smooth[: cut - first].mean()) / smooth[: cut - first].std()
    raw = np.log(size.to_numpy()[first:, None] + 1e-4)
    training = slice(0, cut - first)

    def whole(labels: NDArray) -> NDArray[np.integer]:
        return np.concatenate([np.zeros(first, int), np.asarray(labels, int)])

    for num_regimes in (2, 3, 4, 6):
        if find_spec("hmmlearn"):
            from hmmlearn.hmm import GaussianHMM

            starts = [GaussianHMM(num_regimes, "full", n_iter=100, random_state=seed) for seed in range(3)]
            fits = [start.fit(raw[training]) for start in starts]
            best = max(fits, key=lambda fit: fit.score(raw[training]))
            yield "HMM, filtered (hmmlearn)", num_regimes, whole(filtered_states(best, raw))
        if find_spec("sklearn"):
            from sklearn.mixture import GaussianMixture

            mixture = GaussianMixture(num_regimes, n_init=3, random_state=0).fit(smooth.to_numpy()[training])
            yield "Gaussian mixture (sklearn)", num_regimes, whole(mixture.predict(smooth.to_numpy()))
        if find_spec("jumpmodels"):
            from jumpmodels.jump import JumpModel

            for penalty in (1.0, 10.0):
                model = JumpModel(num_regimes, jump_penalty=penalty, random_state=0, n_init=5)
                labels = model.fit(smooth[training], size[first:cut], sort_by="vol").predict_online(smooth)
                yield f"jump model, penalty {penalty:g}", num_regimes, whole(labels)


def main(run: str, source: str | None = None) -> None:
    panel = load_us20() if source is None else fintok.read_panel(source)
    bundle = fintok.load(run)
    cut = int((panel.dates <= bundle.train_end).sum())
    forecast = bundle.forecast(panel)
    first = int(np.flatnonzero(np.isfinite(forecast[:, 0]))[0])
    years = (panel.num_days - cut) / panel.periods_per_year
    data = scaled_returns(panel, bundle.config.imaging.min_observations)
    volatility = np.log(decayed_mean(np.abs(data.scaled), data.observed, 10.0).mean(axis=1) + 1e-6)
    print(f"{platform.machine()}, numpy {np.__version__}, torch {torch.__version__}, fintok {fintok.__version__}")
    print(f"{panel}; judged after {np.datetime_as_string(bundle.train_end, unit='D')}")
    print(f"{'labels':28} {'K':>2} {'log score':>10} {'switches a year':>16}")

    def show(name: str, num_regimes: int, labels: NDArray[np.integer]) -> None:
        switches = (labels[cut + 1 :] != labels[cut:-1]).sum() / years
        print(f"{name:28} {num_regimes:2} {log_score(labels, panel.returns, first, cut):10.4f} {switches:16.1f}")

    labeler = fintok.RegimeLabeler(bundle)  # one for all: it keeps its forecast of the panel
    show("one regime", 1, np.zeros(panel.num_days, dtype=int))
    for num_regimes in (2, 3, 4, 6):
        bounds = np.quantile(volatility[first:cut], np.arange(1, num_regimes) / num_regimes)
        show("quantiles of volatility", num_regimes, np.searchsorted(bounds, volatility))
        for target in (2.0, 4.0, 12.0, 25.0):
            labeler.set_params(n_regimes=num_regimes, switches_per_year=target).fit(panel)
            labels = labeler.predict(panel).to_numpy(dtype=int, na_value=0)
            show(f"fintok, {target:g} switches asked for", num_regimes, labels)
    warnings.filterwarnings("ignore")  # of libraries that fit and do not converge
    for name, num_regimes, labels in rivals(panel.returns, panel.dates, first, cut):
        show(name, num_regimes, labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
