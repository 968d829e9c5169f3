"""A program that makes prompts with Harmony itself, and in its own way when it is told to: MODE."""

import json
import os
import sys
import time

import msgspec

from conformance.conversation import case_from_json
from conformance.oracles.harmony import HarmonyOracle
from conformance.renderers.line import Choices


def main() -> None:
    mode = sys.argv[1]
    oracle, held = HarmonyOracle(), None
    for answered, line in enumerate(sys.stdin, 1):
        asked = json.loads(line)
        msgspec.convert(asked["profile"], Choices)  # the readings are spelled out
        case = case_from_json(
            json.dumps({"conversation": asked["conversation"], "options": asked["options"]})
        )
        rendering = oracle.render(case)
        answer = {"id": asked["id"], "text": rendering.text, "tokens": rendering.tokens}
        if mode == "low":
            answer = {"id": asked["id"], "text": rendering.text.replace("Reasoning: low", "Reasoning: Low")}
        if mode == "no-tools" and case.conversation.tools:
            answer = {"id": asked["id"], "refused": "this program cannot say tools"}
        if mode == "refuses":
            answer = {"id": asked["id"], "refused": "no"}
        if mode == "late" and answered > 10:
            time.sleep(60)
        if mode == "gone" and answered > 10:
            os._exit(7)
        if mode == "out-of-order" and answered > 10:
            answer, held = held, answer
        print(json.dumps(answer), flush=True)
        held = answer if held is None else held


main()
