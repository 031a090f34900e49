"""Garbage collection of a process that runs Holdfast and little else."""

from __future__ import annotations

import gc


def tune_garbage_collection() -> None:
    """Exempt what is loaded so far from garbage collection, and collect the rest less often.

    For a program that runs Holdfast and little else, once it has started: it concerns the whole interpreter, so a
    library must not do it by itself. A token leaves no cycles but allocates enough to start a collection every few
    dozen, a tenth of the processor; and a full one walks all of Django, for 60 ms in which nothing else runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
