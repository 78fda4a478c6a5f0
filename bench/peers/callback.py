"""What the LiteLLM callback costs, its hooks called as LiteLLM calls them, beside qp-capsule on the same machine.

usage: callback.py [--records 20000] [--rounds 3]   (needs sealgate-litellm, qp-capsule and litellm in this environment)

Three rows: a small call (messages of 1 KB in all), a large one (33 KB), and the reference package sealing and storing a
capsule of the same shape. `thread us` is CPU of the calling thread, `process us` CPU of the whole process, both per call and
with everything written; `records/s` is wall time until everything is durable.
"""

import argparse
import asyncio
import datetime
import json
import os
import statistics
import tempfile
import time

LIMITS = {"small call": (30.0, 80.0, 5000.0)}
KILOBYTES = 32
PER_KILOBYTE = 5.0


def event(size):
    from litellm import ModelResponse

    answer = ModelResponse(
        model="gpt-4o", choices=[{"message": {"role": "assistant", "content": "The capital of France is Paris."}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 150, "completion_tokens": 42, "total_tokens": 192})
    messages = [{"role": "system", "content": "You are brief. " * 20}, {"role": "user", "content": "x" * (size - 300)}]
    start = datetime.datetime.now()
    kwargs = {"model": "gpt-4o", "messages": messages, "call_type": "acompletion", "litellm_call_id": "a2f6d7c0-7f3e-4e59-9c3b-2f1a3c1e5b11",
              "litellm_params": {"api_key": "sk-0123456789abcdef"}, "optional_params": {}}
    return kwargs, answer, start, start + datetime.timedelta(milliseconds=1200)


async def ours(size, records):
    from sealgate_litellm import CapsuleLogger, Capsules

    with tempfile.TemporaryDirectory() as folder:
        logger = CapsuleLogger(capsules=Capsules(f"{folder}/capsules.db", key=f"{folder}/key"))
        made = event(size)
        for _ in range(200):
            await logger.async_log_success_event(*made)
        logger.flush()
        wall, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
        for _ in range(records):
            await logger.async_log_success_event(*made)
        thread = time.thread_time() - thread
        assert logger.flush(120)
        wall, process = time.perf_counter() - wall, time.process_time() - process
        assert logger.stats()["written"] == records + 200
    return thread * 1e6 / records, process * 1e6 / records, records / wall


async def reference(records):
    from qp_capsule import Capsule, Capsules, CapsuleType

    with tempfile.TemporaryDirectory() as folder:
        os.environ["QUANTUMPIPES_DATA_DIR"] = folder
        capsules = Capsules()
        made = [Capsule.create(CapsuleType.CHAT, trigger={"request": "x" * 700, "source": "litellm"}) for _ in range(records)]
        await capsules.chain.seal_and_store(Capsule(), seal=capsules.seal)
        wall, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
        for capsule in made:
            await capsules.chain.seal_and_store(capsule, seal=capsules.seal)
        thread, wall, process = time.thread_time() - thread, time.perf_counter() - wall, time.process_time() - process
        await capsules.close()
    return thread * 1e6 / records, process * 1e6 / records, records / wall


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = {"small call": [], "33 KB call": [], "qp-capsule": []}
    for _ in range(options.rounds):
        rows["small call"].append(asyncio.run(ours(1024, options.records)))
        rows["33 KB call"].append(asyncio.run(ours(1024 * (1 + KILOBYTES), options.records // 4)))
        rows["qp-capsule"].append(asyncio.run(reference(options.records // 20)))
    medians = {name: [statistics.median(column) for column in zip(*found)] for name, found in rows.items()}
    print(f"{'':12} {'thread us':>10} {'process us':>11} {'records/s':>10}")
    for name, (thread, process, rate) in medians.items():
        print(f"{name:12} {thread:10.1f} {process:11.1f} {rate:10.0f}")
    slopes = [(large - small) / KILOBYTES for small, large in zip(medians["small call"], medians["33 KB call"])][:2]
    print(f"each further KB: {slopes[0]:.2f} us of the calling thread, {slopes[1]:.2f} us of the process")
    print(json.dumps({"rounds": rows, "per_kilobyte_us": slopes}))
    thread, process, rate = medians["small call"]
    limit = LIMITS["small call"]
    kept = thread <= limit[0] and process <= limit[1] and rate >= limit[2] and slopes[1] <= PER_KILOBYTE
    print("within the limits" if kept else f"ABOVE THE LIMITS: {limit}, {PER_KILOBYTE} us per KB")


main()
