"""The LiteLLM proxy with the callback in its configuration: records = answers, under load and at SIGTERM."""

import concurrent.futures
import http.client
import json
import signal
import socket
import subprocess
import time
import unittest

import chain

CONFIG = """
model_list:
  - model_name: echo
    litellm_params: {model: openai/gpt-4o, api_key: sk-nothing, mock_response: "Paris"}
litellm_settings:
  callbacks: capsules_callback.capsule_logger
general_settings: {master_key: sk-master}
"""
CALLBACK = "from sealgate_litellm import CapsuleLogger\n\ncapsule_logger = CapsuleLogger()\n"


class Proxy:
    def __init__(self, home, callback=CALLBACK):
        self.home = home
        (home.folder / "config.yaml").write_text(CONFIG)
        (home.folder / "capsules_callback.py").write_text(callback)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(home.folder / "proxy.log", "w+", encoding="utf-8")
        command = [chain.PYTHON, "-c", "from litellm import run_server; run_server()", "--config", str(home.folder / "config.yaml"),
                   "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=home.folder, env=home.environment(), stdout=self.log, stderr=subprocess.STDOUT)

    def said(self):
        self.log.flush()
        return (self.home.folder / "proxy.log").read_text()[-4000:]

    def wait_until_ready(self):
        until = time.monotonic() + 600
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError("the proxy ended: " + self.said())
            try:
                if self.request("GET", "/health/liveliness")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the proxy does not answer: " + self.said())

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"authorization": "Bearer sk-master", "content-type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, number, **more):
        body = {"model": "echo", "messages": [{"role": "user", "content": f"question {number}"}]} | more
        return self.request("POST", "/v1/chat/completions", body)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(300)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class InTheProxy(unittest.TestCase):
    def setUp(self):
        self.home = chain.Home()
        self.addCleanup(self.home.close)
        self.proxy = Proxy(self.home)
        self.addCleanup(self.proxy.close)
        self.proxy.wait_until_ready()

    def test_under_load_and_sigterm_right_after_the_last_answer(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(self.proxy.ask, range(300)))
            answers += pool.map(lambda number: self.proxy.ask(number, stream=True), range(300, 320))
        self.proxy.stop()
        self.assertEqual({status for status, _ in answers}, {200}, self.proxy.said())
        records = self.home.records()
        self.assertEqual(len(records), 320, self.proxy.said())
        self.assertEqual(len({record["trigger"]["request"] for record in records}), 320)
        self.assertEqual({record["outcome"]["result"] for record in records}, {"Paris"})
        self.home.verify(320)

    def test_sigterm_under_load(self):
        """No answer that a client got is without a record."""
        answered = []

        def client(first):
            for number in range(first, first + 10_000):
                try:
                    status, body = self.proxy.ask(number)
                    json.loads(body)
                except (OSError, http.client.HTTPException, ValueError):
                    return
                if status == 200:
                    answered.append(number)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client, 10_000 * number) for number in range(8)]
            while len(answered) < 150 and not all(done.done() for done in clients):
                time.sleep(0.01)
            self.proxy.stop()
        self.assertGreaterEqual(len(answered), 150, self.proxy.said())
        records = self.home.records()
        asked = [int(record["trigger"]["request"].removeprefix("question ")) for record in records]
        self.assertEqual(len(asked), len(set(asked)), "a call was recorded twice")
        missing = set(answered) - set(asked)
        self.assertFalse(missing, f"{len(missing)} of {len(answered)} have no record: {self.proxy.said()}")
        self.home.verify(len(records))


if __name__ == "__main__":
    unittest.main()
