"""Makes gpt-oss-training.jinja from gpt-oss.jinja, so that the two cannot drift apart.

The training variant marks what the assistant wrote with `{% generation %}`, from which transformers makes the
loss mask. Most engines refuse that tag, so the reference template holds the marks as comments.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.resources import resource

SOURCE = "gpt-oss.jinja"
TARGET = "gpt-oss-training.jinja"

_NOTE = f"{{#- Made from {SOURCE} by `nox -s renew`; edit that file, not this one. -#}}\n"
_MARKS = {
    "{#- training: generation -#}": "{%- generation -%}",
    "{#- training: endgeneration -#}": "{%- endgeneration -%}",
}


def training_variant(source: str) -> str:
    """Return the training variant of a template's source.

    Raises ValueError when a mark is missing or stands there twice.
    """
    for mark, tag in _MARKS.items():
        if source.count(mark) != 1:
            raise ValueError(
                f"the template has the comment {mark} {source.count(mark)} times instead of once"
            )
        source = source.replace(mark, tag)
    return _NOTE + source


def main() -> int:
    """Write the training variant beside the reference template."""
    target: Path = resource("templates", TARGET)
    target.write_text(training_variant(resource("templates", SOURCE).read_text("utf-8")), "utf-8")
    print(f"wrote {target.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
