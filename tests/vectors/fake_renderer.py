"""A renderer that knows the answers, and misbehaves on the vectors it is told to: MODE IDS VECTORS-FOLDER."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    mode, ids, folder = sys.argv[1:]
    chosen = set(ids.split(","))
    known = {}
    for path in Path(folder).glob("*.jsonl"):
        for line in path.read_text("ascii").splitlines():
            vector = json.loads(line)
            known[vector["id"]] = vector
    if mode == "dies-at-once":
        sys.exit("Error: cannot load the vocabulary")
    for line in sys.stdin:
        asked = json.loads(line)["id"]
        vector = known[asked]
        answer = {"id": asked, "text": vector["text"]}
        if asked in chosen or ids == "all":
            answer = misbehave(mode, vector, answer)
        if answer is not None:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        if mode == "ends-after" and asked in chosen:
            sys.exit(0)


def misbehave(mode, vector, answer):
    out = sys.stdout
    asked = vector["id"]
    if mode == "crashes":
        raise RuntimeError("cannot render this")
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "hangs":
        time.sleep(3600)
    if mode == "half":
        out.write(json.dumps(answer)[:40])
        out.flush()
        os._exit(0)
    if mode == "half-hangs":
        out.write(json.dumps(answer)[:40])
        out.flush()
        time.sleep(3600)
    if mode == "floods":
        while True:
            out.write("x" * 1_000_000)
    if mode == "floods-errors":
        sys.stderr.write("Error: noise\n" * 200_000)
    if mode == "many-lines":
        out.write(json.dumps(answer) + "\n" + json.dumps(answer) + "\n")
        out.flush()
        return None
    if mode == "not-utf8":
        out.flush()
        out.buffer.write(b'{"id": "' + asked.encode() + b'", "text": "\xff"}\n')
        out.buffer.flush()
        return None
    if mode == "not-json":
        out.write("warming up\n")
        out.flush()
        return None
    if mode == "no-object":
        out.write("[1]\n")
        out.flush()
        return None
    if mode == "empty":
        return {"id": asked}
    if mode == "unknown-field":
        return {**answer, "txt": ""}
    if mode == "other-id":
        return {**answer, "id": "0" * 12}
    if mode == "no-id":
        return {"text": answer["text"]}
    if mode == "refuses":
        return {"id": asked, "error": "no tools \x1b[31mhere"}
    if mode == "wrong-effort":
        return {**answer, "text": answer["text"].replace("Reasoning: medium", "Reasoning: Medium")}
    if mode == "tokens":
        return {"id": asked, "tokens": vector["tokens"]}
    if mode == "last-token-lost":
        return {**answer, "tokens": vector["tokens"][:-1]}
    if mode == "huge-token":
        return {**answer, "tokens": [2**40]}
    if mode == "closes-output":
        out.flush()
        os.close(1)
        time.sleep(3600)
    return answer


main()
