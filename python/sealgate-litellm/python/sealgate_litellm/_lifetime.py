"""What a process owes its records when it forks, ends or is told to end."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
from typing import Any

from . import _litellm
from ._native import Store

log = logging.getLogger("sealgate_litellm")

FLUSH_SECONDS = 30.0
"""How long the end of a process waits for its records."""

ending = False
"""The process ends: hooks return only once their record is durable."""

_stores: list[Store] = []
_said: set[str] = set()
_told_to_end = False
_drained = False
_stores_are_closed = False


class _Marker:
    """Something that multiprocessing can hold weakly."""


_marker = _Marker()


def care_for(store: Store) -> None:
    """Makes sure that the records of this store outlive the process."""
    first = not _stores
    _stores.append(store)
    if first:
        atexit.register(at_exit)
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
        _arm_multiprocessing(True)
        _watch_signals()
        _litellm.report_all()


def say_once(content: str, capsules: Any) -> None:
    """The line at start."""
    if content in _said:
        return
    _said.add(content)
    if content == "full":
        log.warning(
            "%r: records hold the user's message, the answer and error texts in clear (content='full', the documented "
            "default); recommended: content='masked' or content='hash'",
            capsules,
        )
    else:
        log.info("%r: content=%r", capsules, content)


def at_exit() -> None:
    """Runs what LiteLLM still has to report, writes everything and lets go of the stores."""
    global ending
    ending = True
    _litellm.report_leftovers(all_loops=True)
    flush_all(FLUSH_SECONDS)


def flush_all(seconds: float) -> None:
    """Writes everything, or says how much could not be written."""
    for store in _stores:
        if store.flush(seconds):
            store.release()
        else:
            stats = store.stats()
            log.error("%s records could not be written in time: %s", stats["waiting"], stats["last_error"])


def report_leftovers() -> None:
    """Reports the calls whose event loop has ended before LiteLLM did."""
    _litellm.report_leftovers()


async def drain_loop(seconds: float) -> None:
    """Waits for what LiteLLM has still to report on this loop and in its threads."""
    await _litellm.drain_loop(seconds)
    await asyncio.to_thread(_litellm.drain_threads, seconds)


def _before_fork() -> None:
    global _stores_are_closed
    for store in _stores:
        store.before_fork()
    _stores_are_closed = True


def _after_fork_in_parent() -> None:
    global _stores_are_closed
    _stores_are_closed = False
    for store in _stores:
        store.after_fork(False)


def _after_fork_in_child() -> None:
    global ending, _told_to_end, _drained, _stores_are_closed
    ending = _told_to_end = _drained = False
    # A fork that did not announce itself took open stores along: their next record says so.
    if _stores_are_closed:
        for store in _stores:
            store.after_fork(True)
    _stores_are_closed = False
    _litellm.begin_anew_after_fork()
    _arm_multiprocessing(False)


def _arm_multiprocessing(child_may_run: bool) -> None:
    """Children of multiprocessing end without atexit; they have finalizers of their own."""
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    # Finalizers that exist at the fork are cleared in the child before these functions run.
    util.register_after_fork(_marker, lambda _marker: util.Finalize(None, at_exit, exitpriority=10))
    process = sys.modules.get("multiprocessing.process")
    if child_may_run and process is not None and process.parent_process() is not None:
        util.Finalize(None, at_exit, exitpriority=10)


def _watch_signals() -> None:
    """SIGTERM ends a process without atexit, unless somebody handles it."""
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGTERM)
    if handler is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
        return
    server = getattr(handler, "__self__", None)
    if type(server).__module__ == "uvicorn.server" and hasattr(server, "shutdown"):
        _drain_after(server)


def _drain_after(server: Any) -> None:
    """uvicorn raises the signal again after its shutdown, and that ends the process: drain before."""
    shutdown = server.shutdown

    async def shutdown_and_drain(*args: Any, **kwargs: Any) -> None:
        await shutdown(*args, **kwargs)
        await drain_loop(FLUSH_SECONDS)
        await asyncio.to_thread(flush_all, FLUSH_SECONDS)

    server.shutdown = shutdown_and_drain


def _on_sigterm(number: int, frame: Any) -> None:
    """Drains in a thread, since the loop that must run meanwhile may be this thread's; then ends as SIGTERM does."""
    global _told_to_end
    if _drained:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    elif not _told_to_end:
        _told_to_end = True
        threading.Thread(target=_drain_and_end, name="sealgate-drain", daemon=True).start()


def _drain_and_end() -> None:
    global _drained, ending
    ending = True
    try:
        _litellm.drain_running_loops(FLUSH_SECONDS / 3)
        _litellm.drain_threads(FLUSH_SECONDS / 3)
        flush_all(FLUSH_SECONDS)
    finally:
        _drained = True
        os.kill(os.getpid(), signal.SIGTERM)
