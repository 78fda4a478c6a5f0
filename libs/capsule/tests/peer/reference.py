"""Answers questions with the reference implementation of the Capsule Protocol (`qp-capsule`).

One JSON object a line on stdin, one on stdout. Every answer holds either the fields that the
operation names or `error`, the class of the exception. The data directory of the reference is the
one that `QUANTUMPIPES_DATA_DIR` names; its `key` file is written by whoever starts this program.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from qp_capsule import (
    Capsule,
    Keyring,
    Seal,
    attach_stored_document,
    compute_hash,
    stored_document,
    to_stored_sealed_dict,
    validate_capsule_dict,
)

SEAL_KEYS = ("hash", "signature", "signature_pq", "signed_at", "signed_by")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
sys.set_int_max_str_digits(4300)


def canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load(text):
    """A sealed record as the reference's tool loads it from a file."""
    record = json.loads(text)
    capsule = Capsule.from_sealed_dict(record)
    if stored_document(capsule) is None:
        document = {key: value for key, value in record.items() if key not in SEAL_KEYS}
        attach_stored_document(capsule, document)
    return capsule


class Peer:
    def __init__(self):
        self.seal = None

    def signer(self):
        if self.seal is None:
            self.seal = Seal()
        return self.seal

    def op_canonical(self, text):
        value = json.loads(text)
        return {"canonical": canonical(value), "hash": compute_hash(value)}

    def op_seal(self, text):
        capsule = Capsule.from_dict(json.loads(text))
        self.signer().seal(capsule)
        return {
            "record": json.dumps(capsule.to_sealed_dict()),
            "canonical": canonical(capsule.to_dict()),
        }

    def op_verify(self, text, key=None):
        capsule = load(text)
        if key is None:
            result = self.signer().verify_detailed(capsule)
        else:
            result = self.signer().verify_with_key_detailed(capsule, key)
        return {"code": result.code.value, "message": result.message}

    def op_stored(self, text):
        return {"record": canonical(to_stored_sealed_dict(load(text)))}

    def op_validate(self, text, claimed_hash=None, strict=False):
        result = validate_capsule_dict(
            json.loads(text), claimed_hash=claimed_hash, strict_unknown_keys=strict
        )
        return {
            "ok": result.ok,
            "category": result.category,
            "field": result.field,
            "message": result.message,
        }

    def op_time(self, text):
        moment = datetime.fromisoformat(text)
        normal = moment.isoformat() == text
        if moment.tzinfo is None:
            return {"normal": normal, "micros": None}
        try:
            micros = (moment - EPOCH) // timedelta(microseconds=1)
        except OverflowError:
            micros = None
        return {"normal": normal, "micros": micros}

    def op_keyring(self, directory, rotate=0, lookup=()):
        directory = Path(directory)
        keyring = Keyring(directory / "keyring.json", directory / "key")
        keyring.load()
        for _ in range(rotate):
            keyring.rotate()
        active = keyring.get_active()
        return {
            "keyring": keyring.to_dict(),
            "active": active and active.public_key_hex,
            "found": [keyring.lookup_public_key(label) for label in lookup],
        }


def main():
    peer = Peer()
    for line in sys.stdin:
        question = json.loads(line)
        operation = getattr(peer, "op_" + question.pop("op"))
        try:
            answer = operation(**question)
        except Exception as error:  # the class of any failure is the answer
            answer = {"error": type(error).__name__, "detail": str(error)[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
