"""Engines for tests: run roots in memory, bundles as engines write them, and the laws once more, written another way.

`judged` is the reference: it knows nothing of the platform's code, reads plain dictionaries, and says what a gate must
come to. Where it and the platform disagree, one of them is wrong.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from contracts.authority.run_files import DocumentTooLargeError

Files = dict[str, bytes]

SHAPES = ("list", "files", "entries", "items", "members")
BUNDLE = "sha256_bundle_digest"
CONCAT = "sha256_member_digest_concat"
RAW = "sha256_index_json_ascii_lex_raw_bytes"
LAWS = (BUNDLE, CONCAT, RAW)


class MemoryRunFiles:
    """A run root that is a dictionary."""

    location = "memory"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.opened: list[str] = []

    def listing(self, folder: str) -> list[str]:
        below = f"{folder}/" if folder else ""
        return sorted(path for path in self.files if path.startswith(below))

    def open(self, path: str) -> BinaryIO:
        self.opened.append(path)
        return io.BytesIO(self.files[path])

    def read_document(self, path: str, limit_bytes: int) -> bytes:
        if len(self.files[path]) > limit_bytes:
            raise DocumentTooLargeError(path=path, problem=f"it is larger than {limit_bytes} bytes", fix="Look.")
        return self.files[path]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def gate_document(
    gate_id: str = "g",
    law: str = BUNDLE,
    *,
    authorizes: Sequence[str] = ("o",),
    upstream: Sequence[str] = (),
    root: str = "bundle",
    indexed: bool | None = None,
    json_flag: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """A gate as gates.yaml has it; `options` go into the law."""
    index = {"index": f"{root}/index.json"} if (law != BUNDLE if indexed is None else indexed) else {}
    return {
        "id": gate_id,
        "authorizes": list(authorizes),
        "upstream": list(upstream),
        "bundle_root": f"{root}/",
        "flag": {"path": f"{root}/_passed.flag", "format": "json" if json_flag else "text"},
        "law": {"name": law, **index, **options},
    }


def written_bundle(gate: Mapping[str, Any], members: Mapping[str, bytes], shape: str = "files") -> Files:
    """The files of a bundle that passes: members (by their path in the bundle, in index order), index and flag."""
    law = gate["law"]
    root = gate["bundle_root"].strip("/")
    base = f"{root}/" if law.get("path_base", "bundle_root") == "run_root" else ""
    files = {f"{root}/{path}": data for path, data in members.items()}
    if "index" in law:
        items = [
            {"path": f"{base}{path}", "sha256_hex": sha256(data)}
            if law["name"] == CONCAT
            else {"path": f"{base}{path}"}
            for path, data in members.items()
        ]
        files[law["index"]] = indexed(items, shape)
    stated = law_digest(gate, files)
    assert stated is not None
    files[gate["flag"]["path"]] = flag(stated, is_json=gate["flag"]["format"] == "json")
    return files


def indexed(items: Sequence[Any], shape: str) -> bytes:
    return json.dumps(list(items) if shape == "list" else {"version": 1, shape: list(items)}).encode()


def flag(digest: str, *, is_json: bool = False) -> bytes:
    return json.dumps({"bundle_digest_sha256": digest}).encode() if is_json else f"sha256_hex = {digest}\n".encode()


def law_digest(gate: Mapping[str, Any], files: Mapping[str, bytes]) -> str | None:
    """The law's digest over what lies there; None when the bundle contradicts itself."""
    law, root = gate["law"], gate["bundle_root"].strip("/")
    excluded = set(law.get("exclude_filenames", ["_passed.flag", "index.json"]))

    def counts(path: str) -> bool:
        return path.rpartition("/")[2] not in excluded

    there = sorted(path for path in files if path.startswith(f"{root}/") and counts(path))
    if "index" not in law:
        return sha256(b"".join(files[path] for path in there)) if there else None
    document = json.loads(files[law["index"]])
    items = document if isinstance(document, list) else next(document[s] for s in SHAPES[1:] if s in document)
    base = "" if law.get("path_base", "bundle_root") == "run_root" else f"{root}/"
    listed = [(base + item["path"], item.get("sha256_hex")) for item in items if counts(item["path"])]
    if law.get("ordering", "ascii_lex") == "ascii_lex":
        listed.sort()
    if any(path not in files or digest not in {None, sha256(files[path])} for path, digest in listed):
        return None
    covers = law["name"] == BUNDLE or law.get("covers_folder", False)
    if covers and set(there) != {path for path, _ in listed if path.startswith(f"{root}/")}:
        return None
    pieces = [str(digest).encode() if law["name"] == CONCAT else files[path] for path, digest in listed]
    return sha256(b"".join(pieces))


def put(root: Path, files: Mapping[str, bytes]) -> Path:
    """Lay files down on disk."""
    for path, data in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return root
