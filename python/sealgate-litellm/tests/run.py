"""Runs the suites of this folder and closes with `peers: P passed, F failed`.

    python run.py [PATTERN]

PATTERN is a part of a test's dotted name. Needs the package, the packages of requirements.txt and, named by CAPSULE_BIN
or built as target/debug/capsule, our own verifier. SEALGATE_LOGGER_PYTHON names another interpreter, with the package and
LiteLLM, in which the calls are made. Tests on PostgreSQL are named and left out where it is not installed.
"""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True

HERE = pathlib.Path(__file__).resolve().parent


def chosen(suite, pattern):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from chosen(test, pattern)
        elif pattern in test.id():
            yield test


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.path.insert(0, str(HERE))
    found = unittest.TestLoader().discover(str(HERE), pattern="test_*.py")
    suite = unittest.TestSuite(chosen(found, pattern))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, durations=8).run(suite) if sys.version_info >= (3, 12) else \
        unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"NOT RUN: {test.id()}: {reason}")
    ran = result.testsRun - len(result.skipped)
    bad = {getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors}
    failed = max(len(bad), int(ran == 0))
    print(f"peers: {max(ran - failed, 0)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
