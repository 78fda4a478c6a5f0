"""The callback: what inherits LiteLLM's class."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from . import _lifetime, _litellm
from ._capsules import Capsules, CapsuleType, adopt, type_name
from ._native import CapsuleError

log = logging.getLogger("sealgate_litellm")

_WRITTEN_WITHIN = 60.0
"""Seconds within which a record must be written when errors are raised."""


class CapsuleLogger(CustomLogger):
    """Writes one sealed, hash-chained record for every call that LiteLLM reports.

    ``capsules``: the store and its key; ``Capsules()`` by default. An object of ``qp_capsule`` works as well.
    ``agent_id``: identity in the record's context section.
    ``domain``: business domain, at most 50 characters.
    ``capsule_type``: type of each record.
    ``swallow_errors``: with ``True`` a hook only queues its record and never raises; a record that cannot be written
    stays queued, is tried again, counted in :meth:`stats` and logged. With ``False`` a hook returns once its record is
    durable, and raises :class:`CapsuleError` when writing it fails; the record stays queued all the same.
    ``content``: ``"full"`` keeps the user's message, the answer (2,000 characters) and the text of errors in clear, as
    the published callback does; ``"masked"`` replaces personal data and secrets in them by their kinds; ``"hash"`` keeps
    keyed digests in their place. The prompt's SHA3-256 is in every record.

    Errors of the store, the key or a parameter raise :class:`CapsuleError` here, whatever ``swallow_errors`` says.
    """

    told_late = True
    """Told of a call after its report was cut short, too."""

    def __init__(
        self,
        capsules: Any = None,
        agent_id: str = "litellm",
        domain: str = "chat",
        capsule_type: CapsuleType | str = CapsuleType.CHAT,
        *,
        swallow_errors: bool = True,
        content: str = "full",
    ) -> None:
        super().__init__()
        self.capsules: Capsules = adopt(capsules)
        self.swallow_errors = swallow_errors
        self._store = self.capsules._store
        self._recorder = self._store.recorder(agent_id, domain, type_name(capsule_type), content)
        _lifetime.say_once(content, self.capsules)

    def stats(self) -> dict[str, Any]:
        """Counts of this process and store.

        ``submitted``, ``written`` and ``waiting`` records (the first is the sum of the others), ``waiting_bytes``,
        ``commits``, ``failed_commits`` (each is tried again), ``minimal_records`` (written without their content, which
        the protocol does not allow), ``waits_for_room``, ``failing`` and ``last_error``.
        """
        return self._store.stats()

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until every record so far is written; false when ``timeout`` seconds were not enough. Calls whose event
        loop has ended before LiteLLM reported them are reported first."""
        _lifetime.report_leftovers()
        return self._store.flush(timeout)

    async def aflush(self, timeout: float = 30.0) -> bool:
        """Like :meth:`flush`; calls of this event loop that LiteLLM has not reported yet are waited for first."""
        await _lifetime.drain_loop(timeout)
        return await asyncio.to_thread(self._store.flush, timeout)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: datetime, end_time: datetime) -> None:
        """Records a call that was answered."""
        self._log(kwargs, response_obj, start_time, end_time, True)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: datetime, end_time: datetime) -> None:
        """Records a call that failed."""
        self._log(kwargs, response_obj, start_time, end_time, False)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Records a call that was answered."""
        await self._alog(kwargs, response_obj, start_time, end_time, True)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Records a call that failed."""
        await self._alog(kwargs, response_obj, start_time, end_time, False)

    def _log(self, *event: Any) -> None:
        try:
            ticket = self._recorder.record(*event, False)
            while not ticket:
                try:
                    self._store.wait_for_room(1.0)
                except BaseException:
                    self._recorder.record(*event, True)
                    raise
                ticket = self._recorder.record(*event, False)
            if _lifetime.ending or not self.swallow_errors:
                self._check(self._store.wait(ticket, _WRITTEN_WITHIN))
        except Exception as error:
            self._failed(error)

    async def _alog(self, *event: Any) -> None:
        _litellm.heard(self)
        try:
            ticket = self._recorder.record(*event, False)
            while not ticket:
                try:
                    await asyncio.sleep(0.005)
                except BaseException:
                    # LiteLLM gives up on slow callbacks; this record is kept although there is no room.
                    self._recorder.record(*event, True)
                    raise
                ticket = self._recorder.record(*event, False)
            if _lifetime.ending:
                self._check(self._store.wait(ticket, _WRITTEN_WITHIN))
            elif not self.swallow_errors:
                self._check(await asyncio.to_thread(self._store.wait, ticket, _WRITTEN_WITHIN))
        except Exception as error:
            self._failed(error)

    @staticmethod
    def _check(written: bool) -> None:
        if not written:
            raise CapsuleError(f"the record was not written within {_WRITTEN_WITHIN:.0f} s; it stays queued")

    def _failed(self, error: Exception) -> None:
        if not self.swallow_errors:
            raise error
        log.error("a record could not be made or written: %s", error)
