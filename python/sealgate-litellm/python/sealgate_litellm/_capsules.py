"""Where records are kept and which key seals them."""

from __future__ import annotations

import logging
import os
import threading
from enum import Enum
from pathlib import Path
from typing import Any

from . import _lifetime
from ._native import CapsuleError, Store

log = logging.getLogger("sealgate_litellm")

MAX_RECORDS = 10_000
"""Records that may wait to be written before callers wait."""
MAX_BYTES = 64 << 20
"""Bytes of them."""


class CapsuleType(str, Enum):
    """The kind of a record."""

    AGENT = "agent"
    TOOL = "tool"
    SYSTEM = "system"
    KILL = "kill"
    WORKFLOW = "workflow"
    CHAT = "chat"
    VAULT = "vault"
    AUTH = "auth"


class Capsules:
    """A store of records and the key that seals them.

    ``url`` is nothing (``$QUANTUMPIPES_DATA_DIR/capsules.db``, else ``~/.quantumpipes/capsules.db``) or the path of
    a SQLite file. ``key`` is the path of the key file, by default ``key`` in the same directory as the default file;
    it is made when it is missing.

    The store is opened here once, so that what is wrong with it raises :class:`CapsuleError` at start. All objects of
    one store and key share one writer in a process; any number of processes may use one store.
    """

    def __init__(self, url: str | os.PathLike[str] | None = None, *, key: str | os.PathLike[str] | None = None) -> None:
        self.kind, self.target = _place(url)
        self.key = str(Path(key).expanduser().absolute()) if key is not None else str(_data_dir() / "key")
        self._store = _open(self.kind, self.target, self.key)

    @property
    def public_key(self) -> str:
        """The public key that verifies the records: 64 hex digits."""
        return self._store.public_key

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until all records so far are written; false when ``timeout`` seconds were not enough."""
        return self._store.flush(timeout)

    def stats(self) -> dict[str, Any]:
        """Counts of this process: see :meth:`CapsuleLogger.stats`."""
        return self._store.stats()

    def __repr__(self) -> str:
        shown = self.target if self.kind == "sqlite" else "postgresql://..."
        return f"Capsules({shown!r})"


def adopt(capsules: Any) -> Capsules:
    """Our own object, or one of ``qp_capsule``, whose place and key are used."""
    if capsules is None:
        return Capsules()
    if isinstance(capsules, Capsules):
        return capsules
    storage, seal = getattr(capsules, "storage", None), getattr(capsules, "seal", None)
    place = getattr(storage, "db_path", None) or getattr(storage, "database_url", None)
    if place is None or seal is None:
        raise CapsuleError(
            f"capsules is {type(capsules).__name__}: give Capsules(...) of sealgate_litellm or of qp_capsule "
            "with its SQLite or PostgreSQL storage"
        )
    if getattr(seal, "_pq_enabled", False) or getattr(seal, "pq_enabled", False):
        log.warning("post-quantum signatures are not written; records carry Ed25519 signatures")
    if isinstance(place, str):
        place = place.replace("postgresql+asyncpg://", "postgresql://", 1)
    return Capsules(place, key=getattr(seal, "key_path", None))


def type_name(capsule_type: Any) -> str:
    """The protocol's word for a type given as our enum, the reference's, or a string."""
    return str(getattr(capsule_type, "value", capsule_type))


def _data_dir() -> Path:
    named = os.environ.get("QUANTUMPIPES_DATA_DIR")
    if not named:
        return Path.home() / ".quantumpipes"
    if ".." in Path(named).parts:
        raise CapsuleError("QUANTUMPIPES_DATA_DIR must not contain '..'")
    return Path(named).resolve()


def _place(url: str | os.PathLike[str] | None) -> tuple[str, str]:
    if url is None:
        return "sqlite", str(_data_dir() / "capsules.db")
    text = os.fspath(url)
    if text.startswith(("postgresql://", "postgres://")):
        return "postgresql", text
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        raise CapsuleError(f"no such kind of store: {text.split('://')[0]}:// (a path, or postgresql://)")
    if not text:
        raise CapsuleError("the path of the store is empty")
    return "sqlite", str(Path(text).expanduser().absolute())


_stores: dict[tuple[str, str, str], Store] = {}
_opening = threading.Lock()


def _open(kind: str, target: str, key: str) -> Store:
    # One writer for each file, whatever name it was given.
    name = (kind, os.path.realpath(target) if kind == "sqlite" else target, os.path.realpath(key))
    with _opening:
        store = _stores.get(name)
        if store is None:
            store = Store(kind, target, key, MAX_RECORDS, MAX_BYTES, _report)
            _stores[name] = store
            _lifetime.care_for(store)
        return store


def _report(message: str, is_error: bool) -> None:
    """Called by the writer when storing fails and when it works again."""
    log.log(logging.ERROR if is_error else logging.WARNING, message)
