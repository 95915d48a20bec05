"""fintok: market data as tokens. Pretrain on a panel of prices, then read regimes and anomalies.

The names below are the whole public face. They are imported when first used, so that ``import fintok``
stays instant: no torch, no data-frame library.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fintok.anomaly import AnomalyScorer
    from fintok.audit import audit
    from fintok.bundle import Bundle, load
    from fintok.errors import InputError
    from fintok.evaluate.runner import evaluate
    from fintok.health import check_panel
    from fintok.moves import moves_of
    from fintok.panel import Panel
    from fintok.pretrain import pretrain
    from fintok.progress import quiet
    from fintok.refits import walk_forward
    from fintok.regime_choice import choose_regimes
    from fintok.regime_match import match_regimes
    from fintok.regimes import RegimeLabeler
    from fintok.report import report
    from fintok.sample import simulate_panel
    from fintok.sources import read_panel

__version__ = "0.1.0"

__all__ = [
    "read_panel",
    "check_panel",
    "Panel",
    "moves_of",
    "simulate_panel",
    "pretrain",
    "load",
    "Bundle",
    "RegimeLabeler",
    "choose_regimes",
    "match_regimes",
    "walk_forward",
    "AnomalyScorer",
    "audit",
    "evaluate",
    "report",
    "quiet",
    "InputError",
    "__version__",
]

_HOME = {
    "read_panel": "fintok.sources",
    "check_panel": "fintok.health",
    "moves_of": "fintok.moves",
    "Panel": "fintok.panel",
    "simulate_panel": "fintok.sample",
    "pretrain": "fintok.pretrain",
    "load": "fintok.bundle",
    "Bundle": "fintok.bundle",
    "RegimeLabeler": "fintok.regimes",
    "choose_regimes": "fintok.regime_choice",
    "match_regimes": "fintok.regime_match",
    "walk_forward": "fintok.refits",
    "AnomalyScorer": "fintok.anomaly",
    "audit": "fintok.audit",
    "quiet": "fintok.progress",
    "evaluate": "fintok.evaluate.runner",
    "report": "fintok.report",
    "InputError": "fintok.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fintok' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


class _Face(ModuleType):
    """Keeps ``fintok.pretrain`` the function, where importing the submodule would put the module.

    What is inside is reached by ``from fintok.evaluate import runner``; ``import fintok.evaluate.runner as runner``,
    which asks the function for it, is an ImportError.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __dir__() -> list[str]:
    return sorted(__all__)
