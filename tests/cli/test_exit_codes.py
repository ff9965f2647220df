"""docs/exit-codes.md holds what the code does: every code that something ends with, and none besides."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cascli
import click
import pytest
from cascli import main

import casstore
from casstore.errors import CasError

TABLE = Path(__file__).resolve().parents[2] / "docs/exit-codes.md"
ROWS = {int(code): by for code, by in re.findall(r"^\| (\d+) \| .* \| (.*) \|$", TABLE.read_text(), re.MULTILINE)}


def modules() -> Iterator[ModuleType]:
    for package in (casstore, cascli):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def errors(kind: type[CasError] = CasError) -> Iterator[type[CasError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


def returned(module: ModuleType) -> Iterator[int]:
    """Give what the commands of a module end with where they raise nothing."""
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(function, ast.FunctionDef) or not (function.decorator_list or function.name == "exit_code"):
            continue
        if not isinstance(function.returns, ast.Name) or function.returns.id != "int":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from codes(node.value, module)


def codes(value: ast.expr, module: ModuleType) -> Iterator[int]:
    if isinstance(value, ast.IfExp):
        yield from codes(value.body, module)
        yield from codes(value.orelse, module)
    elif isinstance(value, ast.Constant) and isinstance(value.value, int):
        yield value.value
    elif isinstance(value, ast.Name | ast.Attribute):
        found = eval(ast.unparse(value), dict(vars(module))) if _is_constant(value) else None
        if isinstance(found, int):
            yield found


def _is_constant(value: ast.expr) -> bool:
    return ast.unparse(value).isupper() or ast.unparse(value).endswith(".exit_code")


def used() -> dict[int, str]:
    found = {main.INTERRUPTED: "main", main.GONE: "main"}
    for module in modules():
        if module.__name__.startswith("cascli.commands."):
            found |= dict.fromkeys(returned(module), module.__name__)
    ours = [kind for kind in errors() if kind.__module__.partition(".")[0] in ("casstore", "cascli")]
    return found | {kind.exit_code: kind.__qualname__ for kind in ours}


def test_every_code_that_something_ends_with_is_in_the_table() -> None:
    assert {code: by for code, by in used().items() if code not in ROWS} == {}


def is_there(by: str) -> bool:
    """Whether one of the commands that a row names is there, with its option."""
    named = re.findall(r"`cas ([a-z]+)(?: ([a-z]+))?(?: (--[a-z-]+))?`", by)
    if not named or by.startswith("every command"):
        return True
    context = click.Context(main.cli)
    for name, _, option in named:
        found = main.cli.get_command(context, name)
        if found is not None and (not option or any(option in one.opts for one in found.params)):
            return True
    return False


def test_every_code_in_the_table_is_one_that_something_ends_with() -> None:
    ends = used().keys() | {0}
    assert [code for code, by in ROWS.items() if code not in ends and is_there(by)] == []


@pytest.mark.parametrize("name", [name for name in main.COMMANDS if name != "help"])
def test_the_codes_that_help_speaks_of_are_in_the_table(name: str) -> None:
    found = main.cli.get_command(click.Context(main.cli), name)
    assert found is not None
    says = (found.epilog or "").partition("Exit codes:")[2]
    assert {int(code) for code in re.findall(r"(?:^|·)\s*(\d+)", says)} <= ROWS.keys()
