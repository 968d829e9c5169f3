"""A library in a process of its own: it answers as in this one, and its crashes and hangs cost one case each."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from authority_helpers import fake_library

from conformance.errors import UnjudgedError
from conformance.generate import case_at
from conformance.oracles.library import (
    LONG,
    InProcess,
    OracleFailedError,
    OracleRefusedError,
    Separate,
    _may_take_long,
    _size,
)
from conformance.oracles.load import authority
from conformance.oracles.plan import plan
from conformance.oracles.profile import profile

HI: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


def ask(library: Separate, word: str) -> list[int]:
    message = {"role": "user", "content": [{"type": "text", "text": word}]}
    return library.render([message], training=False, auto_drop=True)


def test_both_ways_give_the_same_answers() -> None:
    here = authority()
    there = Separate("a process")
    try:
        assert isinstance(here, InProcess)
        assert there.special_tokens() == here.special_tokens()
        assert there.namespace("python") == here.namespace("python")
        text = "<|start|>user<|message|>日本 \ud83d<|end|>"
        for special in (True, False):
            assert there.encode(text, special=special) == here.encode(text, special=special)
        for index in range(40):
            case = case_at(5, index)
            made = plan(case, profile("harmony"))
            training = case.options.mode == "training"
            tokens = here.render(made.messages, training=training, auto_drop=made.auto_drop)
            assert there.render(made.messages, training=training, auto_drop=made.auto_drop) == tokens
            assert there.decode_utf8(tokens) == here.decode_utf8(tokens) == there.decode(tokens)
            assert there.render_message(made.messages[0], function_tools=True) == here.render_message(
                made.messages[0], function_tools=True
            )
            ends = tokens if training else tokens[:-2]
            assert there.parse(ends) == here.parse(ends)
    finally:
        there.close()


def test_a_refusal_is_the_librarys_own_word() -> None:
    said = []
    for library in (authority(), Separate("a process")):
        with pytest.raises(OracleRefusedError) as caught:
            library.render([{"role": "nobody"}], training=False, auto_drop=True)
        assert not isinstance(caught.value, OracleFailedError)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("while 'bad' in text: pass\nreturn [1]", "took longer than 0.5 s"),
        (
            "if 'bad' in text: raise PanicException('unwrap on None')\nreturn [1]",
            "crashed on a conversation: Panic",
        ),
        ("if 'bad' in text: os._exit(7)\nreturn [1]", "crashed on a conversation: exit status 7"),
        (
            "if 'bad' in text: os.kill(os.getpid(), 11)\nreturn [1]",
            "crashed on a conversation: exit status -11",
        ),
        (
            "if 'bad' in text: print('x' * 100000, flush=True); os._exit(1)\nreturn [1]",
            "crashed on a conversation",
        ),
    ],
)
def test_a_crash_or_hang_costs_one_case(tmp_path: Path, body: str, words: str) -> None:
    library = Separate("fake 1.0", fake_library(tmp_path, body), seconds=0.5)
    for _ in range(2):
        assert ask(library, "good") == [1]
        with pytest.raises(OracleFailedError, match=words) as caught:
            ask(library, "bad")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300
    library.close()


def test_a_panic_in_this_process_costs_one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panics(*_: object) -> None:
        raise PanicException("called `Option::unwrap()` on a `None` value")

    library = authority()
    assert isinstance(library, InProcess)
    monkeypatch.setattr(library._calls, "render", panics)
    with pytest.raises(OracleFailedError, match=r"openai-harmony crashed on a conversation: called `Option"):
        library.render(HI, training=False, auto_drop=True)


def test_what_is_long_is_asked_of_a_process_that_can_be_ended() -> None:
    """The library needs more than a minute for this word, and nothing ends it in this process."""
    library = authority()
    assert isinstance(library, InProcess)
    library._guarded = Separate("openai-harmony", seconds=1)
    try:
        with pytest.raises(OracleFailedError, match="took longer than 1 s"):
            library.encode("a" * 300_000)
        words = "long enough " * (LONG // 10)
        assert library.decode(library.encode(words)) == words
    finally:
        library._guarded.close()
        library._guarded = None


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("long enough " * LONG, False),
        (f"{'a' * 20_000} {'b' * 20_000} {'c' * 5_000}", False),
        (f"{'a' * 29_000} " * 2, True),
        ("\u6f22" * 6_000, True),
        (" " * (LONG + 2), True),
        ("a " * 300_000, True),
    ],
)
def test_what_may_take_long(text: str, long: bool) -> None:
    assert (_size(text) > LONG and _may_take_long(text, _size(text))) == long


def test_a_library_that_cannot_be_loaded(tmp_path: Path) -> None:
    folder = fake_library(tmp_path)
    (folder / "openai_harmony" / "__init__.py").write_text(
        "raise ImportError('no pydantic here')", encoding="utf-8"
    )
    with pytest.raises(UnjudgedError, match=r"fake 1.0 cannot be loaded \(ImportError: no pydantic here\)"):
        Separate("fake 1.0", folder)


def test_a_folder_without_the_module_is_not_mistaken_for_the_installed_one(tmp_path: Path) -> None:
    with pytest.raises(UnjudgedError, match="was not loaded from"):
        Separate("fake 1.0", tmp_path)


def test_the_process_ends_with_this_one(tmp_path: Path) -> None:
    """Even while the library is busy: nothing is left that uses a processor."""
    fake_library(tmp_path, "while 'bad' in text: pass\nreturn [1]")
    program = f"""
        import os, sys, threading
        from pathlib import Path
        from conformance.oracles.library import Separate
        library = Separate("fake", Path({str(tmp_path)!r}), seconds=1)
        print(library._process.pid, flush=True)
        threading.Timer(0.3, lambda: os._exit(0)).start()
        library.render([{{"role": "bad"}}], training=False, auto_drop=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    pid = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").is_file() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} is left")
