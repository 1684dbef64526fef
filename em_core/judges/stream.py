"""Run an async job per item of a live feed, and hand the results out of an ordinary generator.

The event loop lives in a thread of its own, so a caller may have a loop already (a notebook, the
app). Results come as they are ready. The first error ends the work: nothing new is started, calls
in flight get `GRACE_S` to end (they may be paid for), and then the error is raised.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

GRACE_S = 5.0
_END = object()


class Session(Protocol):
    """What `stream` runs."""

    n_at_once: int  # items in hand at once

    async def work(self, item: Any) -> list[Any]:
        """The results of one item."""
        ...

    def stop(self) -> None:
        """Something failed: start no more calls."""
        ...

    def salvage(self) -> list[Any]:
        """Results worth keeping of items that failed half-way."""
        ...

    async def close(self) -> list[Any]:
        """After the last item: results that were held back."""
        ...


class _Stream:
    def __init__(self, items: Iterable[Any], opened: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        self.items, self.opened = items, opened
        self.results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.hands = threading.Semaphore(0)  # items in hand at once
        self.error: BaseException | None = None
        self.loop = asyncio.new_event_loop()
        self.main: asyncio.Task[None] | None = None
        self.thread = threading.Thread(target=self._run, name="judge-loop", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.main = self.loop.create_task(self._main())
            with suppress(asyncio.CancelledError):
                self.loop.run_until_complete(self.main)
        except BaseException as error:
            self.error = error
        finally:
            with suppress(Exception):
                left = asyncio.all_tasks(self.loop)  # calls beside one that failed
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
                self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.results.put(_END)

    def _cancel(self) -> None:
        if self.main is not None:
            self.main.cancel()

    async def _main(self) -> None:
        inbox: asyncio.Queue[object] = asyncio.Queue()
        async with self.opened() as session:
            self.hands = threading.Semaphore(session.n_at_once)
            threading.Thread(target=self._pull, args=(inbox,), name="judge-feed", daemon=True).start()
            failed: asyncio.Future[BaseException] = self.loop.create_future()
            tasks: set[asyncio.Task[None]] = set()
            try:
                while not failed.done():
                    item = await _first(inbox.get(), failed)
                    if item is _END or failed.done():
                        break
                    task = self.loop.create_task(self._one(session, item, failed))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                if tasks:
                    await _first(asyncio.gather(*tasks), failed)
                if failed.done():
                    session.stop()
                    in_flight = asyncio.all_tasks() - {asyncio.current_task()}
                    if in_flight:
                        await asyncio.wait(in_flight, timeout=GRACE_S)
                    for result in session.salvage():
                        self.results.put(result)
                    raise failed.result()
                for result in await session.close():
                    self.results.put(result)
            finally:
                self.stopped.set()
                self.hands.release()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, session: Session, item: object, failed: asyncio.Future[BaseException]) -> None:
        try:
            for result in await session.work(item):
                self.results.put(result)
        except Exception as error:
            if not failed.done():
                failed.set_result(error)
        finally:
            self.hands.release()

    def _pull(self, inbox: asyncio.Queue[object]) -> None:
        on_cancel = getattr(self.items, "on_cancel", None)
        if on_cancel is not None:
            on_cancel(self._abort)
        items = iter(self.items)
        try:
            while True:  # no item is taken before there is a hand for it: until then it may turn out to be scored
                self.hands.acquire()
                item = next(items, _END)
                if self.stopped.is_set():
                    return
                self.loop.call_soon_threadsafe(inbox.put_nowait, item)
                if item is _END:
                    return
        except BaseException as error:
            self._abort(error)

    def _abort(self, error: BaseException) -> None:
        """End at once with this error, calls in flight included; from any thread."""

        def end() -> None:
            self.error = self.error or error
            self._cancel()

        with suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(end)

    def __iter__(self) -> Iterator[Any]:
        self.thread.start()
        try:
            while (result := self.results.get()) is not _END:
                yield result
            if self.error is not None:
                raise self.error
        finally:
            self.stopped.set()
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._cancel)
            self.thread.join()


async def _first(job: Awaitable[object], failed: asyncio.Future[BaseException]) -> object:
    """The job's result, or None as soon as something failed."""
    task: asyncio.Future[Any] = asyncio.ensure_future(job)
    try:
        await asyncio.wait([task, failed], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done() and not isinstance(job, asyncio.Future):
            task.cancel()


def stream(items: Iterable[Any], opened: Callable[[], AbstractAsyncContextManager[Session]]) -> Iterator[Any]:
    """Results of ``session.work(item)`` for every item, in the order in which they are ready.

    Args:
        items: May block until there is a next item; it is read in a thread of its own. An error
            raised by it ends the work at once, calls in flight included. So does the error given to
            the callback of its ``on_cancel(callback)``, if it has that, even after its last item.
        opened: Makes the session, on the event loop.

    Raises:
        Exception: The first error of the session, after the results that were ready.
    """
    return iter(_Stream(items, opened))
