"""Every reader of files from outside, over a few mutated files; `nox -s fuzz` tries a hundred thousand."""

import pytest

from tools.fuzz.mutate import mutated
from tools.fuzz.readers import READERS, Reader
from tools.fuzz.run import fuzz


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_read_or_refused_in_one_sentence(name: str) -> None:
    result = fuzz(name, READERS[name], 150, seed=1)
    assert [fault.what for fault in result.faults] == []
    assert result.read > 0


def test_the_seed_decides_what_is_tried() -> None:
    from random import Random

    first, again, other = (mutated(Random(seed), b'{"a": [1, 2]}' * 9) for seed in (1, 1, 2))
    assert first == again != other


def test_a_reader_that_breaks_or_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.fuzz.run._LIMIT_S", 0.05)

    def breaks(path: object) -> None:
        raise LookupError("x")

    def hangs(path: object) -> None:
        while True:
            pass

    assert "LookupError" in fuzz("a", Reader("f", lambda: [b"x"], breaks), 1, 0).faults[0].what
    assert "_Hangs" in fuzz("b", Reader("f", lambda: [b"x"], hangs), 1, 0).faults[0].what
