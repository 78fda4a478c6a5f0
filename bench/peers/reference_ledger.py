"""Appends capsules through qp-capsule, one commit each, and prints what that cost.

usage: reference_ledger.py TEMPLATE.json COUNT   (the ledger is $QUANTUMPIPES_DATA_DIR/capsules.db)
"""
import asyncio
import json
import sys
import time
import uuid

from qp_capsule import Capsule, Capsules


async def main(template, count):
    content = json.load(open(template, encoding="utf-8"))
    # Built before the clock starts: the comparison is of sealing and storing.
    prepared = [Capsule.from_dict({**content, "id": str(uuid.uuid4())}) for _ in range(count)]
    capsules = Capsules()
    await capsules.chain.seal_and_store(Capsule.from_dict({**content, "id": str(uuid.uuid4())}), seal=capsules.seal)
    wall, cpu = time.perf_counter(), time.process_time()
    for capsule in prepared:
        await capsules.chain.seal_and_store(capsule, seal=capsules.seal)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await capsules.close()
    print(json.dumps({"records": count, "seconds": wall, "cpu_us_per_record": cpu * 1e6 / count}))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
