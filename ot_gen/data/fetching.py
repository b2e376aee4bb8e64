"""Official files of data sets: downloaded once, verified, and kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cache(folder: str | Path | None, name: str) -> Path:
    """The folder of a data set's files: the one given, or one of its own in the user's cache folder of ot_gen.

    Example:
        >>> cache("here", "mnist")
        PosixPath('here')
    """
    if folder is None:
        import pooch

        return Path(pooch.os_cache("ot_gen")) / name
    return Path(folder).expanduser()


def missing_files(arguments: Mapping[str, Any], files: Sequence[Sequence[str]]) -> str:
    """What a loader of official files would have to write outside of the cache, in words; empty if it would only read.

    Args:
        arguments: of the loader.
        files: for each file that it needs the names that it may have.

    Example:
        >>> missing_files({"folder": "no/such"}, [("a.gz", "a")])
        'no/such holds no a.gz'
    """
    if "mirrors" in arguments:
        return f"mirrors = {arguments['mirrors']}"
    if arguments.get("folder") is None:
        return ""
    held = Path(str(arguments["folder"])).expanduser()
    lacks = [names[0] for names in files if not any((held / name).is_file() for name in names)]
    return f"{held} holds no {lacks[0]}" if lacks else ""


def fetched(folder: Path, registry: Mapping[str, str], mirrors: Sequence[str], retries: int, remedy: str) -> list[Path]:
    """The files of a registry (name to checksum), in its order, all of them in the folder.

    Files that are missing, or whose checksum differs, are downloaded. An uncompressed file, of the name without .gz,
    comes first and is taken as it is.

    Args:
        folder: where they are kept.
        registry: of each name the SHA-256, or "md5:" and the MD5.
        mirrors: the addresses of the folders they are fetched from, tried in order.
        retries: how often each mirror is asked again.
        remedy: what else helps, for errors.

    Raises:
        ValueError: a file can neither be found nor downloaded.

    Example:
        >>> fetched(Path("no/such"), {"a.gz": "0" * 64}, [], 0, "use b")
        Traceback (most recent call last):
        ValueError: no/such/a.gz is missing and could not be downloaded from anywhere: no mirror was given; use b
    """
    return [_fetch_one(folder, name, checksum, mirrors, retries, remedy) for name, checksum in registry.items()]


def _fetch_one(folder: Path, name: str, checksum: str, mirrors: Sequence[str], retries: int, remedy: str) -> Path:
    import pooch

    raw = folder / name.removesuffix(".gz")
    if name.endswith(".gz") and raw.is_file() and not name.endswith(".tar.gz"):
        return raw
    file, kind = folder / name, "MD5" if checksum.startswith("md5:") else "SHA-256"
    if file.is_file() and pooch.file_hash(str(file), alg="md5" if kind == "MD5" else "sha256") == checksum.removeprefix(
        "md5:"
    ):
        return file
    failures = []
    with _quiet(pooch.get_logger()):
        for mirror in mirrors:
            store = pooch.create(folder, f"{mirror.rstrip('/')}/", registry={name: checksum}, retry_if_failed=retries)
            try:
                return Path(store.fetch(name))
            except (OSError, ValueError) as error:  # requests raises OSError; pooch ValueError, for a wrong checksum
                reason = type(error).__name__ if isinstance(error, OSError) else f"wrong {kind}"
                failures.append(f"{mirror} ({reason})")
    state = f"is corrupt (its {kind} differs)" if file.is_file() else "is missing"
    raise ValueError(
        f"{file} {state} and could not be downloaded from {' or '.join(failures) or 'anywhere: no mirror was given'}; "
        f"{remedy}"
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
