"""Ctrl-C during a run: asked once it stops at the end of the step, asked twice it stops at once; SIGTERM asks once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the run was saved: it can go on from there."""


@contextmanager
def hold_interrupts(request_stop: Callable[[], None]) -> Iterator[None]:
    """Within, the first Ctrl-C calls ``request_stop`` and the second raises KeyboardInterrupt where it falls.

    The state in the middle of a step belongs to no step: it could not be resumed exactly. Lightning answers a
    KeyboardInterrupt by ending the process (SystemExit) with Ctrl-C switched off; here it comes out as
    what it was, and the handler from before is put back. SIGTERM, which Lightning holds until the end of the
    pass, comes out as the same: batch systems and containers stop their jobs with it. Outside the main thread,
    which no signal reaches, nothing is held.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)

    def ask(signum: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request_stop()

    if is_main:
        signal.signal(signal.SIGINT, ask)
    try:
        yield
    except SystemExit as error:
        if isinstance(error, SIGTERMException) or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
