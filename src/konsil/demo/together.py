"""Several people at work side by side, and an end of all of them when one fails or somebody presses Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

Job = Callable[[], None]


@contextmanager
def together(jobs: Sequence[Job], *, give_up: Job) -> Iterator[None]:
    """Run `jobs` in threads of their own beside the body of the `with`; leaving it waits for them.

    The first failure, of a job or of the body, or an interruption, calls `give_up`, which must make every job that
    still runs end soon; then it is raised.
    """
    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        running: list[Future[None]] = [pool.submit(job) for job in jobs]
        try:
            yield
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        except BaseException:
            give_up()
            raise
