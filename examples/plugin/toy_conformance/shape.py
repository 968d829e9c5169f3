"""A shape: how a server hands a conversation to a template."""

from conformance.shapes import Family

FAMILY = Family(
    what="arguments as JSON text, empty content as an empty string, ids that are counted",
    citation="an example, cited nowhere",
    arguments="string",
    thinking=("reasoning",),
    content=("empty",),
    ids=("counted",),
)
