"""Threads for work that mostly waits."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def at_once(most: int) -> Iterator[ThreadPoolExecutor]:
    """Yields a pool of ``most`` threads and waits for all of them at the end.

    An interruption does not wait for servers: the threads end with the process (see cli/main.py).
    """
    pool = ThreadPoolExecutor(most)
    try:
        yield pool
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
