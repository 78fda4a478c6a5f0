"""The published page, followed from top to bottom with this package's name, as a new user would.

    python published_page.py CAPSULE_TOOL

Each step is a line or a block of the page; the last line is `PASS` or names the step that did not hold. Calls are
answered by LiteLLM's own mock. Needs $QUANTUMPIPES_DATA_DIR in an empty directory.
"""

import asyncio
import json
import os
import pathlib
import sqlite3
import subprocess
import sys

import litellm
from sealgate_litellm import CapsuleLogger

HOME = pathlib.Path(os.environ["QUANTUMPIPES_DATA_DIR"])
MOCK = {"mock_response": "The capital of France is Paris."}


def records(database):
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT data, hash, signature, signature_pq, signed_at, signed_by FROM capsules ORDER BY sequence").fetchall()
    connection.close()
    keys = ("hash", "signature", "signature_pq", "signed_at", "signed_by")
    return [json.loads(row[0]) | dict(zip(keys, row[1:])) for row in rows]


def zero_configuration():
    litellm.callbacks = [CapsuleLogger()]
    response = litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "What is the capital of France?"}], **MOCK)
    assert "Paris" in response.choices[0].message.content


async def asynchronous():
    await litellm.acompletion(model="gpt-4o", messages=[{"role": "user", "content": "And of Italy?"}], **MOCK)
    assert await litellm.callbacks[0].aflush()


def failure():
    try:
        litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "fail"}], mock_response=Exception("provider is down"))
    except Exception:
        assert litellm.callbacks[0].aflush is not None
    else:
        raise AssertionError("the mock did not fail")


def own_storage():
    from sealgate_litellm import Capsules, CapsuleType

    logger = CapsuleLogger(
        capsules=Capsules(os.environ.get("SEALGATE_TEST_POSTGRES") or str(HOME / "own.db")), agent_id="trading-bot", domain="finance",
        capsule_type=CapsuleType.AGENT, swallow_errors=True)
    litellm.callbacks = [logger]
    litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "Buy?"}], **MOCK)


def sections(found):
    # LiteLLM keeps a callback that it has once taken over, so the first logger hears the call with a storage of its own too.
    # In which order it reports calls that follow at once, it does not say.
    asked = {record["trigger"]["request"]: record for record in found}
    assert set(asked) == {"What is the capital of France?", "And of Italy?", "fail", "Buy?"} and len(found) == 4, asked
    first, second, third = asked["What is the capital of France?"], asked["And of Italy?"], asked["fail"]
    assert first["trigger"]["source"] == "litellm"
    assert first["context"]["agent_id"] == "litellm"
    assert first["context"]["environment"] == {"model": "gpt-4o", "call_type": "completion"}
    assert first["reasoning"]["prompt_hash"] == "56276ab262cd3291f0044976028fed62c2a8d4511525126a91c9fbf70e57b818"
    assert first["authority"]["type"] == "autonomous"
    assert first["execution"]["tool_calls"][0]["tool"] == "litellm.completion"
    assert first["outcome"]["result"] == MOCK["mock_response"] and first["outcome"]["status"] == "success"
    assert set(first["execution"]["resources_used"]) == {"tokens_in", "tokens_out", "latency_ms"}
    assert first["outcome"]["metrics"] == first["execution"]["resources_used"]
    assert second["context"]["environment"]["call_type"] == "acompletion"
    assert third["outcome"]["status"] == "failure" and "provider is down" in third["outcome"]["error"]


def main():
    tool = sys.argv[1]
    if len(sys.argv) == 2:
        # Calls end with their process, as a user's do.
        subprocess.run([sys.executable, __file__, tool, "calls"], check=True)
        found = records(HOME / "capsules.db")
        sections(found)
        (HOME / "chain.json").write_text(json.dumps(found), encoding="utf-8")
        for level in ("--full", "--signatures"):
            subprocess.run([tool, "verify", str(HOME / "chain.json"), level], check=True)
        print("PASS")
        return
    zero_configuration()
    asyncio.run(asynchronous())
    failure()
    own_storage()


if __name__ == "__main__":
    main()
