"""A hook of mkdocs: whatever a page links to in the repository becomes a page of the site.

READMEs and tables become pages as they are, other text is shown as code, pictures are copied. So
pages and READMEs link to files, as people who read them in a checkout expect, and no link of the
site leads out of it. Knows nothing of what the files say.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from functools import cache
from pathlib import Path

import sections
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = sections.ROOT
logger = logging.getLogger("mkdocs.hooks.repository")
PAGES = ROOT / "docs" / "pages"
PICTURES = (".png", ".svg")
# Scripts, pictures, frames and styles with an address; links (<a href>) are free to leave.
_OUTSIDE = re.compile(r'(?:src|srcset|<link [^>]*href)="((?:https?:)?//[^"]*)"')
# How code is coloured, by the end of a file's name.
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".cfg": "ini"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all that can be reached by links from pages and from what the navigation names."""
    named = [
        ROOT / _origin(uri) for uri in _uris(config.nav) if files.get_file_from_path(uri) is None
    ]
    waiting = [*sorted(PAGES.rglob("*.md")), *named]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if PAGES not in path.parents:
            _add(path, files, config)
        for link in sections.links(_text(path)) if path.suffix == ".md" else []:
            target = _target(path, link)
            if target not in seen and target.exists():
                seen.add(target)
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put sections in place, and let links lead to pages of the site."""
    path = ROOT / _origin(page.file.src_uri)
    if path.suffix != ".md" or not path.exists():
        return markdown

    def change(link: str) -> str:
        target = _target(path, link)
        if not target.exists():
            return link  # mkdocs says that it leads nowhere
        return posixpath.relpath(place(target), posixpath.dirname(page.file.src_uri) or ".")

    return sections.with_links(sections.expand(markdown, path), change)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Whatever a page loads comes with the site: it is read without network, and nobody is told."""
    for outside in _OUTSIDE.findall(output):
        logger.warning("%s loads %s from elsewhere", page.file.src_uri, outside)
    return output


def place(path: Path) -> str:
    """Where a file or folder of the repository is in the site's sources."""
    path = Path(os.path.normpath(path))
    parts = path.relative_to(ROOT).parts
    if parts[:2] == ("docs", "pages"):
        return "/".join(parts[2:])
    if path.suffix in PICTURES:
        return "/".join(("pictures", *parts[-1:]))
    if parts[0] == "egs" and len(parts) == 3 and path.suffix == ".md":
        return "/".join(("recipes", *parts[1:]))
    # mkdocs leaves hidden files out.
    name = "/".join(("repository", *(part.lstrip(".") for part in parts)))
    if path.is_dir():
        return f"{name}/index.md"
    return name if path.suffix == ".md" else f"{name}.md"


def _origin(uri: str) -> str:
    """Where a page of the site comes from; the reverse of `place`, for Markdown."""
    if uri.startswith("recipes/"):
        return "egs/" + uri.removeprefix("recipes/")
    if uri.startswith("repository/"):
        return uri.removeprefix("repository/")
    return f"docs/pages/{uri}"


def _target(path: Path, link: str) -> Path:
    """The file that a link means; of a folder its README."""
    target = Path(os.path.normpath(path.parent / link))
    readme = target / "README.md"
    return readme if readme.is_file() else target


@cache
def _text(path: Path) -> str:
    """A Markdown file with its sections in place."""
    return sections.expand(path.read_text(encoding="utf-8"), path)


def _add(path: Path, files: Files, config: MkDocsConfig) -> None:
    uri = place(path)
    if files.get_file_from_path(uri) is not None:
        return
    if path.suffix in (".md", *PICTURES):
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    else:
        files.append(File.generated(config, uri, content=_shown(path)))


def _shown(path: Path) -> str:
    """A page that shows a file of code, or what is in a folder."""
    name = path.relative_to(ROOT)
    if path.is_dir():
        inside = sorted(one.name for one in path.iterdir() if not one.name.startswith((".", "__")))
        return f"# {name}\n\n" + "\n".join(f"- `{one}`" for one in inside) + "\n"
    code = path.read_text(encoding="utf-8")
    head = "---\nsearch:\n  exclude: true\n---\n"  # who searches wants what is written
    return f"{head}# {name}\n\n`````{LANGUAGES.get(path.suffix, 'text')}\n{code}\n`````\n"


def _uris(nav: object) -> list[str]:
    """Every page that the navigation names."""
    if isinstance(nav, str):
        return [nav]
    if isinstance(nav, dict):
        nav = list(nav.values())
    return [uri for part in nav for uri in _uris(part)] if isinstance(nav, list) else []
