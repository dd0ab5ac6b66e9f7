"""One thread for linear algebra, wherever a notebook runs: many threads on few cores make
small fits thirty times slower, and sums depend on how many there are.
"""

from __future__ import annotations

import contextlib
import functools
import os

__all__ = ["ONE_THREAD", "one_thread"]

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@functools.cache
def one_thread() -> None:
    """Make the libraries of this process, loaded or still to be loaded, use one thread;
    whoever has set one of the variables decides for himself.
    """
    if any(name in os.environ for name in ONE_THREAD):
        return
    os.environ.update(ONE_THREAD)
    # comes with scikit-learn
    with contextlib.suppress(ImportError):
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=1)
