"""Make the pages of the site that are not files in this folder; mkdocs.yml names this module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from gudi.cli import main

ROOT = Path(__file__).parent.parent

PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "releasing.md": "RELEASING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}

# Their links are relative to the top folder: to pages in docs/, or to each other.
LINK = re.compile(r'(\]\(|src=")(?:docs/)?([\w./-]+)')


def on_files(files: Files, *, config: Any) -> Files:
    """Add the top folder's pages, and one with the help of all commands."""
    names = {source: page for page, source in PAGES.items()}

    def link(match: re.Match[str]) -> str:
        return match[1] + names.get(match[2], match[2])

    for page, source in PAGES.items():
        text = LINK.sub(link, (ROOT / source).read_text("utf-8"))
        files.append(File.generated(config, page, content=text))
    text = "# Commands\n" + "".join(help_pages(click.Context(main, info_name="gudi")))
    files.append(File.generated(config, "commands.md", content=text))
    return files


def help_pages(context: click.Context) -> Iterator[str]:
    """Yield what a command prints with --help, and all commands below it."""
    command = context.command
    yield f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    for name, each in getattr(command, "commands", {}).items():
        yield from help_pages(click.Context(each, parent=context, info_name=name))


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead from the other pages to the top folder's."""
    for name, source in PAGES.items():
        markdown = markdown.replace(f"](../{source})", f"]({name})")
    return markdown
