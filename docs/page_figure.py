"""The figure of the comparison page: photographs of it in headless Chromium, light and dark, and at a phone's width.

python docs/page_figure.py [runs/demo]      writes docs/page.png

Needs playwright (pip install playwright) and a Chromium on the PATH.
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from ot_gen.report.compare import write_comparison

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
VIEWS = ((1280, "light"), (1280, "dark"), (360, "light"))
HEIGHT, MARGIN = 1500, 24


def main(folder: str = "runs/demo") -> None:
    """Write the page about the runs in `folder`, photograph its first screens and lay them side by side."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("page_figure.py needs a Chromium on the PATH; install one")
    views = []
    with TemporaryDirectory() as output, sync_playwright() as driver:
        page_path = write_comparison(Path(folder), Path(output))
        browser = driver.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        for width, scheme in VIEWS:
            page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
            page.goto(page_path.as_uri())
            views.append(Image.open(BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    canvas = Image.new("RGB", (sum(view.width + MARGIN for view in views) - MARGIN, HEIGHT), "#888")
    left = 0
    for view in views:
        canvas.paste(view, (left, 0))
        left += view.width + MARGIN
    small = canvas.resize((canvas.width // 2, canvas.height // 2), Image.Resampling.LANCZOS)
    small.save(Path(__file__).with_name("page.png"), optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
