"""Makes the pictures of the demo page that the README shows.

    utils/in_environment.sh python utils/page_pictures.py MODEL order.wav --title barista

Serves the model, chooses the recording in a headless Chromium, and writes docs/pictures: the page
in light at the width of a desk, and in dark at that of a phone.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

from browser import Browser, Page, find

from atat.apps.recognizer import Recognizer
from atat.apps.server import running
from atat.apps.server.app import Service

OUT = Path(__file__).resolve().parent.parent / "docs" / "pictures"


def main() -> None:
    """Serve, look, write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--title", default="the model")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    program = find()
    if program is None:
        sys.exit("error: no Chromium on this machine; Debian: apt-get install chromium")
    options.out.mkdir(parents=True, exist_ok=True)
    service = Service(Recognizer.load(options.model), options.title)
    with running.listen("127.0.0.1", 0) as listening, Browser(program) as browser:
        server = running.Server(service.app(), service.turns)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            page = browser.open(f"http://127.0.0.1:{listening.getsockname()[1]}/", width=820)
            for _ in range(2):  # the first answer of a model takes longer
                _ask(page, options.recording)
            page.picture(options.out / "page.png")
            page.scheme(True)
            page.shape(390, 800)
            time.sleep(0.5)  # until it has arranged itself anew
            page.picture(options.out / "page-phone-dark.png")
        finally:
            server.should_exit = True
            thread.join()
    for name in ("page.png", "page-phone-dark.png"):
        print(f"{options.out / name}: {(options.out / name).stat().st_size / 1024:.0f} KiB")


def _ask(page: Page, recording: Path) -> None:
    page.run("document.querySelector('#answer').hidden = true")
    page.choose("#file", recording)
    page.wait_for("!document.querySelector('#answer').hidden && !document.querySelector('.busy')")


if __name__ == "__main__":
    main()
