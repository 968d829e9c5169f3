"""Prints the variant of the reference template that follows other readings of the format.

python -m tools.reading_variants vllm > gpt-oss-vllm.jinja
python -m tools.reading_variants documented,recipient=channel > mine.jinja
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from conformance.errors import UsageError
from conformance.fixes.readings import reading_variant
from conformance.oracles.profile import profile, profiles
from conformance.resources import resource

SOURCE = "gpt-oss.jinja"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the variant for a profile."""
    said = list(sys.argv[1:] if arguments is None else arguments)
    if len(said) != 1:
        print(f"give one profile: {', '.join(profiles())}, or readings as SETTING=VALUE", file=sys.stderr)
        return 2
    try:
        chosen = profile(said[0])
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    sys.stdout.write(reading_variant(resource("templates", SOURCE).read_text("utf-8"), chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
