"""Threads for work that mostly waits for others."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def at_once(most: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``most`` threads, none of which works behind the back of who goes on after it.

    Who interrupts it doesn't wait for servers: the threads end with the process, as cli/main.py
    says.
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
