#!/usr/bin/env python3
"""Hands a trace over from a step that puts messages into a queue to a step that takes them.

    python3 handover.py put FOLDER '{"repo": "shop/api"}'    with TRACEPARENT, TRACESTATE of this step, where there are any
    python3 handover.py run FOLDER COMMAND [ARGUMENT...]     takes a message; COMMAND reads its body as JSON and does its part of the trace

Exit: what COMMAND exits with; 3 nothing to take.
"""
# Not named queue.py: Python would take it for its own module `queue`.

import json
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

NOTHING = 3


def say(text):
    print(f"handover: {text}", file=sys.stderr)


class FolderQueue:
    """A queue: put(message), and take() which gives (message, done, failed) or None. Another one, with the same two, is a broker's."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for state in ("writing", "new", "taken", "failed"):
            (self.folder / state).mkdir(parents=True, exist_ok=True)

    def put(self, message):
        # Takers come in the order of names.
        name = f"{time.time_ns() // 1_000_000:015}-{uuid.uuid4()}.json"
        writing = self.folder / "writing" / name
        writing.write_text(json.dumps(message), encoding="utf-8")
        # So that nobody reads half a message.
        writing.rename(self.folder / "new" / name)

    def take(self):
        for new in sorted((self.folder / "new").iterdir()):
            taken = self.folder / "taken" / new.name
            try:
                new.rename(taken)
            except FileNotFoundError:
                continue  # Another taker was faster.
            # `failed` keeps it for people; it is not tried for ever.
            return json.loads(taken.read_text(encoding="utf-8")), taken.unlink, lambda: taken.rename(self.folder / "failed" / new.name)
        return None


def context(text):
    """The context as version 00, or None where it is none by the rules of W3C Trace Context."""
    parts = re.fullmatch(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", text) if isinstance(text, str) else None
    if not parts:
        return None
    version, trace, span, flags, more = parts.groups()
    if version == "ff" or not trace.strip("0") or not span.strip("0") or (version == "00" and more is not None):
        return None
    # Of a later version only what version 00 knows may be passed on.
    known = flags if version == "00" else f"{int(flags, 16) & 1:02}"
    return f"00-{trace}-{span}-{known}"


def put(queue, body):
    told = os.environ.get("TRACEPARENT")
    headers = {}
    if traceparent := context(told):
        headers["traceparent"] = traceparent
        if tracestate := os.environ.get("TRACESTATE"):
            headers["tracestate"] = tracestate
    elif told:
        say(f"TRACEPARENT is not valid and not handed over: {told}")
    queue.put({"headers": headers, "body": json.loads(body)})
    return 0


def run(queue, command):
    taken = queue.take()
    if taken is None:
        say("nothing to take")
        return NOTHING
    message, done, failed = taken
    headers = message.get("headers") or {}
    env = dict(os.environ)
    if traceparent := context(headers.get("traceparent")):
        env["TRACEPARENT"] = traceparent
        # A state belongs to its parent, never to that of another; control characters are no part of it.
        env.pop("TRACESTATE", None)
        if re.fullmatch(r"[\x20-\x7e]{1,512}", str(headers.get("tracestate") or "")):
            env["TRACESTATE"] = headers["tracestate"]
        say(f"the work is a child of {traceparent}")
    elif told := headers.get("traceparent"):
        # What this step has itself, if it has any, is left to it.
        say(f"started without: not a valid traceparent: {told}")
    else:
        say("started without: no traceparent")
    try:
        code = subprocess.run(command, env=env, input=json.dumps(message["body"]), text=True).returncode
    except OSError as error:
        say(f"{command[0]}: {error.strerror}")
        code = 1
    failed() if code else done()
    # A signal's negative number is no exit code.
    return code if code >= 0 else 1


def main(arguments):
    match arguments:
        case ["put", folder, body]:
            return put(FolderQueue(folder), body)
        case ["run", folder, *command] if command:
            return run(FolderQueue(folder), command)
    say("usage: put FOLDER JSON | run FOLDER COMMAND [ARGUMENT...]")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
