"""Everything of a project that is written while the user works, in the background and in order."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from napari_unet.errors import ImageError
from napari_unet.io.atomic import atomic_path
from napari_unet.jobs.writing import BackgroundWriter
from napari_unet.project.fingerprint import Fingerprint
from napari_unet.project.folder import WorkFolder
from napari_unet.project.records import Record
from napari_unet.project.truths import TruthFiles


class Store:
    """Writes into a project without keeping the main thread waiting.

    All methods are called on the main thread and return at once; files are touched on the writer's
    thread only.

    Parameters
    ----------
    folder : WorkFolder
        The project.
    """

    def __init__(self, folder: WorkFolder) -> None:
        self.folder = folder
        self._truths: dict[tuple[str, str], TruthFiles] = {}
        self._fingerprints: dict[str, Fingerprint] = {}
        self._writer = BackgroundWriter(self._sync)

    @property
    def waiting_bytes(self) -> int:
        """Memory that waits to be written."""
        return self._writer.waiting_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return self._writer.idle

    def put_known(self, image: str, truth: str, record: Record) -> None:
        """Append a record to the journal of what the user said."""
        self._writer.put(partial(self._append, image, truth, "known", record), record.nbytes)

    def put_prediction(self, image: str, truth: str, record: Record) -> None:
        """Append a record to the journal of what was predicted."""
        self._writer.put(partial(self._append, image, truth, "predictions", record), record.nbytes)

    def put_document(self, name: str, value: Any) -> None:
        """Replace a document."""
        self._writer.put(partial(self._write, name, json.dumps(value, indent=1, ensure_ascii=False)))

    def put_images(self, entries: Sequence[dict[str, Any]]) -> None:
        """Replace the list of images; files that are new in it get their fingerprint."""
        self._writer.put(partial(self._write_images, copy.deepcopy(list(entries))))

    def drop_truth(self, image: str, truth: str) -> None:
        """Remove the journals of a truth that another one replaces."""
        self._writer.put(partial(self._drop, image, truth))

    def let_go(self, image: str) -> None:
        """Finish, and close the journals of an image: they are read, and perhaps written anew, from here on."""
        self._writer.put(partial(self._close_journals, image))
        self._writer.finish()

    def know(self, path: str, fingerprint: Fingerprint) -> None:
        """Take over the fingerprint of a file from when it was first worked on."""
        self._writer.put(partial(self._fingerprints.__setitem__, path, fingerprint))

    def take_error(self) -> BaseException | None:
        """Return what went wrong in writing since the last call, if anything did."""
        return self._writer.take_error()

    def finish(self) -> None:
        """Wait until everything is on the disk."""
        self._writer.finish()

    def close(self) -> None:
        """Wait until everything is on the disk and let go of the files; the folder stays open."""
        self._writer.put(self._close_journals)
        self._writer.close()

    # ---- on the writer's thread ----------------------------------------------------------------

    def _files(self, image: str, truth: str) -> TruthFiles:
        if (image, truth) not in self._truths:
            folder = self.folder.path / "truths" / image
            folder.mkdir(exist_ok=True)
            self._truths[image, truth] = TruthFiles.at(folder, truth)
        return self._truths[image, truth]

    def _append(self, image: str, truth: str, which: Literal["known", "predictions"], record: Record) -> None:
        files = self._files(image, truth)
        (files.known if which == "known" else files.predictions).append(record)

    def _drop(self, image: str, truth: str) -> None:
        files = self._files(image, truth)
        files.close()
        for journal in (files.known, files.predictions):
            journal.path.unlink(missing_ok=True)
        del self._truths[image, truth]

    def _write(self, name: str, text: str) -> None:
        with atomic_path(self.folder.path / f"{name}.json", overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _write_images(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            for part in entry["parts"]:
                # That of an image which could not be opened again stays as it was.
                if part["file"] is not None and not part["file"].get("fingerprint"):
                    part["file"]["fingerprint"] = self._fingerprint(part["file"]["absolute"])
        self._write("images", json.dumps({"images": entries}, indent=1, ensure_ascii=False))

    def _fingerprint(self, path: str) -> dict[str, Any] | None:
        if path not in self._fingerprints:
            try:
                self._fingerprints[path] = Fingerprint.of(path)
            except ImageError:  # the file went away meanwhile; reopening tells
                return None
        return self._fingerprints[path].to_json()

    def _sync(self) -> None:
        for files in self._truths.values():
            files.sync()

    def _close_journals(self, image: str | None = None) -> None:
        for place, files in tuple(self._truths.items()):
            if image in (None, place[0]):
                files.close()
                del self._truths[place]
