"""What LiteLLM has not reported yet, and how to make it do so.

LiteLLM hands the events of asynchronous calls to a queue of its own and those of synchronous calls to a pool of threads.
When an event loop ends, the tasks that are to report are cancelled; at the end of a process at most 200 of the queued
events are run; a full pool drops events; and a forked process inherits both in a state in which they lose events. None of this has a public interface, so every step here looks before it touches and does nothing when
LiteLLM is built differently.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any

log = logging.getLogger("sealgate_litellm")


class Reporting(Coroutine[Any, Any, Any]):
    """A coroutine that reports a call. Cancelled before it has begun, it begins all the same: the call has ended, and
    nothing else will ever report it. Once it waits for something, it is cancelled as any other. Given to two tasks, as
    happens with loops in several threads, it runs in the first and is over at once in the second."""

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner
        self._runner: Any = None
        self._lock = threading.Lock()

    def _begin(self) -> tuple[bool, bool]:
        """Whether this is the first step, and whether it is the running task's to make."""
        runner = asyncio.current_task()
        with self._lock:
            first = self._runner is None
            if first:
                self._runner = runner
            return first, self._runner is runner

    def send(self, value: Any) -> Any:
        if not self._begin()[1]:
            raise StopIteration
        return self._inner.send(value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        error = kind if value is None else value
        first, mine = self._begin()
        if not mine:
            raise StopIteration
        if first and (isinstance(error, asyncio.CancelledError) or error is asyncio.CancelledError):
            return self._inner.send(None)
        return self._inner.throw(error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__() if self._begin()[1] else iter(())  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _reporting(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Reporting]:
    @wraps(function)
    def begin(*args: Any, **kwargs: Any) -> Reporting:
        return Reporting(function(*args, **kwargs))

    begin.reports_calls = True  # type: ignore[attr-defined]
    return begin


class _Patient:
    """In place of the semaphore whose exhaustion makes LiteLLM's pool drop events: waits for a place instead."""

    def __init__(self, slots: Any) -> None:
        self._slots = slots

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        # A thread of the pool must not wait for itself.
        if threading.current_thread().name.startswith("litellm-logging"):
            return self._slots.acquire(blocking=False)
        return self._slots.acquire(timeout=30.0)

    def release(self) -> None:
        self._slots.release()


def report_all() -> None:
    """Makes LiteLLM report calls whose loop ends and calls that find its pool full."""
    logging_module = sys.modules.get("litellm.litellm_core_utils.litellm_logging")
    utils = sys.modules.get("litellm.utils")
    for owner, name in (
        (getattr(logging_module, "Logging", None), "async_success_handler"),
        (getattr(logging_module, "Logging", None), "async_failure_handler"),
        (utils, "_client_async_logging_helper"),
    ):
        function = getattr(owner, name, None)
        if asyncio.iscoroutinefunction(function) and not getattr(function, "reports_calls", False):
            setattr(owner, name, _reporting(function))
    executor = _executor()
    slots = getattr(executor, "_pending_slots", None)
    if slots is not None and not isinstance(slots, _Patient):
        executor._pending_slots = _Patient(slots)


def _worker() -> Any:
    module = sys.modules.get("litellm.litellm_core_utils.logging_worker")
    return getattr(module, "GLOBAL_LOGGING_WORKER", None)


def _executor() -> Any:
    module = sys.modules.get("litellm.litellm_core_utils.thread_pool_executor")
    return getattr(module, "executor", None)


def _open_tasks(worker: Any) -> int:
    waiting = getattr(worker, "_queue", None)
    unstarted = getattr(worker, "_unstarted_dequeued_tasks", tuple)
    return (waiting.qsize() if waiting is not None else 0) + len(unstarted())


def drain_at_exit() -> None:
    """Runs the events of asynchronous calls whose loop has ended. LiteLLM's own function stops at 200."""
    worker = _worker()
    run = getattr(worker, "_flush_on_exit", None)
    if run is None:
        return
    try:
        before = _open_tasks(worker)
        while before:
            run()
            left = _open_tasks(worker)
            if left >= before:
                log.error("LiteLLM did not report %s of its calls", left)
                return
            before = left
    except Exception:
        log.exception("LiteLLM did not report all of its calls")


async def drain_loop(seconds: float) -> None:
    """Waits for the events of this loop's calls."""
    flush = getattr(_worker(), "flush", None)
    if flush is None:
        return
    try:
        await asyncio.wait_for(flush(), seconds)
    except asyncio.TimeoutError:
        log.error("LiteLLM did not report all of its calls within %.0f s", seconds)


def drain_running_loop(seconds: float) -> None:
    """The same from another thread."""
    loop = getattr(_worker(), "_bound_loop", None)
    if loop is None or not loop.is_running():
        return
    try:
        asyncio.run_coroutine_threadsafe(drain_loop(seconds), loop).result(seconds)
    except Exception as error:
        log.error("LiteLLM did not report all of its calls: %r", error)


def drain_threads(seconds: float) -> None:
    """Waits until the pool has done all that it was given so far: each of its threads must come to this barrier."""
    executor = _executor()
    workers = getattr(executor, "_max_workers", 0)
    if not workers or not getattr(executor, "_threads", None):
        return
    barrier = threading.Barrier(workers + 1)
    try:
        for _ in range(workers):
            executor.submit(barrier.wait, seconds)
        barrier.wait(seconds)
    except (RuntimeError, threading.BrokenBarrierError) as error:
        log.error("LiteLLM did not report all of its calls: %r", error)


def begin_anew_after_fork() -> None:
    """In a child: what the parent has still to report is the parent's, and the pool's threads do not exist here."""
    worker = _worker()
    for task in _inherited(worker):
        task["coroutine"].close()
    if worker is not None and hasattr(worker, "_queue"):
        worker._queue = worker._worker_task = worker._sem = worker._bound_loop = None
        for name in ("_running_tasks", "_dequeued_tasks"):
            getattr(worker, name, set()).clear()
    executor = _executor()
    if executor is not None and all(hasattr(executor, name) for name in ("_threads", "_work_queue", "_idle_semaphore")):
        executor._threads.clear()
        executor._work_queue = queue.SimpleQueue()
        executor._idle_semaphore = threading.Semaphore(0)
        executor._shutdown_lock = threading.Lock()
        if isinstance(getattr(executor, "_pending_slots", None), _Patient):
            executor._pending_slots = _Patient(threading.Semaphore(getattr(executor, "_max_pending_tasks", 10_000)))


def _inherited(worker: Any) -> list[Any]:
    waiting = getattr(worker, "_queue", None)
    tasks = list(getattr(worker, "_unstarted_dequeued_tasks", tuple)())
    while waiting is not None and not waiting.empty():
        tasks.append(waiting.get_nowait())
    return tasks
