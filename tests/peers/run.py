"""Runs every suite of this folder and closes with `peers: P passed, F failed`.

    python tests/peers/run.py [PATTERN]

PATTERN is a part of a test's dotted name. Needs the packages of requirements.txt, those of node/package-lock.json (in
the folder that SEALGATE_NODE names; target/test-node is the default) and the built binaries; SEALGATE_BIN and CAPSULE_BIN
name them, target/debug is the default. A skipped test counts as failed: nothing is skipped silently.
"""

import pathlib
import sys
import unittest

# The checkout stays as it is.
sys.dont_write_bytecode = True

HERE = pathlib.Path(__file__).parent


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
    total = suite.countTestCases()
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    # A failed part of a test fails the test. What goes wrong around a class (its gateway did not start, its ledger did
    # not verify) is no test that ran, and counts beside them.
    bad = [test for test, _ in result.failures + result.errors + result.skipped] + result.unexpectedSuccesses
    names = {getattr(test, "test_case", test).id() for test in bad}
    ran = {test.id() for test in chosen(found, pattern)} & names
    passed, failed = result.testsRun - len(ran), len(names)
    if total == 0 or result.testsRun == 0:
        failed = max(failed, 1)
    print(f"peers: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
