"""Running the command line in this process, and templates that are right, wrong or hostile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping

from command_line import Result

from conformance.resources import resource

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
FAST = ("--engine", "jinja2", "--examples", "40")


def with_fault(find: str, replace: str) -> str:
    """Return the reference template with one deliberate fault."""
    assert REFERENCE.count(find) == 1, f"the reference template has {find!r} {REFERENCE.count(find)} times"
    return REFERENCE.replace(find, replace)


# Two newlines after the instructions although no tools follow, as OpenAI's template writes them.
_INSTRUCTIONS = "{{- '# Instructions\\n\\n' ~ instructions"
NEWLINES = with_fault(f"{_INSTRUCTIONS} -}}}}", f"{_INSTRUCTIONS} ~ '\\n\\n' -}}}}")
NO_HARMONY = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"


def subprocess_run(
    *arguments: str, env: Mapping[str, str] | None = None, stdout: int = subprocess.PIPE, timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "conformance.cli", *arguments],
        env={**os.environ, **(env or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=timeout,
        check=False,
    )


def sentence(result: Result) -> str:
    """Return the one sentence of a refused command, checked for its form."""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("conformance: ")
    assert "Traceback" not in result.err
    assert len(lines[0]) < 500
    assert lines[0].isprintable()
    return lines[0].removeprefix("conformance: ")


def normal(text: str) -> str:
    """Return output without what differs from run to run: folders, and padding at the ends of lines."""
    text = re.sub(r"^(Report: ).*$", r"\1FOLDER/report.json", text, flags=re.M)
    return "\n".join(line.rstrip() for line in text.splitlines())
