"""The publisher: what a candidate becomes, whoever comes before it, and where its segments lie meanwhile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.collection import DoomedList, DoomedObject
from contracts.commits import Commit, EmptyLink, Waiver
from contracts.errors import CommitError, StoreError, UnansweredError
from contracts.gates import GateReceipt
from contracts.refs import Digest, hex_of
from resources.doomed_lists import list_key
from resources.publisher import Judged, Outcome, Publication, publish, publish_on_head
from resources.segment_places import SegmentPlace, StagedFolder, StoredFolder
from resources.table_reader import TableReader, held_key, segment_prefix
from tests.damaging import remove_all, replace
from tests.unanswering import Fate, UnansweringStore
from tests.versions import DAY, NOON, TABLE, Contract, Home, StagedVersion, candidate, passed, stopped

LATER = NOON + dt.timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


def history(home: Home) -> list[Commit]:
    return home.reader.history(TABLE, DAY)


def contents(commit: Commit) -> list[str]:
    return [entry.content for entry in commit.candidate.entries]


# ---- what a candidate becomes ----------------------------------------------------------------------------------------


def test_what_passed_is_the_next_version(home: Home) -> None:
    one, two = home.publish("a"), home.publish("b", cutoff=2)
    assert (one.outcome, two.outcome) == (Outcome.PUBLISHED, Outcome.PUBLISHED)
    assert history(home) == [one.commit, two.commit]
    assert (two.commit.parent, two.commit.candidate.base) == (one.commit.digest, one.commit.ref)
    assert one.commit.writer != two.commit.writer != ""


def test_the_same_again_is_reused(home: Home) -> None:
    one = home.publish("a")
    again = home.publish("a")
    assert (again.outcome, again.commit) == (Outcome.REUSED, one.commit)
    assert len(history(home)) == 1


def test_the_same_content_after_another_is_a_version_of_its_own(home: Home) -> None:
    made = [home.publish(content, cutoff=n).commit for n, content in enumerate("aba", 1)]
    assert history(home) == made
    assert contents(made[0]) == contents(made[2])


def test_what_a_gate_stopped_is_held_and_seen_by_nobody(home: Home) -> None:
    one = home.publish("a")
    held = home.publish("b", cutoff=2, receipts=stopped())
    assert held.outcome is Outcome.HELD
    assert home.reader.head(TABLE, DAY) == one.commit
    assert home.reader.held_candidates(TABLE, DAY) == [held.commit]
    assert held.commit.candidate.base == one.commit.ref
    home.reader.check_files(held.commit.candidate)


def test_what_is_held_again_as_it_was_stays_held_since_then(home: Home) -> None:
    before = home.publish("b", receipts=stopped()).commit
    staged = home.stage("b", run_id="another run")
    again = publish(home.store, home.reader, staged, stopped(), LATER)
    assert again == Publication(Outcome.HELD, before)
    other = publish(home.store, home.reader, home.stage("b"), stopped("contract"), LATER)
    assert other.commit.committed_at == LATER
    assert home.reader.held_candidates(TABLE, DAY) == [other.commit]


def test_a_damaged_held_candidate_is_replaced(home: Home) -> None:
    held = home.publish("b", receipts=stopped()).commit
    replace(home.store, held_key(TABLE, DAY, held.candidate.view_key), b"{")
    again = home.publish("b", receipts=stopped())
    assert home.reader.held_candidates(TABLE, DAY) == [again.commit]


def test_publishing_what_was_held_takes_it_off_the_list(home: Home) -> None:
    home.publish("b", receipts=stopped())
    assert home.publish("b").outcome is Outcome.PUBLISHED
    assert home.reader.held_candidates(TABLE, DAY) == []


def test_a_held_one_that_cannot_be_forgotten_takes_no_publication_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home.store
    held = home.publish("b", receipts=stopped()).commit

    def refuse(key: str) -> None:
        message = f"store object {key}: 403"
        raise StoreError(message, key=key)

    monkeypatch.setattr(store, "forget", refuse)
    done = publish(store, home.reader, home.stage("b"), passed(), NOON)
    assert done.outcome is Outcome.PUBLISHED
    assert home.reader.held_candidates(TABLE, DAY) == [held]


def test_a_cancel_after_the_commit_says_that_the_commit_came_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = home.store

    def cancel(_key: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "forget", cancel)
    with pytest.raises(KeyboardInterrupt) as stopped_by:
        publish(store, home.reader, home.stage("b"), passed(), NOON)
    assert stopped_by.value.__notes__ == ["The commit came before it: t[2020-01-01] version 1 is published."]
    assert len(history(home)) == 1


# ---- who came before -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True], ids=["", "by force"])
def test_a_late_writer_does_not_undo_a_newer_selection(home: Home, force: bool) -> None:
    late = home.stage("a", cutoff=1)
    newer = home.publish("b", cutoff=2)
    done = publish(home.store, home.reader, late, passed(), NOON, force=force)
    assert done == Publication(
        Outcome.SUPERSEDED, newer.commit, "version 1 was selected at sequence 2, later than this candidate's 1"
    )
    assert history(home) == [newer.commit]


def test_what_is_superseded_leaves_no_segment_behind(home: Home) -> None:
    home.publish("b", cutoff=2)
    late = home.stage("a", cutoff=1)
    publish(home.store, home.reader, late, passed(), NOON)
    (entry,) = late.candidate.segments
    assert not home.store.exists(segment_prefix(TABLE, entry.view_key, entry.content))


def test_a_late_writer_does_not_undo_a_newer_contract(home: Home) -> None:
    one = home.publish("a", contract="A")
    base = home.reader.standing(TABLE, DAY)
    two = home.publish("b", contract="B")
    assert (one.commit.revision, two.commit.revision) == (1, 2)
    late = home.publish("c", contract="A", cutoff=9, base=base)
    assert (late.outcome, late.commit) == (Outcome.SUPERSEDED, two.commit)
    assert late.reason == "version 2 was made under a newer contract (B)"


def test_a_contract_that_returns_is_a_newer_one(home: Home) -> None:
    made = [home.publish("a", contract=contract).commit.revision for contract in "ABA"]
    assert made == [1, 2, 3]


def test_a_writer_that_began_before_a_release_does_not_undo_it(home: Home) -> None:
    base = home.reader.standing(TABLE, DAY)
    held = home.publish("b", receipts=stopped()).commit
    released = held.model_copy(
        update={"kind": "release", "waiver": Waiver(actor="ana", reason="closed", waived_at=NOON)}
    )
    assert home.store.put_if_absent(f"tables/{TABLE}/commits/{DAY}/00000001.json", released.to_bytes())
    late = home.publish("a", base=base)
    assert (late.outcome, late.reason) == (Outcome.SUPERSEDED, "version 1 was released by ana meanwhile")
    assert home.publish("a").outcome is Outcome.PUBLISHED, "who began after it knows of it"


def test_what_was_let_through_is_reused_though_the_gate_stops_it_still(home: Home) -> None:
    held = home.publish("b", receipts=stopped()).commit
    waiver = Waiver(actor="ana", reason="closed", waived_at=NOON)
    released = held.model_copy(update={"kind": "release", "waiver": waiver})
    home.store.put_if_absent(f"tables/{TABLE}/commits/{DAY}/00000001.json", released.to_bytes())
    again = home.publish("b", receipts=stopped())
    assert (again.outcome, again.commit) == (Outcome.REUSED, released)
    assert home.publish("b", receipts=stopped("contract")).outcome is Outcome.HELD, "that was never let through"


def test_replace_follows_whatever_came_first(home: Home) -> None:
    base = home.reader.standing(TABLE, DAY)
    first = home.publish("a")
    done = home.publish("b", base=base)
    assert (done.outcome, done.commit.number, done.commit.parent) == (Outcome.PUBLISHED, 2, first.commit.digest)
    assert done.commit.candidate.base is None, "it was built when nothing was published"


def test_error_lets_no_second_version_through(home: Home) -> None:
    one = home.publish("a", sink_mode="error")
    assert home.publish("a", sink_mode="error").outcome is Outcome.REUSED
    with pytest.raises(CommitError, match="its contract's sink mode is `error`: nothing was changed") as refused:
        home.publish("b", sink_mode="error", cutoff=2)
    assert refused.value.evidence["number"] == 1
    assert "Set sinkMode to `replace`" in str(refused.value)
    assert history(home) == [one.commit]


# ---- append: made and judged anew on each head -----------------------------------------------------------------------


def folders_of(staged: StagedVersion) -> dict[Digest, Path]:
    return {content: place.path for content, place in staged.places.items() if isinstance(place, StagedFolder)}


def appending(
    home: Home, content: str, *, judge: Callable[[StagedVersion], tuple[GateReceipt, ...]] = lambda _: passed()
) -> tuple[Publication, list[int | None]]:
    """Append content as an asset's table is; and for which heads it was made."""
    own = home.stage(content)
    asked: list[int | None] = []

    def judged_on(head: Commit | None) -> Judged:
        asked.append(head.number if head else None)
        before = head.candidate.segments if head else ()
        entries = {entry.content: entry for entry in (*before, *own.candidate.segments)}
        places: dict[Digest, SegmentPlace] = {
            content: home.reader.segment_place(TABLE, entry) for content, entry in entries.items()
        }
        places |= {content: StagedFolder(p) for content, p in folders_of(own).items() if p.exists()}
        whole = candidate(segments=tuple(entries.values()), view_key=own.candidate.view_key)
        staged = StagedVersion(whole, places, Contract("append"))
        return Judged.on(head, staged, judge(staged))

    return publish_on_head(home.store, home.reader, TABLE, DAY, judged_on, NOON), asked


def test_append_is_the_union_with_the_head_each_content_once(home: Home) -> None:
    one, two, again = (appending(home, content)[0] for content in ("a", "b", "a"))
    assert [p.outcome for p in (one, two)] == [Outcome.PUBLISHED, Outcome.PUBLISHED]
    assert contents(two.commit)[:1] == contents(one.commit)
    assert set(contents(again.commit)) == set(contents(two.commit))
    assert len(contents(two.commit)) == 2


def test_append_is_judged_again_when_another_comes_first(home: Home) -> None:
    judged: list[int] = []

    def judge(staged: StagedVersion) -> tuple[GateReceipt, ...]:
        if not judged:
            judged.append(0)
            appending(home, "rival")
        judged.append(len(staged.candidate.segments))
        return passed()

    done, asked = appending(home, "mine", judge=judge)
    assert done.outcome is Outcome.PUBLISHED
    assert (asked, judged) == ([None, 1], [0, 1, 2])
    assert done.commit.candidate.base == history(home)[0].ref
    assert len(contents(done.commit)) == 2
    home.reader.check_files(done.commit.candidate)


def test_an_append_that_no_longer_passes_beside_what_came_first_is_held(home: Home) -> None:
    begun: list[bool] = []

    def judge(staged: StagedVersion) -> tuple[GateReceipt, ...]:
        if not begun:
            begun.append(True)
            appending(home, "rival")
        return passed() if len(staged.candidate.segments) == 1 else stopped()

    done, _ = appending(home, "mine", judge=judge)
    assert done.outcome is Outcome.HELD
    assert done.commit.candidate.base == history(home)[0].ref
    assert len(history(home)) == 1


# ---- a store that does not answer ------------------------------------------------------------------------------------


def unanswering(home: Home, *fates: Fate) -> tuple[UnansweringStore, TableReader]:
    store = UnansweringStore(home.store, *fates)
    return store, TableReader(store.as_store, home.catalogue)


@pytest.mark.parametrize(
    ("fates", "number"),
    [
        pytest.param([Fate.ARRIVES], 1, id="it arrived"),
        pytest.param([Fate.LOST], 2, id="lost"),
        pytest.param([Fate.LATE], 2, id="late"),
        pytest.param([Fate.LOST, Fate.ANSWERED, Fate.ARRIVES], 2, id="lost, then the next one arrived"),
        pytest.param([Fate.LOST, Fate.ANSWERED, Fate.LOST], 3, id="lost twice"),
    ],
)
def test_a_commit_that_is_not_answered_is_settled_and_tried_again(home: Home, fates: list[Fate], number: int) -> None:
    store, reader = unanswering(home, *fates)
    done = publish(store.as_store, reader, home.stage("a"), passed(), NOON)
    store.arrive()
    assert (done.outcome, done.commit.number) == (Outcome.PUBLISHED, number)
    assert home.reader.head(TABLE, DAY) == done.commit
    voids = [link for link in home.reader.chain(TABLE, DAY).links() if isinstance(link, EmptyLink)]
    assert [link.number for link in reversed(voids)] == list(range(1, number))


def test_a_store_that_never_answers_is_given_up_on_and_nothing_is_published(home: Home) -> None:
    one = home.publish("a")
    store, reader = unanswering(home, *[Fate.LOST, Fate.ANSWERED] * 3)
    with pytest.raises(StoreError, match="the store answered none of 3 attempts, and each was made void") as refused:
        publish(store.as_store, reader, home.stage("b", cutoff=2), passed(), NOON)
    assert not isinstance(refused.value, UnansweredError)
    assert home.reader.head(TABLE, DAY) == one.commit
    assert home.publish("b", cutoff=2).commit.number == 5, "a plain rerun goes on above the void numbers"


def test_an_unknown_outcome_leaves_everything_in_place_and_a_rerun_finishes(home: Home) -> None:
    store, reader = unanswering(home, Fate.LATE, Fate.LOST)
    staged = home.stage("a")
    with pytest.raises(UnansweredError, match="whether it was published is unknown"):
        publish(store.as_store, reader, staged, passed(), NOON)
    home.reader.check_files(staged.candidate)
    store.arrive()
    assert home.publish("a").outcome is Outcome.REUSED


# ---- where segments lie ----------------------------------------------------------------------------------------------


def doom(home: Home, number: int, *names: str) -> None:
    objects = tuple(DoomedObject(name=name, size_bytes=1, why="nothing names it") for name in names)
    assert home.store.put_if_absent(list_key(number), DoomedList(number=number, objects=objects).to_bytes())


def place(staged: StagedVersion) -> str:
    (entry,) = staged.candidate.segments
    return segment_prefix(TABLE, entry.view_key, entry.content)


def copies(home: Home, staged: StagedVersion) -> list[str]:
    (entry,) = staged.candidate.segments
    return [n.removeprefix(hex_of(entry.content)) for n in home.store.keys(segment_prefix(TABLE, entry.view_key))]


def test_a_damaged_segment_is_put_aside_and_replaced(home: Home) -> None:
    staged = home.stage("a")
    home.publish("a")
    replace(home.store, f"{place(staged)}/valid.parquet", b"b")
    with pytest.raises(StoreError, match="expected blake3:"):
        home.reader.check_files(staged.candidate)
    assert home.publish("a").outcome is Outcome.REUSED
    home.reader.check_files(staged.candidate)
    assert home.store.keys("damaged") != []


def test_a_segment_is_not_put_where_something_will_be_removed(home: Home) -> None:
    staged = home.stage("a")
    doom(home, 1, place(staged), f"{place(staged)}.1")
    commit = home.publish("a").commit
    assert copies(home, staged) == [".2"]
    home.reader.check_files(commit.candidate)
    assert home.reader.open(TABLE, DAY).valid[0].endswith(".2/valid.parquet")


def test_a_segment_that_is_doomed_is_not_relied_on_but_copied(home: Home) -> None:
    staged = home.stage("a")
    home.publish("a")
    home.publish("b", cutoff=2)
    doom(home, 1, place(staged))
    third = StagedVersion(
        staged.candidate.model_copy(update={"cutoff": 3}),
        {staged.candidate.segments[0].content: StoredFolder(home.store, place(staged))},
    )
    assert publish(home.store, home.reader, third, passed(), NOON).outcome is Outcome.PUBLISHED
    assert copies(home, staged) == ["", ".1"]
    assert list(home.store.scratch.iterdir()) == []


@pytest.mark.parametrize("receipts", [passed(), stopped()], ids=["published", "held"])
def test_a_segment_that_is_doomed_right_before_it_is_named_is_copied(
    home: Home, receipts: tuple[GateReceipt, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = home.stage("a")
    store, adopt = home.store, home.store.adopt_folder

    def adopt_and_list(prefix: str, folder: Path) -> bool:
        adopted = adopt(prefix, folder)
        if prefix == place(staged):
            doom(home, 1, prefix)
        return adopted

    monkeypatch.setattr(store, "adopt_folder", adopt_and_list)
    done = publish(store, home.reader, staged, receipts, NOON)
    assert copies(home, staged) == ["", ".1"]
    remove_all(home.store, place(staged))  # the collector comes
    home.reader.check_files(done.commit.candidate)


def test_a_copy_that_lies_in_a_later_generation_is_relied_on_where_it_lies(home: Home) -> None:
    staged = home.stage("a")
    doom(home, 1, place(staged))
    home.publish("a")
    home.store.forget(list_key(1))
    home.publish("b", cutoff=2)
    lies = StoredFolder(home.store, f"{place(staged)}.1")
    third = StagedVersion(
        staged.candidate.model_copy(update={"cutoff": 3}), {staged.candidate.segments[0].content: lies}
    )
    assert publish(home.store, home.reader, third, passed(), NOON).outcome is Outcome.PUBLISHED
    assert copies(home, staged) == [".1"]
