"""Programs for Node: where they are, and an environment in which they reach nothing but this machine."""

import json
import os
import pathlib
import subprocess
import unittest

from gateway import BLOCKED_WORD, MASKED_WORD

HERE = pathlib.Path(__file__).parent
# Where scripts/test put the packages of node/package.json.
PACKAGES = pathlib.Path(os.environ.get("SEALGATE_NODE") or HERE.parents[1] / "target/test-node")
# Nobody listens there: what does not go to this machine fails at once.
NOWHERE = "http://127.0.0.1:9"


def environment(home, **more):
    proxies = {name: NOWHERE for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")}
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", **proxies,
            "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **more}


# The script that starts each program; it finds the one for this machine among the packages.
PROGRAMS = {"claude": "@anthropic-ai/claude-code/cli-wrapper.cjs", "codex": "@openai/codex/bin/codex.js"}


def program(name):
    path = PACKAGES / "node_modules" / PROGRAMS[name]
    if not path.exists():
        raise AssertionError(f"{path} is not there: scripts/test installs it, or `npm ci` with {HERE / 'node'}; SEALGATE_NODE names the folder")
    return ["node", str(path)]


def run(command, env, cwd, seconds=120):
    done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=seconds, check=False)
    return done.returncode, done.stdout, done.stderr


class NodeCase(unittest.TestCase):
    """Runs one case of a script of node/; its assertions are made there."""

    script = None

    def node(self, case):
        env = environment(self.gateway.folder, SEALGATE_NODE=str(PACKAGES), GATEWAY_URL=self.gateway.url,
                          GATEWAY_KEY=self.gateway.key, BLOCKED_WORD=BLOCKED_WORD, MASKED_WORD=MASKED_WORD)
        code, out, err = run(["node", str(HERE / "node" / self.script), case], env, self.gateway.folder)
        self.assertEqual(code, 0, f"{self.script} {case}\n{out}{err}")
        return json.loads(out.splitlines()[-1])
