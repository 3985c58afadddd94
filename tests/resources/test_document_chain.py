"""A chain of documents: what was altered, taken out, put in or moved is an error that names the object."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

import pytest

from contracts.refs import Digest, digest_bytes
from contracts.sealing import ChainError
from contracts.selection import CaptureBatch, CapturedDrop
from resources.document_chain import DocumentChain
from resources.object_store import ObjectStore

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
WAY_BACK = "Restore it."


def chain_in(store: ObjectStore, table: str = "t", prefix: str = "captures/t") -> DocumentChain[CaptureBatch]:
    return DocumentChain(store, prefix, CaptureBatch, about={"table": table}, way_back=WAY_BACK)


def batch(number: int, path: str, parent: Digest | None) -> CaptureBatch:
    drop = CapturedDrop(path=path, partition="2020", digest=digest_bytes(path.encode()), size_bytes=1)
    return CaptureBatch(table="t", sequence=number, parent=parent, captured_at=NOON, drops=(drop,))


def filled(store: ObjectStore, count: int = 3) -> DocumentChain[CaptureBatch]:
    chain = chain_in(store)
    for number in range(1, count + 1):
        assert chain.append(number, partial(batch, number, f"file-{number}")) is not None
    return chain


def paths(chain: DocumentChain[CaptureBatch], after: int = 0) -> list[str]:
    return [link.drops[0].path for link in chain.after(after)]


def test_an_empty_chain_has_nothing(any_store: ObjectStore) -> None:
    chain = chain_in(any_store)
    assert (chain.newest(), chain.last(), paths(chain)) == (0, None, [])


def test_links_come_in_order_and_each_names_the_one_before(any_store: ObjectStore) -> None:
    chain = filled(any_store)
    links = list(chain.after(0))
    assert [link.parent for link in links] == [None, links[0].digest, links[1].digest]
    assert (chain.newest(), chain.last()) == (3, links[2])
    assert paths(chain, after=2) == ["file-3"]
    assert paths(chain, after=3) == []


def test_of_two_who_append_one_is_first(any_store: ObjectStore) -> None:
    chain = filled(any_store, 1)
    assert chain.append(2, partial(batch, 2, "mine")) is not None
    assert chain.append(2, partial(batch, 2, "yours")) is None
    assert paths(chain) == ["file-1", "mine"]


def test_nothing_follows_a_link_that_is_not_what_was_written(any_store: ObjectStore) -> None:
    chain = filled(any_store, 1)
    any_store.forget(chain.key(1))
    with pytest.raises(ChainError, match="it is missing from its chain"):
        chain.append(2, partial(batch, 2, "more"))
    assert any_store.keys("captures/t") == []


def altered(store: ObjectStore, key: str) -> None:
    data = store.get(key)
    store.forget(key)
    store.put_if_absent(key, data.replace(b"file-2", b"file-9"))


def removed(store: ObjectStore, key: str) -> None:
    store.forget(key)


def replayed(store: ObjectStore, key: str) -> None:
    store.forget(key)
    store.put_if_absent(key, store.get("captures/t/00000001.json"))


def rewritten(store: ObjectStore, key: str) -> None:
    """By somebody who knows how to seal a document, but cannot change the one after it."""
    before = CaptureBatch.from_bytes(store.get("captures/t/00000001.json"))
    store.forget(key)
    store.put_if_absent(key, batch(2, "other", before.digest).to_bytes())


def of_another_table(store: ObjectStore, key: str) -> None:
    before = CaptureBatch.from_bytes(store.get(key))
    store.forget(key)
    store.put_if_absent(key, before.model_copy(update={"table": "u"}).to_bytes())


def cut_short(store: ObjectStore, key: str) -> None:
    data = store.get(key)
    store.forget(key)
    store.put_if_absent(key, data[:-1])


@pytest.mark.parametrize(
    ("harm", "where", "problem"),
    [
        pytest.param(altered, 2, "its self-digest is blake3:", id="altered"),
        pytest.param(removed, 2, "it is missing from its chain, and there are later ones", id="removed"),
        pytest.param(replayed, 2, "it belongs to table t, number 1", id="an earlier one in its place"),
        pytest.param(rewritten, 3, "its parent should be blake3:", id="rewritten and sealed anew"),
        pytest.param(of_another_table, 2, "it belongs to table u, number 2", id="one of another table"),
        pytest.param(cut_short, 2, "Expecting", id="cut short"),
    ],
)
def test_a_link_that_is_not_what_was_written_is_named_with_the_way_back(
    any_store: ObjectStore, harm: Callable[[ObjectStore, str], None], where: int, problem: str
) -> None:
    chain = filled(any_store)
    harm(any_store, chain.key(2))
    with pytest.raises(ChainError) as broken:
        list(chain.after(0))
    assert broken.value.evidence["key"] == chain.key(where)
    assert str(broken.value).startswith(f"{chain.key(where)}: {broken.value.evidence['problem']}")
    assert problem in broken.value.evidence["problem"]
    assert str(broken.value).endswith(WAY_BACK)


def test_what_comes_before_damage_is_handed_out_and_nothing_after_it(any_store: ObjectStore) -> None:
    chain = filled(any_store)
    altered(any_store, chain.key(2))
    links = chain.after(0)
    assert next(links).sequence == 1
    with pytest.raises(ChainError):
        next(links)


def test_whoever_has_seen_a_link_notices_that_it_was_cut_off(any_store: ObjectStore) -> None:
    chain = filled(any_store)
    for number in (2, 3):
        any_store.forget(chain.key(number))
    with pytest.raises(ChainError, match="captures/t/00000003.json: it was there before, and is missing"):
        list(chain.after(3))
    assert paths(chain) == ["file-1"], "a chain by itself cannot see that its tail is gone"


def test_the_last_link_is_compared_with_the_one_before_it(any_store: ObjectStore) -> None:
    chain = filled(any_store, 2)
    any_store.forget(chain.key(1))
    any_store.put_if_absent(chain.key(1), batch(1, "another start", None).to_bytes())
    with pytest.raises(ChainError, match="00000002.json: its parent should be"):
        chain.last()


def test_names_that_are_no_links_do_not_count(any_store: ObjectStore) -> None:
    chain = filled(any_store, 1)
    for name in ("00000009.json.tmp", "7.json", "abcdefgh.json"):
        any_store.put_if_absent(f"captures/t/{name}", b"{}")
    assert (chain.newest(), paths(chain)) == (1, ["file-1"])
