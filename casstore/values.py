"""`dataclass` as the standard library has it, made with one call of the compiler instead of six.

A command makes some fifty of these classes before it does anything else: with the standard library's a quarter of the
time of a small backup. What is made is a dataclass: `replace`, `asdict`, `fields` and patterns know it. It always has
slots, is compared by its fields, and hashed by them if it is frozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_FIELDS, _FIELD = "__dataclass_fields__", dataclasses._FIELD  # type: ignore[attr-defined]
_FACTORY = object()  # stands in a signature where a factory gives the default

if TYPE_CHECKING:  # what is made is what a checker knows
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, slots: bool, frozen: bool = False, repr: bool = True) -> Callable[[type], type]:  # noqa: A002
        """Make the class below a dataclass; `slots` stands there for whoever knows those, and must be true."""
        assert slots
        return lambda cls: _made(cls, frozen, repr)


def _made(cls: type, frozen: bool, shown: bool) -> type:
    space = dict(cls.__dict__)
    own = {name: _field(cls, name, kind) for name, kind in space.get("__annotations__", {}).items()}
    for name in ("__dict__", "__weakref__", *own):
        space.pop(name, None)
    every = {**getattr(cls, _FIELDS, {}), **own}
    names = tuple(every)
    values: Callable[[Any], object] = attrgetter(*names) if names else lambda _: ()
    methods: dict[str, object] = {"__eq__": _eq_by(values), "__hash__": None, "__reduce__": _reduce}
    if shown:
        methods["__repr__"] = _repr
    if frozen:
        methods |= {"__hash__": _hash_by(values), "__setattr__": _refuse, "__delattr__": _refuse}
    space |= {"__slots__": tuple(own), "__match_args__": names, _FIELDS: every}
    made = type(cls)(cls.__name__, cls.__bases__, methods | space)
    made.__qualname__ = cls.__qualname__
    if "__init__" not in space:
        made.__init__ = _init(made, every, frozen)  # type: ignore[misc]
    return made


def _field(cls: type, name: str, kind: object) -> Any:
    given = cls.__dict__.get(name, dataclasses.MISSING)
    field: Any = given if isinstance(given, dataclasses.Field) else dataclasses.field(default=given)
    field.name, field.type, field.kw_only, field._field_type = name, kind, False, _FIELD
    return field


def _init(made: type, fields: dict[str, Any], frozen: bool) -> Callable[..., None]:
    space: dict[str, Any] = {"_FACTORY": _FACTORY}
    signature, body = ["self"], ["pass"]
    for name, field in fields.items():
        value, default = name, ""
        if field.default_factory is not dataclasses.MISSING:
            space[f"_make_{name}"] = field.default_factory
            value, default = f"_make_{name}() if {name} is _FACTORY else {name}", "=_FACTORY"
        elif field.default is not dataclasses.MISSING:
            space[f"_default_{name}"] = field.default
            default = f"=_default_{name}"
        signature.append(f"{name}{default}")
        if frozen:  # past `_refuse`
            space[f"_set_{name}"] = getattr(made, name).__set__
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"self.{name} = {value}")
    exec(f"def __init__({', '.join(signature)}): {'; '.join(body)}", space)
    init: Callable[..., None] = space["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _eq_by(values: Callable[[Any], object]) -> Callable[[Any, Any], bool]:
    def eq(self: Any, other: Any) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return eq


def _hash_by(values: Callable[[Any], object]) -> Callable[[Any], int]:
    return lambda self: hash(values(self))


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _reduce(self: Any) -> tuple[type, tuple[object, ...]]:
    return self.__class__, tuple(getattr(self, name) for name in self.__match_args__)


def _refuse(_self: Any, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
