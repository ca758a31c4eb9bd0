"""click options from the declarations in `gudi.settings`, and the types of their values."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from gudi.declarations import Option, Options, declared
from gudi.errors import UsageError
from gudi.limits import check_memory
from gudi.settings import PredictionOptions

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]
Values = TypeVar("Values", bound=PredictionOptions)


class NonEmptyPath(click.Path):
    """A path that is not empty, which pathlib takes for the current folder; `~` is the home."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True, exists: bool = False):
        super().__init__(exists, file_okay, dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        if not os.path.lexists(value):
            value = os.path.expanduser(value)  # the shell leaves --out=~/x as it is
        return super().convert(value, param, ctx)


class Integer(click.IntRange):
    """A whole number in a range."""

    name = "whole number"  # in error messages


class Number(click.FloatRange):
    """A number in a range, which NaN is not, although it compares as if it were."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number as a float."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"must be a number, not {value!r}", param, ctx)
        return number


class Text(click.types.StringParamType):
    """A text that the declaration of an option parses and checks."""

    def __init__(self, declaration: Option):
        self._declaration = declaration

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of the option."""
        parse = self._declaration.parse
        try:
            return self._declaration.checked(
                parse(value) if parse is not None and isinstance(value, str) else value
            )
        except UsageError as error:
            self.fail(str(error), param, ctx)


def split_names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    """Split a list of names, which may be empty."""
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))


class _Option(click.Option):
    """An option whose described default, such as "one per CPU", is shown without parentheses."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return names and help."""
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.show_default, str):
            return record
        names, text = record
        return names, text.replace(f"({self.show_default})", self.show_default)


# `click.option` that shows every default, in words if `show_default` is a string.
option = functools.partial(click.option, cls=_Option, show_default=True)


def combine(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds several options to a command, in this order."""

    def decorate(command: Any) -> Any:
        for each in reversed(decorators):
            command = each(command)
        return command

    return decorate


label_option = option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=EMOTION",
    help="What a name in the set means; NAME= leaves its photos out. Repeat the option for more.",
)


def labels_from(texts: tuple[str, ...]) -> dict[str, str]:
    """Return what --label says: emotions by names."""
    pairs = [text.rpartition("=") for text in texts]
    if wrong := [text for text, pair in zip(texts, pairs) if not pair[0]]:
        raise click.BadParameter(f"{wrong[0]!r} is not NAME=EMOTION", param_hint="--label")
    return {name.strip(): emotion.strip() for name, _, emotion in pairs}


def declared_options(options: type[Options], *names: str, **changes: Any) -> Decorator[Any]:
    """Return options that `options` declares.

    Args:
        options: the class that declares them.
        names: some of its options; all without any.
        changes: attributes of click that differ from the declaration.
    """
    found = declared(options)
    return combine(*(_click_option(found[name], **changes) for name in names or found))


def _click_option(declaration: Option, **changes: Any) -> Decorator[Any]:
    """Return the option for a declaration, with `changes`."""
    name = declaration.name.replace("_", "-")
    attributes: dict[str, Any] = {
        "default": declaration.default,
        "show_default": declaration.shown_default or True,
        "metavar": declaration.metavar,
        "help": declaration.help,
    }
    if declaration.kind is not bool:
        attributes["type"] = str if declaration.multiple else _click_type(declaration)
        attributes["multiple"] = declaration.multiple
    elif declaration.action:
        attributes["is_flag"] = True
    else:
        name = f"{name}/--no-{name}"
    return option(f"--{name}", **attributes | changes)


def _click_type(declaration: Option) -> Any:
    if declaration.choices:
        return click.Choice(declaration.choices)
    if declaration.kind is int and declaration.check is None:
        return Integer(*cast("tuple[int, int]", (declaration.least, declaration.most)))
    if declaration.kind is float:
        least = declaration.least if declaration.above is None else declaration.above
        return Number(least, declaration.most, min_open=declaration.above is not None)
    return Text(declaration)


def usage_option(text: str, names: str) -> Decorator[Any]:
    """Return `--usage`; its help is `text` and the `names` to choose from."""
    return option(
        "--usage",
        metavar="NAME,NAME…",
        callback=split_names,
        show_default="all",
        help=f"{text}: {names}.",
    )


def refuse_given(*names: str, why: str) -> None:
    """Refuse options that were given but have no effect, with a message that ends with `why`."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


def checked(options: Callable[..., Values], values: Any) -> Values:
    """Return the options of a command that predicts, if the system has the memory for it."""
    by_tensorflow = values["engine"] == "tensorflow" or values["device"].startswith("gpu")
    check_memory(tensorflow=by_tensorflow)  # before NumPy is imported
    return options(**values)
