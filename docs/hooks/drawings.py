"""A hook of mkdocs: drawings (SVG of docs/pages/drawings) stand in the page itself.

So they follow the page's light or dark colours when a reader changes them, their text can be found
and read aloud, and one file serves the site and readers of a checkout alike.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

DRAWINGS = Path(__file__).resolve().parents[1] / "pages" / "drawings"
_PICTURE = re.compile(r'<p><img alt="[^"]*" src="[^"]*drawings/([\w-]+\.svg)" ?/?></p>')


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace pictures of drawings by the drawings."""
    return _PICTURE.sub(lambda match: _inline(DRAWINGS / match[1]), html)


def _inline(path: Path) -> str:
    return f'<figure class="drawing">{path.read_text(encoding="utf-8")}</figure>'
