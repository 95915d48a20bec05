"""scikit-learn's estimator form without importing scikit-learn.

`clone`, `Pipeline`, `GridSearchCV` (with a `scoring` of one's own) and the notebook display work on a class that
keeps its constructor arguments under their own names, answers `get_params` and `set_params`, and, since scikit-learn
1.6, has `__sklearn_tags__`. Importing `sklearn.base` costs more than a second, so the tags are built when asked for.
"""

import inspect
from os import PathLike
from typing import Any, Self

from fintok.errors import InputError
from fintok.panel import Panel, require_panel


class Estimator:
    """Base of the two heads: the constructor only stores, `fit` learns names that end in an underscore."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments; `deep` is accepted for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments by name; raises ValueError for a name that the constructor lacks."""
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # pyright: ignore[reportMissingImports]

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=None,
            input_tags=InputTags(two_d_array=True, allow_nan=False),  # of features; panels have holes
        )

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def _takes_panel(self, table: object, *, is_fit: bool = False) -> bool:
        """Whether the table is a panel, not features. Raises InputError for features where there is a bundle to ask,
        and for the one kind after `fit` on the other."""
        is_panel = isinstance(table, Panel)
        if not is_panel and getattr(self, "bundle", None) is not None:
            require_panel(table)
        fitted_on = None if is_fit else getattr(self, "fitted_on_", None)
        if fitted_on is not None and is_panel == (fitted_on == "features"):
            asked, other = ("a panel", "features") if is_panel else ("features", "a panel")
            raise InputError(f"this {type(self).__name__} was fitted on {other}: fit it on {asked} first")
        return is_panel

    def _require_fit(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise InputError(f"this {type(self).__name__} is not fitted yet: call fit(panel) first")

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept of the last panel: a pickled estimator is as small as what it learned."""
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items() if k != "bundle")
        return f"{type(self).__name__}({shown})"


def require_bundle(bundle: object) -> None:
    """Raise InputError for what is given in place of a bundle, as the folder of one; None is for the caller."""
    if isinstance(bundle, str | PathLike):
        raise InputError(f"expected a Bundle, got the path {str(bundle)!r}: fintok.load makes one of it")
    if bundle is not None and not hasattr(bundle, "train_end"):
        raise InputError(
            f"expected a Bundle, got a {type(bundle).__name__}: fintok.load() or fintok.pretrain gives one"
        )
