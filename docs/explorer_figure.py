"""The figure of the explorer: a photograph of it in headless Chromium, light beside dark.

python docs/explorer_figure.py runs/NAME      writes docs/explorer.png

The run of docs/explorer.md. Needs playwright (pip install playwright) and a Chromium on the PATH.
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from ot_gen.cli.explore import explore

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
WIDTH, HEIGHT = 1300, 970
CLICKS = ((0.30, 0.72), (0.83, 0.42))  # of the plane's canvas, across and down


def main(folder: str) -> None:
    """Write the explorer of the run in `folder`, set two codes and lay its two colour schemes side by side."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("explorer_figure.py needs a Chromium on the PATH; install one")
    views = []
    with TemporaryDirectory() as output, sync_playwright() as driver:
        path = Path(output) / "explorer.html"
        if explore(["--run", folder, "--output", str(path)]):
            sys.exit(1)
        browser = driver.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.goto(path.as_uri())
            page.locator("body[data-drawn]").wait_for()
            box = page.locator("#plane").bounding_box()
            for across, down in CLICKS:
                page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
                page.wait_for_timeout(400)
            views.append(Image.open(BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    canvas = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for number, view in enumerate(views):
        canvas.paste(view, (number * WIDTH, 0))
    small = canvas.resize((canvas.width * 5 // 8, canvas.height * 5 // 8), Image.Resampling.LANCZOS)
    small.save(Path(__file__).with_name("explorer.png"), optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
