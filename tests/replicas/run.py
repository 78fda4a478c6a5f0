#!/usr/bin/env python3
"""Three gateways on one PostgreSQL and one Redis, with real processes and a provider that counts.

Needs PostgreSQL's programs, redis-server and the built binary (SEALGATE_BIN, else target/debug/sealgate). No packages.
The last line is `peers: P passed, F failed`.
"""

import concurrent.futures
import glob
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SEALGATE_BIN", str(ROOT / "target/debug/sealgate"))
MASTER = "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE"
children = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, done, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Stub(http.server.BaseHTTPRequestHandler):
    """A provider: answers after the pause that the model's name asks for, and counts."""

    protocol_version = "HTTP/1.1"
    seen = 0
    lock = threading.Lock()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with Stub.lock:
            Stub.seen += 1
        if body["model"].startswith("slow-"):
            time.sleep(int(body["model"][5:]) / 1000)
        answer = json.dumps({
            "id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
        }).encode()
        try:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Provider(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class Postgres:
    def __init__(self, folder):
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.folder, self.port = folder / "pg", free_port()
        self.folder.mkdir()
        self.prefix = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            os.chmod(folder, 0o755)
            self.prefix = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "sealgate", "--no-sync")
        self.run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o",
                 f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c shared_buffers=32MB", "start")
        self.url = f"postgresql://sealgate@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        command = [*self.prefix, f"{self.programs}/{program}", *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")

    def ask(self, sql):
        command = [f"{self.programs}/psql", "-X", "-At", self.url, "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def stop(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")


class Gateway:
    def __init__(self, folder, name, settings):
        self.folder, self.name, self.settings = folder, name, settings
        self.child = self.port = None

    def start(self):
        self.port = free_port()
        environment = {"PATH": os.environ["PATH"], "LITELLM_MASTER_KEY": MASTER, **self.settings}
        self.log = open(self.folder / f"{self.name}.log", "ab")
        self.child = subprocess.Popen(
            [BINARY, "serve", "--config", "config.yaml", "--port", str(self.port), "--data-dir", self.name, "--no-access-log"],
            cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=self.log)
        children.append(self.child)
        return self

    def ready(self):
        def there():
            if self.child.poll() is not None:
                raise AssertionError(f"{self.name} ended: {(self.folder / (self.name + '.log')).read_text()[-2000:]}")
            return listens(self.port)
        until(f"{self.name} listens", there, 60)
        return self

    def post(self, path, body, key=MASTER, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def chat(self, key, model="echo"):
        body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
        return self.post("/v1/chat/completions", body, key)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sealgate-three-"))
    passed, failed = 0, 0
    provider = Provider(("127.0.0.1", 0), Stub)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    postgres = Postgres(folder)
    redis_port = free_port()
    children.append(subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL))
    try:
        until("Redis listens", lambda: listens(redis_port))
        (folder / "config.yaml").write_text(
            "model_list:\n- model_name: '*'\n  litellm_params:\n    model: openai/*\n    api_key: sk-provider-canary\n"
            f"    api_base: http://127.0.0.1:{provider.server_port}/v1\n"
            "    input_cost_per_token: 0.000001\n    output_cost_per_token: 0.000002\n"
            "general_settings:\n  database_url: os.environ/DATABASE_URL\n"
            "router_settings:\n  num_retries: 0\n"
            "sealgate:\n  content_mode: masked\n  egress:\n    allow: [loopback]\n  redis:\n    url: os.environ/REDIS_URL\n    lease: 3\n")
        alone = {"DATABASE_URL": postgres.url}
        settings = {**alone, "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}
        subprocess.run([BINARY, "init", "--data-dir", "one"], cwd=folder, check=True, capture_output=True,
                       env={"PATH": os.environ["PATH"], **alone})
        for name in ("two", "three"):
            shutil.copytree(folder / "one", folder / name)
        gateways = [Gateway(folder, name, settings).start() for name in ("one", "two", "three")]
        for gateway in gateways:
            gateway.ready()
        world = World(folder, postgres, gateways, settings)
        for test in (world.five_of_two_hundred, world.block_within_a_second,
                     world.erased_everywhere, world.random_kills, world.verified):
            try:
                test()
                passed += 1
                print(f"ok      {test.__name__}: {test.__doc__}", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"FAILED  {test.__name__}: {error}", flush=True)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
        postgres.stop()
        provider.shutdown()
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"peers: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


class World:
    def __init__(self, folder, postgres, gateways, settings):
        self.folder, self.postgres, self.gateways, self.settings = folder, postgres, gateways, settings

    def key(self, **fields):
        status, made = self.gateways[0].post("/key/generate", fields)
        assert status == 200, made
        for gateway in self.gateways:
            until("the key is known", lambda: gateway.post("/v1/utils/token_counter", {}, made["key"])[0] != 401)
        return made["key"]

    def records(self, user):
        sql = f"SELECT request_id FROM \"LiteLLM_SpendLogs\" WHERE \"user\" = '{user}'"
        return self.postgres.ask(sql).split()

    def price(self, model):
        status, body = self.gateways[0].chat(self.key(max_budget=0), model)
        assert status == 422, body
        return float(body["error"]["message"].split("Needed by this call: ")[1].split(" ")[0])

    def five_of_two_hundred(self):
        """200 parallel calls at a budget for five, over three processes: five reach the provider"""
        key = self.key(max_budget=self.price("slow-4000") * 5)
        before = Stub.seen
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda at: self.gateways[at % 3].chat(key, "slow-4000")[0], range(200)))
        assert answers.count(200) == 5 and Stub.seen - before == 5, (answers.count(200), Stub.seen - before)
        assert set(answers) == {200, 422}, set(answers)

    def block_within_a_second(self):
        """a key that is blocked at one process under load is admitted by no other a second later"""
        key, ended, last = self.key(), threading.Event(), []

        def call(at):
            newest = 0.0
            while not ended.is_set():
                began = time.monotonic()
                if self.gateways[at % 3].chat(key)[0] == 200:
                    newest = max(newest, began)
            last.append(newest)

        threads = [threading.Thread(target=call, args=(at,)) for at in range(9)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        asked = time.monotonic()
        status, body = self.gateways[0].post("/key/block", {"key": key})
        assert status == 200, body
        time.sleep(2)
        ended.set()
        for thread in threads:
            thread.join()
        worst = max(last) - asked
        print(f"        the last admitted call began {worst:.3f} s after the block was asked", flush=True)
        assert worst < 1.0, worst

    def erased_everywhere(self):
        """what a person said through two processes is read at any and, once erased at one, at none"""
        key = self.key(user_id="anna", max_budget=1)
        for gateway in self.gateways:
            status, body = gateway.chat(key)
            assert status == 200, body
        until("three records", lambda: len(self.records("anna")) == 3)
        sent = self.records("anna")

        def states(gateway):
            status, body = gateway.post("/content/read", {"ids": sent})
            assert status == 200, body
            return {row["state"] for row in body["records"]}

        for gateway in self.gateways:
            assert states(gateway) == {"present"}, gateway.name
        status, body = self.gateways[2].post("/content/erase", {"subject": "anna"})
        assert status == 200 and body["erased"], body
        for gateway in self.gateways:
            assert states(gateway) == {"erased"}, gateway.name
        left = self.postgres.ask("SELECT count(*) FROM sealgate_content_subjects s JOIN sealgate_content c USING (subject, key) "
                                 "JOIN sealgate_erased e USING (subject, key)")
        assert left == "0", left
        # Who comes back has a new key, the same one at all.
        time.sleep(1.1)
        for gateway in self.gateways:
            assert gateway.chat(key)[0] == 200
        until("three new keys' records", lambda: self.postgres.ask(
            "SELECT count(*) FROM sealgate_content c JOIN sealgate_content_subjects s USING (subject, key) "
            "WHERE subject IN (SELECT subject FROM sealgate_erased)") == "3")

    def random_kills(self):
        """one of three is killed again and again under load: every answer has a record, the budget holds"""
        price = self.price("slow-50")
        key = self.key(max_budget=price * 400)
        answered, ended = [0], threading.Event()
        lock = threading.Lock()

        def call(seed):
            chance = random.Random(seed)
            while not ended.is_set():
                if chance.choice(self.gateways).chat(key, "slow-50")[0] == 200:
                    with lock:
                        answered[0] += 1

        # A call whose process dies between its answer and its commit is recovered as unknown.
        count = "SELECT count(*) FROM sealgate_spend WHERE status IN (0, 4)"
        before = int(self.postgres.ask(count))
        threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            time.sleep(1.5)
            victim = random.choice(self.gateways)
            victim.child.send_signal(signal.SIGKILL)
            victim.child.wait()
            victim.start().ready()
        time.sleep(1)
        ended.set()
        for thread in threads:
            thread.join()
        until("no intent is open", lambda: self.postgres.ask("SELECT count(*) FROM sealgate_intents") == "0", 60)
        after = int(self.postgres.ask(count))
        spent = int(self.postgres.ask("SELECT coalesce(sum(cost_micro_usd), 0) FROM sealgate_spend"))
        assert after - before >= answered[0] > 0, (after - before, answered[0])
        assert spent <= round(price * 1e6) * 420, (spent, price)
        print(f"        {answered[0]} answers, {after - before} records, four kills", flush=True)

    def verified(self):
        """the chain of all three verifies, and each stops with everything settled"""
        for gateway in self.gateways:
            gateway.child.terminate()
            code = gateway.child.wait(60)
            assert code == 0, f"{gateway.name} ended with {code}"
        done = subprocess.run([BINARY, "verify", "--data-dir", "one"], cwd=self.folder, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "DATABASE_URL": self.postgres.url})
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]


if __name__ == "__main__":
    sys.exit(main())
