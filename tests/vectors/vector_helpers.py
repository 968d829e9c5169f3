from __future__ import annotations

import shlex
import sys
from pathlib import Path

FAKE = Path(__file__).with_name("fake_renderer.py")


def fake_command(mode: str, ids: str, folder: Path) -> str:
    return shlex.join([sys.executable, "-S", str(FAKE), mode, ids, str(folder)])
