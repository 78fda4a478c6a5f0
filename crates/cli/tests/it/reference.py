"""Runs many command lines of the reference tool in one process.

Standard input: a JSON array of argument arrays. Standard output: a JSON array of {"code", "out"} in the same order.
An exception that the tool does not catch counts as code 1, which is what its process ends with.
"""

import contextlib
import io
import json
import sys

from qp_capsule.cli import main


def run(arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        except Exception:
            code = 1
    return {"code": code or 0, "out": out.getvalue()}


json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
