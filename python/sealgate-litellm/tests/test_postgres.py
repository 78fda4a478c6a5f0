"""The same on PostgreSQL: records = calls, the chain verifies and the reference goes on with it.

A server of its own is started when PostgreSQL's programs are installed (Debian: `postgresql`). Without them nothing here
runs, which a line at the end says; with SEALGATE_REQUIRE_POSTGRES set that is a failure.
"""

import concurrent.futures
import glob
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import unittest

import chain
import test_proxy

PROGRAMS = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)


class Server:
    """A cluster in a directory of its own, on a socket in it."""

    def __init__(self, options=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sg-pg-"))
        # The server does not run as root; Debian's package makes a user for it.
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        owner = "postgres" if self.user else pwd.getpwuid(os.getuid()).pw_name
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", owner, "-N")
        options = f"-k {self.folder} -c listen_addresses=127.0.0.1 -p {self._port()} -c shared_buffers=32MB {options}"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "90", "-l", str(self.folder / "log"), "-o", options, "start")
        self.owner = owner
        self.url = f"postgresql://{owner}@127.0.0.1:{self.port}/postgres"
        self.socket = f"postgresql://{owner}@/postgres?host={self.folder}&port={self.port}"

    def _port(self):
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        return self.port

    def _run(self, program, *arguments):
        subprocess.run([*self.user, f"{PROGRAMS}/{program}", *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=180)

    def sql(self, statement):
        done = subprocess.run([f"{PROGRAMS}/psql", self.socket, "-Atqc", statement], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.splitlines()

    def close(self):
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)


@unittest.skipUnless(PROGRAMS or os.environ.get("SEALGATE_REQUIRE_POSTGRES"), "PostgreSQL is not installed")
class OnPostgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.server.sql("DROP TABLE IF EXISTS quantumpipes_capsules")
        self.home = chain.Home()
        self.addCleanup(self.home.close)

    def records(self):
        columns = "json_build_object('hash', hash, 'signature', signature, 'signature_pq', signature_pq, 'signed_at', signed_at, 'signed_by', signed_by)"
        rows = self.server.sql(f"SELECT data || chr(31) || {columns} FROM quantumpipes_capsules ORDER BY sequence")
        return [json.loads(data) | json.loads(seal) for data, seal in (row.split("\x1f") for row in rows)]

    def verify(self, count):
        for expected in (count, count + 1):
            if expected > count:
                code, out, err = self.home.tool(sys.executable, "-c", f"import chain; chain.append_to_postgres({self.server.url!r})")
                self.assertEqual(code, 0, out + err)
            records = self.records()
            self.assertEqual(len(records), expected)
            exported = self.home.folder / "chain.json"
            exported.write_text(json.dumps(records), encoding="utf-8")
            self.home.verified(chain.CAPSULE, expected, str(exported))
        self.home.verified(chain.REFERENCE, count + 1, "--pg", self.server.url)

    def check(self, scenario):
        made, done = self.home.run(scenario, SEALGATE_TEST_POSTGRES=self.server.url)
        self.assertEqual(len(self.records()), made, done.stderr[-3000:])
        self.verify(made)

    def test_synchronous_calls(self):
        self.check("sync_calls")

    def test_1000_concurrent_asynchronous_calls(self):
        self.check("async_1000")

    def test_threads_and_loops(self):
        self.check("threads_and_loops")

    def test_threads_streams_and_failures(self):
        self.check("async_100+threads+streams_sync+streams_async+exceptions")

    def test_in_the_proxy_under_load_and_sigterm(self):
        callback = ("from sealgate_litellm import CapsuleLogger, Capsules\n\n"
                    f"capsule_logger = CapsuleLogger(Capsules({self.server.url!r}))\n")
        proxy = test_proxy.Proxy(self.home, callback)
        self.addCleanup(proxy.close)
        proxy.wait_until_ready()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(proxy.ask, range(200)))
            answers += pool.map(lambda number: proxy.ask(number, stream=True), range(200, 220))
        proxy.stop()
        self.assertEqual({status for status, _ in answers}, {200}, proxy.said())
        asked = {record["trigger"]["request"] for record in self.records()}
        self.assertEqual((len(self.records()), len(asked)), (220, 220), proxy.said())
        self.verify(220)

    def test_four_processes(self):
        self.check("processes")

    def test_fork_after_first_use(self):
        self.check("fork_after_use")

    def test_the_table_is_the_references(self):
        tables = []
        for make in (lambda: self.home.run("sync_calls", SEALGATE_TEST_POSTGRES=self.server.url),
                     lambda: self.home.tool(sys.executable, "-c", f"import chain; chain.append_to_postgres({self.server.url!r})")):
            self.server.sql("DROP TABLE IF EXISTS quantumpipes_capsules")
            make()
            tables.append((
                self.server.sql("SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns "
                                "WHERE table_name = 'quantumpipes_capsules' ORDER BY ordinal_position"),
                self.server.sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'quantumpipes_capsules' ORDER BY indexname")))
        self.assertEqual(*tables)

    def test_a_server_that_restarts(self):
        """Records wait for it; none is lost and none is written twice."""
        made, done = self.home.run("outlast", SEALGATE_TEST_POSTGRES=self.server.url, SEALGATE_TEST_RESTART=" ".join(
            [*self.server.user, f"{PROGRAMS}/pg_ctl", "-D", str(self.server.folder / "data"), "-m", "immediate", "-w", "-l",
             str(self.server.folder / "log"), "restart"]))
        self.assertEqual(len(self.records()), made, done.stderr[-3000:])
        self.assertIn("none is lost", done.stderr)
        self.verify(made)


PASSWORD = "canary-4f1c"


@unittest.skipUnless(PROGRAMS or os.environ.get("SEALGATE_REQUIRE_POSTGRES"), "PostgreSQL is not installed")
class OverTls(unittest.TestCase):
    """A server that takes connections over TLS alone, with a certificate for `localhost` by a throwaway authority."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sg-tls-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("right", "wrong"):
            self.openssl(f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem")
        self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        self.openssl("x509 -req -in server.csr -CA right.pem -CAkey right.key -set_serial 2 -days 2 -extfile names -out server.pem")
        (self.folder / "hba").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        if os.getuid() == 0:
            # The server insists that nobody but its own user can read the key.
            user = pwd.getpwnam("postgres").pw_uid
            for file in (self.folder, *self.folder.iterdir()):
                os.chown(file, user, -1)
        self.server = Server(f"-c ssl=on -c ssl_cert_file={self.folder}/server.pem -c ssl_key_file={self.folder}/server.key "
                             f"-c hba_file={self.folder}/hba")
        self.addCleanup(self.server.close)
        self.server.sql(f"ALTER USER CURRENT_USER PASSWORD '{PASSWORD}'")
        self.home = chain.Home()
        self.addCleanup(self.home.close)

    def openssl(self, arguments):
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, check=True, capture_output=True, timeout=120)

    def url(self, host, parameters):
        return f"postgresql://{self.server.owner}:{PASSWORD}@{host}:{self.server.port}/postgres?hostaddr=127.0.0.1&{parameters}"

    def test_only_the_right_authority_and_name_are_believed(self):
        right, wrong = (f"sslrootcert={self.folder}/{name}.pem" for name in ("right", "wrong"))
        told = {
            "password": PASSWORD,
            "refused": [
                (self.url("localhost", f"sslmode=verify-full&{wrong}"), "UnknownIssuer"),
                (self.url("localhost", "sslmode=require"), "UnknownIssuer"),
                (self.url("127.0.0.1", f"sslmode=verify-full&{right}"), "not valid for name"),
                (self.url("127.0.0.1", f"sslmode=require&{right}"), "not valid for name"),
                (self.url("localhost", "sslmode=disable"), "no encryption"),
                (self.url("localhost", ""), "no encryption"),
                (self.url("localhost", "sslmode=verify-full&sslrootcert=/nowhere/roots.pem"), "/nowhere/roots.pem"),
                (self.url("localhost", "sslmode=sometimes"), "sslmode"),
            ],
            "accepted": [self.url("localhost", f"sslmode={mode}&{right}") for mode in ("require", "verify-ca", "verify-full")],
        }
        made, done = self.home.run("over_tls", SEALGATE_TEST_TLS=json.dumps(told))
        self.assertNotIn(PASSWORD, done.stderr)
        columns = "json_build_object('hash', hash, 'signature', signature, 'signature_pq', signature_pq, 'signed_at', signed_at, 'signed_by', signed_by)"
        rows = self.server.sql(f"SELECT data || chr(31) || {columns} FROM quantumpipes_capsules ORDER BY sequence")
        records = [json.loads(data) | json.loads(seal) for data, seal in (row.split("\x1f") for row in rows)]
        self.assertEqual(len(records), made, done.stderr[-3000:])
        exported = self.home.folder / "chain.json"
        exported.write_text(json.dumps(records), encoding="utf-8")
        for tool in (chain.CAPSULE, chain.REFERENCE):
            self.home.verified(tool, made, str(exported))


if __name__ == "__main__":
    unittest.main()
