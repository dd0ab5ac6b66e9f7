"""`fetch`: a public data set from its publisher into the cache, resumed where it broke
off, checked before it is used.

The only place in the project that calls the network.
"""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.importing import ImportReport, import_files
from playbook.sources.read import digest
from playbook.sources.registry import DataSet, data_set
from playbook.store.cache import cache_folder

TRIES = 5
BLOCK = 1 << 16


@dataclass
class FetchReport:
    """What was fetched: file, address, bytes, sha256, whether it lay in the cache or
    was resumed; and its import.
    """

    name: str
    folder: str
    files: list[dict[str, object]]
    licence: str
    cite: str
    imported: list[ImportReport] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return vars(self) | {"imported": [r.as_dict() for r in self.imported]}

    def lines(self) -> list[str]:
        """The report as sentences, one a line."""
        out = [
            f"{f['file']}: {f['bytes']:,} bytes, {f['how']}, sha256 {f['sha256']}"
            for f in self.files
        ]
        out += [line for r in self.imported for line in r.lines()]
        return [*out, f"licence: {self.licence}; cite: {self.cite}", f"store: {self.folder}"]


def fetch(
    name: str,
    into: str | os.PathLike | None = None,
    *,
    addresses: Mapping[str, str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    wait_seconds: float = 2.0,
) -> FetchReport:
    """Downloads the data set `name` and imports it into the store `into` (default: a
    store in the cache).

    `addresses` replaces the publisher's (file -> address); `progress(file, bytes so
    far, bytes in all or 0)` is told how far it is. A download that breaks off is
    resumed, now or at the next call. Content that fails its check is removed from the
    cache and refused, and the store stays as it was.
    """
    known = data_set(name)
    if known.name == "cdnow":
        return _cdnow(known, into)
    folder = Path(into) if into is not None else cache_folder() / known.name
    downloads = cache_folder() / "downloads"
    files, paths, vintages = [], [], {}
    for file, address in {**known.files, **(addresses or {})}.items():
        # a revised series is asked for anew each time; a finished study never changes
        path, how, vintage = _download(
            file, address, downloads, progress, wait_seconds, fresh=known.kind == "series"
        )
        files.append(
            {
                "file": file,
                "address": address,
                "bytes": path.stat().st_size,
                "sha256": digest(path),
                "how": how,
            }
        )
        paths.append(path)
        vintages[path] = vintage
    report = FetchReport(known.name, str(folder), files, known.licence, known.cite)
    try:
        if known.kind == "series":
            for path in paths:
                report.imported.append(
                    import_files(
                        "series",
                        [path],
                        folder,
                        observed_on=vintages[path],
                        options={"series": path.stem, "source": known.title},
                    )
                )
        else:
            report.imported.append(import_files(known.kind, paths, folder))
    except PlaybookError as error:
        for path in paths:
            path.unlink(missing_ok=True)
        error.do = say("sources.download_removed")
        raise
    return report


def _cdnow(known: DataSet, into: str | os.PathLike | None) -> FetchReport:
    import shutil

    from playbook.sources.cdnow import store_folder

    folder = store_folder()
    if into is not None:
        shutil.copytree(folder, Path(into), dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
        folder = Path(into)
    return FetchReport(known.name, str(folder), [], known.licence, known.cite)


def _download(
    file: str,
    address: str,
    downloads: Path,
    progress: Callable[[str, int, int], None] | None,
    wait_seconds: float,
    *,
    fresh: bool = False,
) -> tuple[Path, str, str | None]:
    """The file in the cache, how it got there, and the day the publisher last changed
    it where it says so.
    """
    import pooch

    downloads.mkdir(parents=True, exist_ok=True)
    target = downloads / file
    stamp = downloads / f"{file}.changed"
    old = downloads / f"{file}.old"
    if target.exists() and fresh:
        os.replace(target, old)
    elif target.exists():
        return target, "already in the cache", stamp.read_text() if stamp.exists() else None
    loader = _Resuming(file, downloads / f"{file}.part", progress, wait_seconds)
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(address, known_hash=None, fname=file, path=downloads, downloader=loader)
    except PlaybookError:
        raise
    except Exception as error:  # requests, urllib3 and pooch each raise their own
        if old.exists():
            os.replace(old, target)
            changed = stamp.read_text() if stamp.exists() else None
            return (
                target,
                "the publisher cannot be reached, so the copy in the cache is used",
                changed,
            )
        raise PlaybookError(
            "sources.publisher_unreachable",
            cause=type(error).__name__,
            file=file,
            rule=address.split("?")[0],
        ) from None
    old.unlink(missing_ok=True)
    if loader.changed:
        stamp.write_text(loader.changed)
    return target, loader.how, loader.changed


class _Resuming:
    """A downloader for pooch that keeps what has arrived beside the target and asks
    only for the rest.
    """

    def __init__(
        self, file: str, part: Path, progress: Callable | None, wait_seconds: float
    ) -> None:
        self.file, self.part, self.progress, self.wait = file, part, progress, wait_seconds
        self.how, self.changed = "downloaded", None

    def __call__(
        self, url: str, output_file: object, pooch: object, check_only: bool = False
    ) -> bool | None:
        """Called by pooch with the address and the temporary file it then moves into
        place.
        """
        import requests
        import urllib3

        failure: Exception | None = None
        for attempt in range(TRIES):
            try:
                self._rest(url)
                os.replace(self.part, output_file)
                _note(self.part).unlink(missing_ok=True)
                return None
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if isinstance(error, requests.HTTPError) and error.response.status_code in (
                    401,
                    403,
                    404,
                    410,
                ):
                    raise
                failure = error
                time.sleep(self.wait * 2**attempt if attempt + 1 < TRIES else 0)
        raise failure or OSError(url)

    def _rest(self, url: str) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        mark = _note(self.part).read_text() if have and _note(self.part).exists() else ""
        headers = {"Accept-Encoding": "identity"}
        if have and mark:
            # If-Range: the server sends the whole file again if it has changed since the first bytes came
            headers |= {"Range": f"bytes={have}-", "If-Range": mark}
        with requests.get(url, headers=headers, stream=True, timeout=30) as reply:
            if reply.status_code == 416:
                self.part.unlink(missing_ok=True)
                raise OSError("the part on disk is longer than the file")
            reply.raise_for_status()
            is_rest = reply.status_code == 206 and reply.headers.get(
                "Content-Range", ""
            ).startswith(f"bytes {have}-")
            self.how = "resumed" if is_rest else self.how
            done = have if is_rest else 0
            length = int(reply.headers.get("Content-Length") or 0)
            total = done + length if length else 0
            _note(self.part).write_text(
                reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
            )
            said = reply.headers.get("Last-Modified") or reply.headers.get("Date")
            self.changed = f"{email.utils.parsedate_to_datetime(said):%Y-%m-%d}" if said else None
            with open(self.part, "ab" if is_rest else "wb") as out:
                # read1 hands over what has come, so that a broken connection loses nothing that had arrived
                while block := reply.raw.read1(BLOCK):
                    out.write(block)
                    done += len(block)
                    if self.progress:
                        self.progress(self.file, done, total)
        if total and done < total:
            raise OSError(f"{done} of {total} bytes came")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".etag")
