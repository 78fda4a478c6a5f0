"""Starts the built binary over a scripted provider, and judges its ledger when it has ended.

`GatewayCase` is the base of the suites: one gateway and one provider for each class. When the class is done the gateway
gets SIGTERM, must exit with 0, and its ledger must verify, with our tool and with the reference tool.
"""

import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from upstream import KEY, Upstream

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEALGATE = os.environ.get("SEALGATE_BIN") or str(ROOT / "target/debug/sealgate")
CAPSULE = os.environ.get("CAPSULE_BIN") or str(pathlib.Path(SEALGATE).with_name("capsule"))
REFERENCE = str(pathlib.Path(sys.executable).with_name("capsule"))

MODELS = ["echo", "letters", "tools", "endless", "cut", "not-json", "status-400", "status-401", "status-404",
          "status-429", "status-500", "status-503", "agent"]
# The same models behind a provider that knows chat completions only.
TEXT = ["echo", "tools"]
CLAUDE = ["claude-echo", "claude-tools", "claude-agent", "claude-long", "claude-thinking", "claude-cut", "claude-overloaded",
          "claude-status-400", "claude-status-429", "claude-status-529"]
GEMINI = ["gemini-echo", "gemini-agent"]

BLOCKED_WORD = "nightingale-project"
MASKED_WORD = "acme-corp"
MASK = "[REDACTED]"


def environment(**more):
    """The environment of a child: nothing of the machine that could reach a provider or another ledger."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **more}


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(**more), check=False)
    return done.returncode, done.stdout, done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    def __init__(self, upstream, settings=None, folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="sealgate-peers-"))
        self.data = self.folder / "data"
        self.key = "sk-" + secrets.token_hex(32)
        self.upstream = upstream
        self.settings = settings or {}
        self.process = None
        self.port = None
        self.errors = self.folder / "stderr.log"
        self.access = self.folder / "access.log"

    @staticmethod
    def folder_of_its_own():
        return tempfile.TemporaryDirectory(prefix="sealgate-peers-")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self):
        return self.data / "capsules.db"

    def config(self):
        models = [{"model_name": name, "litellm_params": {
            "model": f"openai/{name}", "api_base": self.upstream.url, "api_key": "os.environ/UPSTREAM_KEY"}}
            for name in MODELS]
        models += [{"model_name": name, "litellm_params": {
            "model": f"anthropic/{name}", "api_base": self.upstream.url.removesuffix("/v1"), "api_key": "os.environ/UPSTREAM_KEY",
            # An agent of another provider offers tools that this one has no word for.
            "drop_params": name == "claude-agent"}}
            for name in CLAUDE]
        models += [{"model_name": f"text-{name}", "litellm_params": {
            "model": f"groq/{name}", "api_base": self.upstream.url, "api_key": "os.environ/UPSTREAM_KEY", "drop_params": True}}
            for name in TEXT]
        models += [{"model_name": name, "litellm_params": {
            "model": f"gemini/{name}", "api_base": self.upstream.url.removesuffix("/v1"), "api_key": "os.environ/UPSTREAM_KEY",
            "drop_params": name == "gemini-agent"}}
            for name in GEMINI]
        words = [{"keyword": BLOCKED_WORD, "action": "BLOCK"}, {"keyword": MASKED_WORD, "action": "MASK"}]
        guardrail = {"guardrail_name": "words", "litellm_params": {
            "guardrail": "litellm_content_filter", "mode": ["pre_call", "post_call"], "default_on": True,
            "blocked_words": words, "keyword_redaction_tag": MASK}}
        return {"model_list": models, "guardrails": [guardrail],
                "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY", "detailed_debug": True},
                # One attempt for each call: what these tests count are requests.
                "router_settings": {"num_retries": 0},
                "sealgate": {"data_dir": str(self.data), **self.settings}}

    def init(self):
        # JSON is YAML: no YAML library is needed to write a configuration.
        (self.folder / "config.yaml").write_text(json.dumps(self.config(), indent=1))
        code, out, err = run(SEALGATE, "init", "--no-config", "--data-dir", str(self.data))
        if code != 0:
            raise AssertionError(f"init: exit {code}\n{out}{err}")

    def start(self):
        self.port = free_port()
        command = [SEALGATE, "serve", "--config", str(self.folder / "config.yaml"), "--port", str(self.port)]
        env = environment(LITELLM_MASTER_KEY=self.key, UPSTREAM_KEY=KEY, LITELLM_LOG="DEBUG")
        with self.errors.open("ab") as errors, self.access.open("ab") as access:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=access, stderr=errors, env=env)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}\n{self.errors.read_text()}")
            try:
                with urllib.request.urlopen(self.url + "/health/readiness", timeout=2) as answer:
                    if answer.status == 200:
                        return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        self.kill()
        raise AssertionError(f"serve was not ready within 30 s\n{self.errors.read_text()}")

    def stop(self):
        """SIGTERM; the exit code. Ends only the process that `start` made."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("serve did not end within 30 s of SIGTERM") from None
        self.process = None
        return code

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # judging the ledger

    def public_key(self):
        code, out, err = run(CAPSULE, "keys", "export-public", "--data-dir", str(self.data))
        if code != 0:
            raise AssertionError(f"keys export-public: exit {code}\n{err}")
        return out.strip()

    def verify(self, *arguments):
        """Our verifier's exit code and JSON."""
        code, out, err = run(CAPSULE, "verify", "--db", str(self.database), "--pubkey", self.public_key(), "--json", *arguments)
        try:
            return code, json.loads(out)
        except ValueError:
            raise AssertionError(f"capsule verify: exit {code}\n{out}\n{err}") from None

    def reference_verify(self, *arguments):
        """The reference tool's exit code and JSON, over a copy: it must not be able to mend our file."""
        copy = self.folder / "reference.db"
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        base = self.folder / "reference-home"
        code, out, err = run(REFERENCE, "verify", "--db", str(copy), "--json", *(arguments or ("--pubkey", self.public_key())),
                             QUANTUMPIPES_DATA_DIR=str(base))
        copy.unlink()
        try:
            return code, json.loads(out)
        except ValueError:
            raise AssertionError(f"reference verify: exit {code}\n{out}\n{err}") from None

    def records(self):
        """Every document of the ledger, in order."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            return [json.loads(row[0]) for row in database.execute("SELECT data FROM capsules ORDER BY sequence")]

    def record(self, identity, within=10.0):
        """The record of one call. The answer does not wait for it, so it may take a moment."""
        deadline = time.monotonic() + within
        while True:
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
                row = database.execute("SELECT data FROM capsules WHERE id = ?", (identity,)).fetchone()
            if row:
                return json.loads(row[0])
            if time.monotonic() > deadline:
                raise AssertionError(f"no record {identity} within {within} s")
            time.sleep(0.02)


def logged(gateway):
    """The access log has one line of documented fields for each call, and each line's record exists."""
    page = (ROOT / "docs/logging.md").read_text().split("## The event log")[0]
    documented = {field for line in page.splitlines() if line.startswith("| `") for field in line.split("|")[1].replace("`", "").replace(" ", "").split(",")}
    lines = [json.loads(line) for line in gateway.access.read_text().splitlines()]
    seen = set().union(*lines)
    assert seen <= documented, f"not in docs/logging.md: {seen - documented}"
    recorded = [line["record"] for line in lines if "record" in line]
    # Every record but the ledger's own is of one request; changes of keys and teams have a log of their own, /audit, and what
    # was read of spend and trail is sealed in groups.
    events = ("identity_change", "reads", "content_read", "erasure", "retention")
    own = lambda record: record["type"] == "system" or record["context"]["environment"].get("event") in events
    records = sorted(record["id"] for record in gateway.records() if not own(record))
    assert sorted(recorded) == records, (len(recorded), len(records))


class GatewayCase(unittest.TestCase):
    """One gateway for the tests of a class. `settings` goes into the section `sealgate:`."""

    settings = None

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.gateway = Gateway(cls.upstream, cls.settings)
        cls.addClassCleanup(cls.gateway.close)
        cls.gateway.init()
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        code = cls.gateway.stop()
        assert code == 0, f"SIGTERM: exit {code}, not 0\n{cls.gateway.errors.read_text()}"
        code, ours = cls.gateway.verify()
        assert (code, ours["valid"]) == (0, True), ours
        code, theirs = cls.gateway.reference_verify()
        assert (code, theirs["valid"]) == (0, True), theirs
        assert ours["capsules_verified"] == theirs["capsules_verified"], (ours, theirs)
        calls = [r for r in cls.gateway.records() if r["type"] == "chat"]
        assert not [r for r in calls if r["outcome"]["status"] in ("unknown", "pending")], calls
        # What the provider saw and what the ledger says are the same number of calls.
        # A request that was refused before it had an intent has a record too, and no provider call in it.
        sent = [r["execution"]["tool_calls"][0]["result"] for r in calls if r["execution"]["tool_calls"]]
        attempts = sum(len(result["attempts"]) for result in sent)
        assert attempts == cls.upstream.mark(), (attempts, cls.upstream.mark())
        # At level DEBUG: neither credentials nor content, in no output.
        text = cls.gateway.errors.read_text() + cls.gateway.access.read_text()
        for secret in (KEY, cls.gateway.key, BLOCKED_WORD, MASKED_WORD, "be brief", "Pune"):
            assert secret.lower() not in text.lower(), f"{secret[:12]} is in the log"
        logged(cls.gateway)

    def capsule_id(self, headers):
        uri = headers["x-sealgate-capsule"]
        self.assertTrue(uri.startswith("capsule://"), uri)
        identity = uri.removeprefix("capsule://")
        self.assertEqual(headers["x-litellm-call-id"], identity)
        return identity
