"""A data directory and its verification: our tool, the reference's tool, and an append by the reference."""

import asyncio
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CAPSULE = os.environ.get("CAPSULE_BIN") or str(ROOT / "target/debug/capsule")
# Interpreter whose LiteLLM is tested; the reference tool needs a newer one than the package does.
PYTHON = os.environ.get("SEALGATE_LOGGER_PYTHON") or sys.executable
REFERENCE = str(pathlib.Path(sys.executable).parent / "capsule")


class Home:
    """`QUANTUMPIPES_DATA_DIR` of one test."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealgate-litellm-"))
        self.database = self.folder / "capsules.db"

    def close(self):
        shutil.rmtree(self.folder)

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEALGATE_", "LITELLM_", "QUANTUMPIPES_"))}
        return kept | {
            "QUANTUMPIPES_DATA_DIR": str(self.folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1", "OPENAI_API_KEY": "sk-not-a-real-key",
        } | more

    def run(self, scenario, python=PYTHON, **more):
        """Runs a scenario; returns how many calls it made, and the process."""
        done = subprocess.run([python, str(HERE / "scenarios.py"), scenario], env=self.environment(**more),
                              capture_output=True, text=True, timeout=600, check=False)
        lines = done.stdout.split()
        if not lines or not lines[-1].isdigit():
            raise AssertionError(f"{scenario} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return int(lines[-1]), done

    def records(self, database=None):
        with sqlite3.connect(database or self.database) as connection:
            rows = connection.execute("SELECT data FROM capsules ORDER BY sequence").fetchall()
        connection.close()
        return [json.loads(row[0]) for row in rows]

    def tool(self, program, *arguments):
        done = subprocess.run([program, *arguments], env=self.environment(), capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stdout, done.stderr

    def verify(self, count, database=None):
        """Our tool verifies `count` records, the reference appends one, and both verify that too."""
        database = str(database or self.database)
        self.verified(CAPSULE, count, "--db", database)
        self.append(database)
        self.verified(CAPSULE, count + 1, "--db", database)
        self.verified(REFERENCE, count + 1, "--db", database)

    def verified(self, program, count, *source):
        code, out, err = self.tool(program, "verify", *source, "--signatures", "--json")
        if code not in (0, 1):
            raise AssertionError(f"{program} ended with {code}: {out} {err}")
        found = json.loads(out)
        if (code, found["valid"], found["capsules_verified"]) != (0, True, count):
            raise AssertionError(f"{program} verified {found['capsules_verified']} of {count}: {out} {err}")

    def append(self, database):
        """In a process of its own: it must not share this one's SQLite."""
        code, out, err = self.tool(sys.executable, "-c", f"import chain; chain.append_by_reference({database!r})")
        if code:
            raise AssertionError(out + err)


def append_by_reference(database):
    from qp_capsule import Capsule, CapsuleChain, CapsuleStorage, Seal

    async def work():
        storage = CapsuleStorage(db_path=pathlib.Path(database))
        await CapsuleChain(storage).seal_and_store(Capsule(), seal=Seal())
        await storage.close()

    asyncio.run(work())


def append_to_postgres(url):
    from qp_capsule import Capsule, CapsuleChain, PostgresCapsuleStorage, Seal

    async def work():
        storage = PostgresCapsuleStorage(url)
        await CapsuleChain(storage).seal_and_store(Capsule(), seal=Seal())
        await storage.close()

    asyncio.run(work())
