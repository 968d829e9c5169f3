"""What every part writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(place: Path, data: Any) -> None:
    """Write one report as JSON."""
    place.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
