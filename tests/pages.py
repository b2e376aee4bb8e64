"""What a page shows, done: files are written, Python runs, and commands are called, in the working folder."""

import os
import re
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path

BLOCK = re.compile(r"^```(python|yaml|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(?:# @package .*\n)?# ([\w/]+\.(?:py|yaml))\n")
TRAINING = ("trainer=smoke", "evaluation.samples=50")  # in small, where the page does not say it otherwise
ELSEWHERE = ("certificate=standard",)  # a certificate of a flow takes half a minute, and has tests of its own


@contextmanager
def on_the_path(folder):
    """As PYTHONPATH=. does, and as Python does for a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def called(line):
    """Call a command of a page in this process, a training in small."""
    from ot_gen import cli
    from ot_gen.report import compare

    words = shlex.split(line, comments=True)
    if words[0].startswith("PYTHONPATH="):
        with on_the_path(Path.cwd()):
            return called(line.partition(" ")[2])
    program, *arguments = words
    if program == "ot-gen-compare":
        return compare.main(arguments)
    assert program == "ot-gen", line
    arguments = [word.replace("seed=0,1,2", "seed=0") for word in arguments if word not in ELSEWHERE]
    if arguments[0] == "evaluate":
        arguments.append("evaluation.samples=50")
    elif arguments[0] not in ("sample", "geometry"):
        arguments += [word for word in TRAINING if word.split("=")[0] not in line]
    sys.argv = ["ot-gen", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


def done(page):
    """Do what a page shows, in its order; an error of Python, or a command that fails, is raised."""
    names = {"__name__": page.stem}
    for number, (language, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
        if (file := FILE.match(text)) and language != "bash":
            path = Path(file[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif language == "python":
            with on_the_path(Path.cwd()):
                exec(compile(text, f"{page.name}, block {number}", "exec"), names)
        elif language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                code = called(line)
                assert not code, f"{page.name}: {line} ended with {code}"


def main(pages):
    """Do what pages show, each in an empty folder of its own. Runs draw no pictures, which take most of their time."""
    from ot_gen.runs import run

    run.draw = lambda *_: None
    start = Path.cwd()
    for page in map(Path, pages):
        folder = start / page.stem
        folder.mkdir()
        os.chdir(folder)
        path = sys.path.copy()
        done(page)
        sys.path[:] = path  # --config-dir leaves the folder of a page behind
        for name in [name for name in sys.modules if name.startswith("my_")]:
            del sys.modules[name]
        print(page.stem)


if __name__ == "__main__":
    main(sys.argv[1:])
