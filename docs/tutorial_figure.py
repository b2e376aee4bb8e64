"""The picture of the tutorial: its first run, done as it says.

python docs/tutorial_figure.py
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent


def main() -> None:
    """Run the page's first script and its first command, and keep the picture of the samples."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    script = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    command = re.findall(r"```bash\not-gen (.*?)\n```", page, re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", script], check=True, cwd=folder)
        subprocess.run([sys.executable, "-m", "ot_gen", *command.split()], check=True, cwd=folder)
        shutil.copy(Path(folder) / "runs/flow/samples.png", DOCS / "tutorial_samples.png")


if __name__ == "__main__":
    main()
