"""Tools of MCP servers written in Python (FastMCP), with the schemas that pydantic makes of their signatures.

A signature is read from the syntax tree, and its annotations are understood word by word: types of Python and typing,
`Annotated`, `Field`, and models of the same file. The real pydantic then writes the schema, as it does in the server.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from conformance.conversation import TOOL_NAME, Tool
from conformance.workload.material import Material, Server

_TYPES: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "None": None, "Any": Any,
    "List": list, "Dict": dict, "Sequence": list, "object": Any,
}  # fmt: skip
# What the server fills in, and no model sees.
_INJECTED = frozenset(("self", "ctx", "context", "service"))


# What stands in lists that hold statements.
_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)


class _UnknownError(Exception):
    """Something in a signature is not known here."""


def read(files: Mapping[str, bytes]) -> Material:
    """Return a server for each file that has tools."""
    found = Material()
    for path in sorted(files):
        if path.endswith(".py") and b".tool(" in files[path]:
            tools = {tool.name: tool for tool in _tools(files[path])}
            if tools:
                found.servers.append(Server(str(PurePosixPath(path).with_suffix("")), tuple(tools.values())))
    return found


def _tools(source: bytes) -> Iterator[Tool]:
    tree = ast.parse(source)
    constants = _constants(tree)
    models: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(_word(base) == "BaseModel" for base in node.bases):
            try:
                models[node.name] = _model(node.name, _fields_of_class(node, constants, models))
            except _UnknownError:
                continue
    for function in _functions(tree):
        if any(map(_is_tool, function.decorator_list)):
            try:
                model = _model(f"{function.name}Arguments", _fields_of_function(function, constants, models))
                parameters = model.model_json_schema()
            except _UnknownError:
                continue
            text = ast.get_docstring(function, clean=False)
            if text and TOOL_NAME.fullmatch(function.name):
                yield Tool(function.name, inspect.cleandoc(text), parameters)


def _functions(tree: ast.Module) -> Iterator[ast.AsyncFunctionDef | ast.FunctionDef]:
    """Yield all functions, outer ones first; no expression is walked, for none holds one."""
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            yield node
        for field in node._fields:
            inner = getattr(node, field, None)
            if isinstance(inner, list) and inner and isinstance(inner[0], _HOLDERS):
                waiting.extend(inner)


def _is_tool(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "tool"


def _constants(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, SyntaxError):
                continue
    return found


def _word(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _model(name: str, fields: Mapping[str, Any]) -> Any:
    from pydantic import create_model
    from pydantic.errors import PydanticUserError

    try:
        return create_model(name, **fields)
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        raise _UnknownError(str(error)) from None


def _fields_of_class(
    node: ast.ClassDef, constants: Mapping[str, Any], models: Mapping[str, Any]
) -> dict[str, Any]:
    fields = {}
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            fields[each.target.id] = _field(each.annotation, each.value, constants, models)
    return fields


def _fields_of_function(
    node: ast.AsyncFunctionDef | ast.FunctionDef, constants: Mapping[str, Any], models: Mapping[str, Any]
) -> dict[str, Any]:
    given = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(given) - len(node.args.defaults))
    defaults += node.args.defaults
    pairs = [
        *zip(given, defaults, strict=True),
        *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
    ]
    fields = {}
    for argument, default in pairs:
        if argument.annotation is None or argument.arg in _INJECTED or argument.arg.endswith("_service"):
            continue
        fields[argument.arg] = _field(argument.annotation, default, constants, models)
    return fields


def _field(
    annotation: ast.expr, default: ast.expr | None, constants: Mapping[str, Any], models: Mapping[str, Any]
) -> tuple[Any, Any]:
    kind = _type(annotation, constants, models)
    if default is None:
        return kind, ...
    if isinstance(default, ast.Call) and _word(default.func) == "Field":
        return kind, _described(default, constants)
    return kind, _literal(default, constants)


def _described(node: ast.Call, constants: Mapping[str, Any]) -> Any:
    from pydantic import Field

    words = {word.arg: word.value for word in node.keywords if word.arg not in (None, "default_factory")}
    given = {name: _literal(value, constants) for name, value in words.items() if name is not None}
    first = [_literal(value, constants) for value in node.args[:1]]
    kept = (
        "description",
        "default",
        "ge",
        "le",
        "gt",
        "lt",
        "min_length",
        "max_length",
        "pattern",
        "title",
        "examples",
    )
    return Field(*first, **{name: value for name, value in given.items() if name in kept})


def _literal(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _literal(node.left, constants) + _literal(node.right, constants)
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError):
        raise _UnknownError(ast.dump(node)[:60]) from None


def _type(node: ast.expr, constants: Mapping[str, Any], models: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(ast.parse(node.value, mode="eval").body, constants, models)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return typing.Union[_type(node.left, constants, models), _type(node.right, constants, models)]  # noqa: UP007
    word = _word(node)
    if word:
        if word in models:
            return models[word]
        if word in _TYPES:
            return _TYPES[word]
        raise _UnknownError(word)
    if not isinstance(node, ast.Subscript):
        raise _UnknownError(ast.dump(node)[:60])
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    outer = _word(node.value)
    if outer == "Literal":
        return typing.Literal[tuple(_literal(each, constants) for each in inner)]
    if outer == "Annotated":
        fields = [each for each in inner[1:] if isinstance(each, ast.Call) and _word(each.func) == "Field"]
        kind = _type(inner[0], constants, models)
        return typing.Annotated[kind, _described(fields[0], constants)] if fields else kind
    # Subscripted at run time, where a type checker sees no types.
    known: dict[str, Any] = {"list": list, "List": list, "Sequence": list, "dict": dict, "Dict": dict}
    known |= {"Optional": typing.Optional, "Union": typing.Union}
    kinds = tuple(_type(each, constants, models) for each in inner)
    if outer not in known:
        raise _UnknownError(outer)
    return known[outer][kinds if len(kinds) > 1 else kinds[0]]
