"""Options as fields of dataclasses: one declaration each for commands, Python, checks and docs."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import numbers
import os
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from gudi.errors import UsageError

P = ParamSpec("P")
First = TypeVar("First")
Given = TypeVar("Given", bound="Options")
Wanted = TypeVar("Wanted", bound="Options")
Result = TypeVar("Result")


def checked_path(value: Any, name: str) -> str:
    """Return the path `value` as text, with `~` as the user's home.

    Args:
        value: a str or path.
        name: of the argument, for the error.

    Raises:
        UsageError: it is not the path of a file.
    """
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise UsageError(f"{name} must be the path of a file or folder. Received: {value!r}")
    return path if os.path.lexists(path) else os.path.expanduser(path)


@dataclass(frozen=True, kw_only=True)
class Option:
    """The declaration of an option.

    Attributes:
        name, kind, optional: from the field: its name, its type, and whether it may be None.
        default: the value if it is not given.
        help: whole sentences. Text in brackets concerns only `gudi batch`, see `long_help`.
        metavar: the placeholder of the value on help pages.
        choices: the values that it can have.
        packages: the package that a choice needs.
        least, above, most, below: limits of a number; `above` and `below` are not allowed
            themselves.
        shown_default: describes a default whose value is not clear by itself.
        changes_results: whether a result folder holds results of one value only.
        action: whether the command has no `--no-…` for it.
        parse: returns the value of a text on the command line.
        multiple: whether the command takes it several times; the value is a tuple.
        check: returns the value to use, or raises `UsageError`; in place of the other checks.
    """

    name: str = ""
    kind: Any = None
    optional: bool = False
    default: Any
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    least: float | None = None
    above: int | None = None
    most: float | None = None
    below: int | None = None
    shown_default: str | None = None
    changes_results: bool = False
    action: bool = False
    multiple: bool = False
    parse: Callable[[str], Any] | None = None
    check: Callable[[Any], Any] | None = None

    def checked(self, value: Any) -> Any:
        """Return the value to use for `value`.

        Raises:
            UsageError: it is not allowed, or needs a package that is not installed.
        """
        if value is None and self.optional:
            return None
        if self.check is not None:
            return self.check(value)
        if not self._allows(value):
            raise UsageError(f"{self.name} must be {self.requirement}. Received: {value!r:.60}")
        package = self.packages.get(value) if self.packages else None
        if package and importlib.util.find_spec(package) is None:
            raise UsageError(
                f"the {self.name} {value} needs the package {package}: pip install {package}"
            )
        return value if self.kind is bool else self.kind(value)

    def _allows(self, value: Any) -> bool:
        if self.kind not in (int, float):
            return (
                isinstance(value, self.kind)
                and (not self.choices or value in self.choices)
                and "\0" not in str(value)
            )
        number = numbers.Integral if self.kind is int else numbers.Real
        is_number = isinstance(value, number) and not isinstance(value, bool)
        return is_number and self._within_limits(value)

    def _within_limits(self, value: Any) -> bool:
        # All comparisons with NaN are false.
        return bool(
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    @property
    def requirement(self) -> str:
        """The allowed values, in words."""
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            *first, last = map(repr, self.choices) if self.choices else ["a text"]
            return f"{', '.join(first)} or {last}" if first else last
        limits = {
            "above": self.above, "from": self.least, "up to": self.most, "below": self.below
        }  # fmt: skip
        found = [f"{word} {limit:,}" for word, limit in limits.items() if limit is not None]
        return " ".join(["a whole number" if self.kind is int else "a number", *found])

    def documented(self) -> str:
        """Return the help text with the default, if that is described by words."""
        return f"{self.help} By default: {self.shown_default}." if self.shown_default else self.help


def option(default: Any, help: str, **traits: Any) -> Any:
    """Declare an option as a field of a subclass of `Options`; see `Option`."""
    declaration = Option(default=default, help=help, **traits)
    return field(default=default, metadata={"option": declaration})


def declared(options: type[Options]) -> Mapping[str, Option]:
    """Return the declarations of all options of a class by their names, in their order."""
    key: Any = options  # mypy does not take classes with a `__hash__` for hashable
    return _declared(key)


@functools.cache
def _declared(options: Any) -> Mapping[str, Option]:
    found = {}
    for each in fields(options):
        if declaration := each.metadata.get("option"):
            kinds = typing.get_args(each.type) or (each.type,)
            found[each.name] = replace(
                declaration,
                name=each.name,
                kind=kinds[0],
                optional=types.NoneType in kinds,
                help=re.sub(r"\[(.*?)\]", r"\1" if options.long_help else "", declaration.help),
            )
    return types.MappingProxyType(found)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The values of options, which subclasses declare by `option`.

    Attributes:
        long_help: whether help texts keep the text in brackets.

    Raises:
        UsageError: a value is not allowed.
    """

    long_help: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, each in declared(type(self)).items():
            object.__setattr__(self, name, each.checked(getattr(self, name)))

    def values(self) -> dict[str, Any]:
        """Return the values of all options by their names."""
        return {name: getattr(self, name) for name in declared(type(self))}

    def select(self, options: type[Wanted]) -> Wanted:
        """Return the values of those options that `options` declares."""
        return options(**{name: getattr(self, name) for name in declared(options)})


def with_options(
    options: Callable[P, Given],
) -> Callable[[Callable[[First, Given], Result]], Callable[Concatenate[First, P], Result]]:
    """Give a function the options of a class as typed and documented keyword arguments.

    The function takes one other value, and an object of the class. In its docstring, the help texts
    of the options are added to `Args`; if there are other sections, `Raises` comes next.

    Args:
        options: a subclass of `Options`.
    """

    def decorate(
        function: Callable[[First, Given], Result],
    ) -> Callable[Concatenate[First, P], Result]:
        @functools.wraps(function)
        def call(first: First, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            return function(first, options(*args, **kwargs))

        plain = inspect.signature(function)
        first, *_ = plain.parameters.values()
        alone = first.replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        more = inspect.signature(options).parameters.values()
        call.__dict__["__signature__"] = plain.replace(parameters=[alone, *more])
        call.__doc__ = _documented(function.__doc__ or "", typing.cast("type[Options]", options))
        return call

    return decorate


def _documented(docstring: str, options: type[Options]) -> str:
    """Return a docstring with the help texts of `options` at the end of its `Args`."""
    arguments = (
        textwrap.fill(
            f"{name}: {each.documented()}",
            width=92,
            initial_indent="    ",
            subsequent_indent="        ",
        )
        for name, each in declared(options).items()
    )
    before, raises, after = inspect.cleandoc(docstring).partition("\n\nRaises:")
    if "\nArgs:" not in before:
        before += "\n\nArgs:"
    return "\n".join([before, *arguments]) + raises + after
