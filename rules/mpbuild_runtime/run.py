"""``mpbuild-run``: one infer request on stdin, one answer on stdout.

Exit codes, with what then stands on stdout, always one line of JSON:

- 0: an infer response of the Open Inference Protocol v2.
- 1: ``{"error": …}``: the model, or what holds it, fails: the machine lacks what it requires, it
  can't be imported or loaded, raises, breaks its own ``[io]``, or ends its process.
- 2: ``{"error": …}``: the request is wrong, or arguments were given; the message names every place.

The model runs in a child process whose stdout is stderr, so that nothing it prints, in Python or
in native code, gets into the answer, and so that there is an answer even when it crashes. Its
tracebacks go to stderr too.
"""

import json
import os
import signal
import sys
from typing import Any

_INTERRUPTIONS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Answer the request; return the exit code."""
    if len(sys.argv) > 1:
        return _finish(2, _line({"error": "mpbuild-run takes no arguments: the request is stdin"}))
    # A file rather than a pipe: processes that the model leaves behind can't keep it open.
    answer = os.memfd_create("answer")
    child = os.fork()
    if child == 0:
        return _serve(answer)
    ending = _wait(child)
    with os.fdopen(answer, "rb") as file:
        file.seek(0)
        code, line = file.read(1), file.read()
    if line.endswith(b"\n"):
        return _finish(code[0], line)
    error = f"the model's process ended without an answer: {ending}"
    return _finish(1, _line({"error": error}))


def _serve(answer: int) -> int:
    """In the child: write the exit code as one byte, then the line to answer with."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Imported here, so that the parent stays small and forks without threads.
    from mpbuild_runtime.predict import respond

    code, document = respond(sys.stdin.buffer, os.environ)
    with os.fdopen(answer, "wb") as file:
        file.write(bytes([code]) + _line(document))
    return code


def _wait(child: int) -> str:
    """How ``child`` ended; interruptions are passed on to it."""
    for number in _INTERRUPTIONS:
        signal.signal(number, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    for number in _INTERRUPTIONS:
        signal.signal(number, signal.SIG_DFL)
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"signal {-code}"


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _finish(code: int, line: bytes) -> int:
    if code:
        sys.stderr.write(f"mpbuild-run: {json.loads(line)['error']}\n")
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    return code
