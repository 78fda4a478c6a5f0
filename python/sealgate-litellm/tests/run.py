"""Runs the suites of this folder and closes with `peers: P passed, F failed`.

    python run.py [PATTERN]

PATTERN is a part of a test's dotted name. Needs the package, the packages of requirements.txt and, named by CAPSULE_BIN
or built as target/debug/capsule, our own verifier. A skipped test counts as failed.
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
    bad = {test.id() for test, _ in result.failures + result.errors + result.skipped}
    failed = max(len(bad), int(result.testsRun == 0))
    print(f"peers: {max(result.testsRun - failed, 0)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
