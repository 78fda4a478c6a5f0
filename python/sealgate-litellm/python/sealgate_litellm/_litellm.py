"""What LiteLLM has not reported yet, and how to make it do so.

LiteLLM hands the events of asynchronous calls to a queue of its own and those of synchronous calls to a pool of threads.
Its queue belongs to one event loop at a time: loops in several threads take it from each other, and an event that is put
into it meanwhile is never run; nor are those of a loop that ends, beyond 200 at the end of the process. Two threads of the
pool may report one call at once, twice. A full pool drops events, and a forked process inherits both in a state in which
they lose events. So each event is remembered here until it has been run, and whoever comes first runs it: LiteLLM, or this
module when LiteLLM does not. None of this has a public interface, so every step looks before it touches and does nothing
when LiteLLM is built differently.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from datetime import datetime
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

log = logging.getLogger("sealgate_litellm")

OVERDUE_SECONDS = 5.0
"""An event that LiteLLM has not begun to run after this time on a running loop is run here."""
LONGEST_SECONDS = 20.0
"""How long one event may run, as with LiteLLM itself."""
MOST_AT_ONCE = 100
"""Events that run here at once on one loop, as with LiteLLM itself."""

_current: ContextVar[Reporting | None] = ContextVar("sealgate_reporting", default=None)
_waiting: dict[int, Reporting] = {}
_running: dict[int, Reporting] = {}
_loops: WeakSet[Any] = WeakSet()


class Reporting(Coroutine[Any, Any, Any]):
    """A coroutine that reports a call, remembered until it has. Cancelled before it has begun, it begins all the same: the
    call has ended, and nothing else will ever report it. Once it waits for something, it is cancelled as any other. Given to
    two tasks, it runs in the first and is over at once in the second. When it is cut short, by the end of its loop or because
    another callback took too long, `missed` is called with the loggers that heard of the call."""

    def __init__(self, inner: Coroutine[Any, Any, Any], missed: Callable[[set[int]], None] | None = None) -> None:
        self._inner = inner
        self._missed = missed
        self.heard: set[int] = set()
        self._runner: Any = None
        self.loop: Any = _running_loop()
        self.since = time.monotonic()
        _waiting[id(self)] = self
        if self.loop is not None:
            _watch(self.loop)

    def _begin(self) -> tuple[bool, bool]:
        """Whether this is the first step, and whether it is the running task's to make."""
        runner = asyncio.current_task()
        # Taking it out is one step that only one thread can make.
        if _waiting.pop(id(self), None) is None:
            return False, self._runner is runner
        self._runner = runner
        _running[id(self)] = self
        if self._missed is not None:
            _current.set(self)
        return True, True

    def _over(self, error: BaseException | None) -> None:
        """It returned, raised or was cut short."""
        _running.pop(id(self), None)
        missed, self._missed = self._missed, None
        if missed is not None and isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            try:
                missed(self.heard)
            except Exception:
                log.exception("LiteLLM did not report a call")

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return step(*args)
        except BaseException as error:
            self._over(error)
            raise

    def send(self, value: Any) -> Any:
        if not self._begin()[1]:
            raise StopIteration
        return self._step(self._inner.send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        error = kind if value is None else value
        first, mine = self._begin()
        if not mine:
            raise StopIteration
        if first and (isinstance(error, asyncio.CancelledError) or error is asyncio.CancelledError):
            return self._step(self._inner.send, None)
        return self._step(self._inner.throw, error)

    def close(self) -> None:
        # What has not begun is still to be reported, whoever gives it up.
        if id(self) not in _waiting:
            try:
                self._inner.close()
            finally:
                self._over(GeneratorExit())

    def forget(self) -> None:
        """In a forked process: it is the parent's to report."""
        if _waiting.pop(id(self), None) is not None:
            self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._begin()[1]:
            return None
        try:
            result = yield from self._inner.__await__()
        except BaseException as error:
            self._over(error)
            raise
        self._over(None)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _watch(loop: Any) -> None:
    """Looks after the events of a loop, and after those that ended loops left, while any of them wait."""
    if loop not in _loops:
        _loops.add(loop)
        loop.call_soon(_look_after, loop)


def _look_after(loop: Any) -> None:
    overdue = time.monotonic() - OVERDUE_SECONDS
    waiting = list(_waiting.values())
    mine = [event for event in waiting if event.loop is loop]
    due = [event for event in mine if event.since < overdue]
    due += [event for event in waiting if event.loop is not None and event.loop is not loop and event.loop.is_closed()]
    running = sum(event.loop is loop for event in list(_running.values()))
    for event in due[: max(MOST_AT_ONCE - running, 0)]:
        task = loop.create_task(_run(event))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    if mine or due:
        loop.call_later(1.0, _look_after, loop)
    else:
        _loops.discard(loop)


_tasks: set[Any] = set()


async def _run(event: Reporting) -> None:
    """Runs an event, unless somebody does already."""
    try:
        await asyncio.wait_for(event, LONGEST_SECONDS)
    except Exception:
        log.exception("LiteLLM failed to report a call")


def heard(logger: Any) -> None:
    """A logger has been told of the call that is being reported here."""
    event = _current.get()
    if event is not None:
        event.heard.add(id(logger))


def _reporting(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Reporting]:
    missed = {"async_success_handler": _missed_success, "async_failure_handler": _missed_failure}.get(function.__name__)

    @wraps(function)
    def begin(*args: Any, **kwargs: Any) -> Reporting:
        tell = None if missed is None else partial(missed, args, kwargs)
        return Reporting(function(*args, **kwargs), tell)

    begin.reports_calls = True  # type: ignore[attr-defined]
    return begin


def _missed_success(args: Any, kwargs: Any, told: set[int]) -> None:
    """Tells our loggers of an answered call whose report was cut short before it came to them."""
    call, result, start, end = _arguments(args, kwargs, "result", "start_time", "end_time")
    if getattr(call, "stream", None) is True:
        # Only the end of a stream is an event.
        result = call.model_call_details.get("async_complete_streaming_response")
        if result is None:
            return
    for logger in _ours(call, "_async_success_callback", "async_success_handler", told):
        logger.log_success_event(call.model_call_details, result, start or call.start_time, end or datetime.now())


def _missed_failure(args: Any, kwargs: Any, told: set[int]) -> None:
    call, error, start, end = _arguments(args[:2] + args[3:], kwargs, "exception", "start_time", "end_time")
    details = {**call.model_call_details, "exception": error}
    for logger in _ours(call, "_async_failure_callback", "async_failure_handler", told):
        logger.log_failure_event(details, None, start or call.start_time, end or datetime.now())


def _arguments(args: Any, kwargs: Any, *names: str) -> list[Any]:
    call, *given = args
    return [call, *(given[place] if place < len(given) else kwargs.get(name) for place, name in enumerate(names))]


def _ours(call: Any, callbacks: str, hook: str, told: set[int]) -> list[Any]:
    known = getattr(sys.modules.get("litellm"), callbacks, ())
    params = call.model_call_details.get("litellm_params") or {}
    return [
        logger for logger in known
        if hasattr(logger, "told_late") and id(logger) not in told
        and call.should_run_callback(callback=logger, litellm_params=params, event_hook=hook)
    ]


_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_locks_lock = threading.Lock()


def _one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """LiteLLM asks whether a call has been reported and says so later; in between, another thread may report it too."""

    @wraps(function)
    def report(call: Any, *args: Any, **kwargs: Any) -> Any:
        with _locks_lock:
            lock = _locks.get(call)
            if lock is None:
                lock = _locks[call] = threading.RLock()
        with lock:
            return function(call, *args, **kwargs)

    report.reports_calls = True  # type: ignore[attr-defined]
    return report


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
    """Makes LiteLLM report calls whose loop ends, calls that find its pool full, and each call once."""
    logging_module = sys.modules.get("litellm.litellm_core_utils.litellm_logging")
    calls = getattr(logging_module, "Logging", None)
    for owner, name in (
        (calls, "async_success_handler"),
        (calls, "async_failure_handler"),
        (calls, "dispatch_success_handlers"),
        (calls, "dispatch_failure_handlers"),
        (sys.modules.get("litellm.utils"), "_client_async_logging_helper"),
    ):
        function = getattr(owner, name, None)
        if asyncio.iscoroutinefunction(function) and not getattr(function, "reports_calls", False):
            setattr(owner, name, _reporting(function))
    for name in ("success_handler", "failure_handler"):
        function = getattr(calls, name, None)
        if callable(function) and not getattr(function, "reports_calls", False):
            setattr(calls, name, _one_at_a_time(function))
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


def report_leftovers(all_loops: bool = False) -> None:
    """Runs the events of asynchronous calls whose loop has ended; of `all_loops` when no loop will run any more. In a thread
    without a running loop."""
    if _running_loop() is not None or not _left(all_loops):
        return
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_report_left(all_loops))
    except (Exception, asyncio.CancelledError):
        log.exception("LiteLLM did not report all of its calls")
    finally:
        loop.close()


async def _report_left(all_loops: bool) -> None:
    # Running one event may make another, also in a task of its own.
    while events := _left(all_loops):
        await _run_each(events)
        started = asyncio.all_tasks() - {asyncio.current_task()}
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


def _left(all_loops: bool) -> list[Reporting]:
    for event in list(_running.values()):
        if event.loop is not None and event.loop.is_closed():
            try:
                event.close()
            except Exception:
                log.exception("LiteLLM failed to report a call")
    return [event for event in list(_waiting.values()) if all_loops or (event.loop is not None and event.loop.is_closed())]


async def _run_each(events: list[Reporting]) -> None:
    for first in range(0, len(events), MOST_AT_ONCE):
        # One that ends itself with a cancellation must not end the others.
        await asyncio.gather(*(_run(event) for event in events[first : first + MOST_AT_ONCE]), return_exceptions=True)


async def drain_loop(seconds: float) -> None:
    """Waits for the events of this loop's calls, and runs those that ended loops left."""
    drain = asyncio.ensure_future(_drain(asyncio.get_running_loop()))
    # Not cancelled when it takes longer: that would end the events that it waits for.
    done, _ = await asyncio.wait({drain}, timeout=seconds)
    if not done:
        log.error("LiteLLM did not report all of its calls within %.0f s", seconds)


async def _drain(loop: Any) -> None:
    while True:
        events = [event for event in list(_waiting.values()) if event.loop is loop] + _left(False)
        if events:
            await _run_each(events)
        elif any(event.loop is loop for event in list(_running.values())):
            await asyncio.sleep(0.005)
        else:
            return


def drain_running_loops(seconds: float) -> None:
    """The same from another thread, for every loop that runs; then what no loop runs."""
    events = [*list(_waiting.values()), *list(_running.values())]
    loops = {id(event.loop): event.loop for event in events if event.loop is not None and event.loop.is_running()}
    drains = [asyncio.run_coroutine_threadsafe(drain_loop(seconds), loop) for loop in loops.values()]
    until = time.monotonic() + seconds
    for drain in drains:
        try:
            drain.result(max(until - time.monotonic(), 0.1))
        except Exception as error:
            log.error("a loop did not report all of its calls: %r", error)
    report_leftovers(all_loops=True)


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
    global _locks_lock
    _locks_lock = threading.Lock()
    _locks.clear()
    _running.clear()
    _loops.clear()
    for event in list(_waiting.values()):
        event.forget()
    worker = _worker()
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

