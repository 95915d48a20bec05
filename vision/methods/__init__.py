"""Pre-training methods, one paper a file. ``METHODS`` names them; each is imported when it is first asked
for.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.methods.base import Method

_HOME = {
    "mae": "MAE",
    "simmim": "SimMIM",
    "dino": "DINO",
    "ibot": "IBOT",
    "dinov2": "DINOv2",
    "dvae": "DVAE",
    "vqkd": "VQKD",
    "beit": "BEiT",
    "beit2": "BEiT2",
    "online_tokenizer": "OnlineTokenizer",
}


class _Methods(Mapping[str, "type[Method]"]):
    """Name -> class of the method in the module of that name."""

    def __getitem__(self, name: str) -> "type[Method]":
        class_name = _HOME[name]
        return getattr(import_module(f"vision.methods.{name}"), class_name)

    def __iter__(self) -> Iterator[str]:
        return iter(_HOME)

    def __len__(self) -> int:
        return len(_HOME)


METHODS: Mapping[str, "type[Method]"] = _Methods()

__all__ = ["METHODS"]
