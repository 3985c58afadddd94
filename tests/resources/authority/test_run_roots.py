"""Run roots: the same files locally and in S3, never written, never left."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts.authority.run_files import DocumentTooLargeError, Ledger, UnsafePathError
from contracts.errors import StoreError, UsageError
from resources.authority.run_roots import RunRoot, open_run_root
from tests.engine_bundles import put, sha256
from tests.servers.s3 import BUCKET, S3Server

FILES = {"a/b/x.csv": b"x" * 70_000, "a/b-c.csv": b"bc", "a/b.csv": b"", "incoming/y.csv": b"y", "z.json": b"{}"}


@pytest.fixture(scope="module", params=["local", "moto"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunRoot:
    if request.param == "local":
        return open_run_root(str(put(tmp_path_factory.mktemp("root"), FILES)))
    server: S3Server = request.getfixturevalue("moto")
    prefix = f"runs/{uuid4().hex}"
    client = server.client()
    for path, data in FILES.items():
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path}", Body=data)
    client.put_object(Bucket=BUCKET, Key=f"{prefix}-other/a/b/stray.csv", Body=b"!")
    return open_run_root(f"s3://{BUCKET}/{prefix}", client=client)


def test_a_listing_is_every_file_below_a_folder_in_the_order_of_the_paths(root: RunRoot) -> None:
    assert root.listing("") == ["a/b-c.csv", "a/b.csv", "a/b/x.csv", "incoming/y.csv", "z.json"]
    assert root.listing("a/b") == ["a/b/x.csv"]
    assert root.listing("incoming") == ["incoming/y.csv"]


@pytest.mark.parametrize("folder", ["gone", "a/gone", "z.json/x", "a/b/x.csv/y"])
def test_a_folder_that_is_not_there_has_no_files(root: RunRoot, folder: str) -> None:
    assert root.listing(folder) == []


def test_a_file_is_read_as_it_lies_there(root: RunRoot) -> None:
    with root.open("a/b/x.csv") as file:
        assert file.read(5) == b"xxxxx"
    member = Ledger(root).member("a/b/x.csv")
    assert (member.size_bytes, member.sha256) == (70_000, sha256(FILES["a/b/x.csv"]))


@pytest.mark.parametrize("path", ["gone", "a/gone", "a", "a/b", "z.json/x"])
def test_only_what_is_not_there_is_absent(root: RunRoot, path: str) -> None:
    with pytest.raises(KeyError):
        root.open(path)
    with pytest.raises(KeyError):
        root.read_document(path, 10)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a/b/", "a\\b", "a\0b", "a\ud800"]
)
def test_a_path_that_could_leave_is_refused(root: RunRoot, path: str) -> None:
    with pytest.raises(UnsafePathError) as refused:
        root.open(path)
    assert refused.value.evidence["path"] == path


def test_a_document_is_read_whole_up_to_its_limit(root: RunRoot) -> None:
    assert root.read_document("z.json", 2) == b"{}"
    with pytest.raises(DocumentTooLargeError, match="larger than 69999 bytes"):
        root.read_document("a/b/x.csv", 69_999)


@pytest.mark.parametrize(
    "location",
    ["", "relative/folder", "file:///tmp/x", "s3://", "s3://bucket", "s3://bucket/", "s3://b/../x", "gs://b/x"],
)
def test_a_location_that_names_no_place_is_refused(location: str) -> None:
    with pytest.raises(UsageError, match="absolute folder or s3://bucket/prefix"):
        open_run_root(location)


def test_a_location_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_run_root(f"  {tmp_path}/link ").location == str(tmp_path / "real")


def test_a_run_root_that_is_not_there_yet_has_no_files(tmp_path: Path) -> None:
    root = open_run_root(str(tmp_path / "gone"))
    assert root.listing("") == []
    with pytest.raises(KeyError):
        root.open("x")


# --- on disk ---


@pytest.fixture
def local(tmp_path: Path) -> tuple[RunRoot, Path]:
    folder = put(tmp_path / "root", {"real/x": b"x"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"s")
    return open_run_root(str(folder)), folder


@pytest.mark.parametrize("target", ["../outside/secret", "real/x", "gone", "."])
def test_a_link_is_not_followed_wherever_it_leads(local: tuple[RunRoot, Path], target: str) -> None:
    root, folder = local
    (folder / "link").symlink_to(target)
    with pytest.raises(UnsafePathError, match="symbolic link"):
        root.open("link")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        root.listing("")


@pytest.mark.parametrize("target", ["../outside", "real"])
def test_a_folder_that_is_a_link_is_not_entered(local: tuple[RunRoot, Path], target: str) -> None:
    root, folder = local
    (folder / "sub").symlink_to(target)
    for name in ("secret", "x"):
        with pytest.raises(UnsafePathError, match="sub is a symbolic link"):
            root.open(f"sub/{name}")
    with pytest.raises(UnsafePathError, match="sub is a symbolic link"):
        root.listing("sub")


def test_what_is_no_regular_file_is_not_opened(local: tuple[RunRoot, Path]) -> None:
    root, folder = local
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsafePathError, match="no regular file"):
        root.open("pipe")
    with pytest.raises(UnsafePathError, match="no regular file"):
        root.listing("")


def test_a_socket_is_not_opened(local: tuple[RunRoot, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, folder = local
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises((UnsafePathError, StoreError)):
            root.open("s")


def test_a_name_that_is_no_text_is_refused(local: tuple[RunRoot, Path]) -> None:
    root, folder = local
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"")
    with pytest.raises(UnsafePathError, match="no UTF-8"):
        root.listing("")


def test_what_the_disk_does_not_give_is_not_absent() -> None:
    root = open_run_root(f"/proc/{os.getpid()}")
    with pytest.raises(StoreError, match="mem: Input/output error"):  # its first page is mapped by nobody
        Ledger(root).member("mem")
    with pytest.raises(StoreError, match="nothing was concluded"):
        root.read_document("mem", 10)


def test_a_name_longer_than_any_can_be_is_absent(local: tuple[RunRoot, Path]) -> None:
    with pytest.raises(KeyError):
        local[0].open("x" * 300)


def test_no_descriptor_is_left_open(local: tuple[RunRoot, Path]) -> None:
    root, folder = local
    (folder / "link").symlink_to("real")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        root.listing("real")
        root.open("real/x").close()
        for path in ("link/x", "gone/x", "real/x/y", "real"):
            with pytest.raises((KeyError, UnsafePathError)):
                root.open(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- in S3 ---


def test_what_the_server_refuses_is_not_absent(moto: S3Server) -> None:
    root = open_run_root("s3://no-such-bucket-here/x", client=moto.client())
    for look in (lambda: root.listing("a"), lambda: root.open("a")):
        with pytest.raises(StoreError, match="bucket does not exist"):
            look()


@pytest.mark.parametrize("name", ["a/../b", "a//b", "a/./b"])
def test_an_object_that_could_be_taken_for_another_is_refused(moto: S3Server, name: str) -> None:
    prefix = f"runs/{uuid4().hex}"
    client: Any = moto.client()
    try:
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/x/{name}", Body=b"")
    except Exception:  # noqa: BLE001 - some clients and servers do not even let such a name in
        pytest.skip("this client refuses the name itself")
    root = open_run_root(f"s3://{BUCKET}/{prefix}", client=client)
    with pytest.raises(UnsafePathError):
        root.listing("x")


def test_an_object_that_no_key_can_name_is_unsafe_and_no_fault_of_the_server(moto: S3Server) -> None:
    root = open_run_root(f"s3://{BUCKET}/runs", client=moto.client())
    for path in ("a\nb", "x" * 1100):
        with pytest.raises(UnsafePathError, match="no object can be called that"):
            root.open(path)


def test_nothing_is_written_in_s3(moto: S3Server) -> None:
    client = moto.client()
    prefix = f"runs/{uuid4().hex}"
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/a", Body=b"a")
    asked: list[str] = []
    client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    root = open_run_root(f"s3://{BUCKET}/{prefix}", client=client)
    root.listing("")
    root.open("a").read()
    root.read_document("a", 9)
    assert set(asked) <= {"ListObjectsV2", "GetObject"}
