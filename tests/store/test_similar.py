"""Similar: exactly the nearest directions, whatever happens to the library and to the cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, update

from tests.builders import make_card, make_identity, make_vector
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.place import Place
from vectorstore.recipe import Recipe, Term
from vectorstore.store import Store
from vectorstore.store.nearest import survey
from vectorstore.store.nearest.directions import DirectionsFolder
from vectorstore.store.nearest.similar import similar
from vectorstore.store.schema import EventRow, NamespaceRow
from vectorstore.vector import SteeringVector

PLACE = Place("resid_pre", 3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep directions where only this test looks."""
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(store: Store, name: str, vector: SteeringVector) -> SteeringVector:
    store.save(name, vector, make_card(vector))
    return vector


def fill(store: Store, numbers: Iterable[int]) -> dict[str, SteeringVector]:
    return {f"v{n}": save(store, f"v{n}", make_vector(seed=n)) for n in numbers}


def near(store: Store, reference: str = "v0", **narrowed: object) -> list[tuple[str, float]]:
    """Return references and cosines at the only place, without any note."""
    found = similar(store, reference, **narrowed)
    assert found.notes == ()
    (hood,) = found.places
    return [(neighbour.version.reference, round(neighbour.cosine, 6)) for neighbour in hood.neighbours]


def expected(vectors: dict[str, SteeringVector], asked: str = "v0") -> list[tuple[str, float]]:
    """Compare one by one; rows are kept in float32."""

    def unit(vector: SteeringVector) -> np.ndarray:
        direction = np.atleast_2d(vector.directions[PLACE].astype(np.float64)).sum(axis=0)
        return direction / np.linalg.norm(direction)

    query, others = unit(vectors[asked]), {name: vector for name, vector in vectors.items() if name != asked}
    cosines = [
        (f"{name}@1", float(unit(v).astype(np.float32).astype(np.float64) @ query)) for name, v in others.items()
    ]
    return [(name, round(cosine, 6)) for name, cosine in sorted(cosines, key=lambda found: -abs(found[1]))]


def files(cache: Path, pattern: str) -> list[Path]:
    return sorted(cache.glob(f"directions/**/{pattern}"))


def blob_path(store: Store, blobs_folder: Path, reference: str) -> Path:
    name = store.resolve(reference).blobs[0].digest[7:]
    return blobs_folder / "sha256" / name[:2] / name


def test_the_nearest_are_those_that_comparing_one_by_one_finds(store: Store):
    vectors = fill(store, range(40))
    assert near(store, limit=5) == expected(vectors)[:5]
    assert near(store, limit=1000) == expected(vectors)
    assert near(store, "v7", limit=1000) == expected(vectors, "v7")


def test_a_direction_with_a_row_per_token_counts_as_the_sum_of_its_rows(store: Store):
    vectors = fill(store, range(3))
    vectors["front"] = save(store, "front", make_vector(positions=4, seed=9))
    vectors["sum"] = save(store, "sum", SteeringVector({PLACE: vectors["front"].directions[PLACE].sum(axis=0) * 7}))
    assert near(store) == expected(vectors)
    assert near(store, "front")[0] == ("sum@1", 1.0)


def test_copies_rescaled_and_opposite_ones_are_told_apart(store: Store):
    vector = save(store, "v0", make_vector())
    save(store, "acme/copy", vector)
    save(store, "loud", vector * 3)
    save(store, "hate", vector * -2)
    save(store, "v0", make_vector(seed=5))
    (hood,) = similar(store, "v0@1").places
    said = {n.version.reference: (n.relation, n.same_blob, n.same_name) for n in hood.neighbours}
    assert said == {
        "acme/copy@1": ("same bytes", True, False),
        "loud@1": ("duplicate", False, False),
        "hate@1": ("opposite", False, False),
        "v0@2": ("", False, True),
    }
    norms = {n.version.reference: n.norm for n in hood.neighbours}
    assert norms["loud@1"] == pytest.approx(3 * hood.norm)
    assert {n.version.reference: n.cosine for n in hood.neighbours}["hate@1"] == pytest.approx(-1)


def test_of_equal_ones_the_newest_comes_first(store: Store):
    vector = save(store, "v0", make_vector())
    for name in ("b", "c", "a"):
        save(store, name, vector)
    assert [name for name, _ in near(store)] == ["a@1", "c@1", "b@1"]


def test_yanked_versions_show_as_such(store: Store):
    fill(store, range(2))
    store.yank("v1")
    (neighbour,) = similar(store, "v0@1").places[0].neighbours
    assert neighbour.version.yanked
    assert neighbour.to_json()["yanked"] is True


def test_only_the_same_model_place_and_width_is_compared(store: Store):
    fill(store, range(2))
    save(store, "layer", make_vector(2))
    save(store, "site", make_vector(site="mlp_out"))
    for name, model in (("tuned", make_identity(seed=1)), ("wide", make_identity(width=16))):
        vector = make_vector(width=model.d_model)
        store.save(name, vector, make_card(vector, model=model))
    assert [name for name, _ in near(store)] == ["v1@1"]
    assert similar(store, "wide").notes == ("nothing else of this model is at resid_pre.3: wide@1 is alone there",)


def test_each_place_has_its_own_answer_and_can_be_asked_for_alone(store: Store):
    vector = make_vector([2, 3, 4])
    save(store, "v0", vector)
    save(store, "at3", SteeringVector({Place("resid_pre", 3): vector.directions[Place("resid_pre", 3)]}))
    save(store, "at4", SteeringVector({Place("resid_pre", 4): -vector.directions[Place("resid_pre", 4)]}))
    found = similar(store, "v0")
    assert [str(hood.place) for hood in found.places] == ["resid_pre.2", "resid_pre.3", "resid_pre.4"]
    assert {(str(place), n.version.reference) for place, n in found.nearest(10)} == {
        ("resid_pre.3", "at3@1"),
        ("resid_pre.4", "at4@1"),
    }
    assert near(store, "v0[3]") == near(store, layer=3) == near(store, layer=3, site="resid_pre") == [("at3@1", 1.0)]
    assert [hood.place.layer for hood in similar(store, "v0[3..4]").places] == [3, 4]


@pytest.mark.parametrize(
    ("asked", "narrowed", "problem"),
    [
        ("v0", {"layer": 9}, "v0 has no direction there; it has resid_pre layer 3"),
        ("v0", {"site": "mlp_out"}, "v0 has no direction there"),
        ("v0", {"site": "brain"}, "there is no site 'brain'"),
        ("v0[5]", {}, "no direction at layer 5; this vector has layer 3"),
        ("v0:strong", {}, "'v0:strong' has a preset"),
        ("v0", {"limit": 0}, "0 neighbours; ask for 1 to 1000"),
        ("v0", {"limit": 1001}, "1001 neighbours"),
    ],
)
def test_what_cannot_be_asked_is_refused(store: Store, asked: str, narrowed: dict, problem: str):
    save(store, "v0", make_vector())
    with pytest.raises(InvalidInputError, match=problem.replace("[", r"\[")):
        similar(store, asked, **narrowed)


def test_a_recipe_has_no_directions(store: Store):
    save(store, "v0", make_vector())
    store.save_recipe("mix", Recipe("2*v0", (Term("v0", "default", "v0", store.resolve("v0").digest, "vector"),)))
    with pytest.raises(ConflictError, match=r"mix@1 is a recipe.*steer compose mix@1 --save NAME --as vector"):
        similar(store, "mix")
    with pytest.raises(NotFoundError, match="there is no 'mixx'; did you mean mix"):
        similar(store, "mixx")


def test_a_zero_direction_is_like_nothing(store: Store):
    fill(store, range(2))
    save(store, "zero", SteeringVector({PLACE: np.zeros(8, np.float32)}))
    save(store, "cancels", SteeringVector({PLACE: np.stack([np.ones(8), -np.ones(8)]).astype(np.float32)}))
    assert [name for name, _ in near(store)] == ["v1@1"]
    for name in ("zero", "cancels"):
        found = similar(store, name)
        assert found.notes == (f"{name}@1 is zero at resid_pre.3, and like nothing",)
        assert found.places[0].neighbours == ()


def test_huge_and_tiny_values_have_directions_too(store: Store):
    for name, size in (("v0", 1.0), ("huge", 1e150), ("tiny", 1e-200)):
        save(store, name, SteeringVector({PLACE: np.arange(8.0) * size}))
    assert near(store) == [("tiny@1", 1.0), ("huge@1", 1.0)]


def test_what_is_saved_later_is_found_and_nothing_is_read_twice(store: Store, blobs_folder: Path):
    vectors = fill(store, range(3))
    assert near(store) == expected(vectors)
    for name in ("v1", "v2"):
        blob_path(store, blobs_folder, name).unlink()
    vectors |= fill(store, range(3, 5))
    save(store, "acme/elsewhere", vectors["v0"])
    assert near(store) == [("acme/elsewhere@1", 1.0), *expected(vectors)]
    vectors["late"] = save(store, "late", make_vector(seed=99))
    assert near(store) == [("acme/elsewhere@1", 1.0), *expected(vectors)]


def test_changes_that_save_nothing_leave_the_rows_alone(store: Store, cache: Path):
    vectors = fill(store, range(3))
    assert near(store) == expected(vectors)
    rows = files(cache, "*.rows")
    store.set_label("v1", "topic", "joy")
    assert similar(store, "v0").places[0].neighbours
    labels = {n.version.reference: dict(n.version.labels) for n in similar(store, "v0").places[0].neighbours}
    assert labels == {"v1@1": {"topic": "joy"}, "v2@1": {}}
    assert files(cache, "*.rows") == rows


def test_many_saves_at_once_are_found(store: Store, monkeypatch: pytest.MonkeyPatch):
    vectors = fill(store, range(2))
    assert near(store) == expected(vectors)
    monkeypatch.setattr("vectorstore.store.nearest.news.MAX_EVENTS", 3)
    vectors |= fill(store, range(2, 9))
    assert near(store) == expected(vectors)


def test_directions_are_written_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(survey, "BATCH", 3 * 8 * 4)
    vectors = fill(store, range(11))
    assert near(store, limit=20) == expected(vectors)
    assert near(store, limit=20) == expected(vectors)


def test_deleted_versions_never_show_however_many_there_are(store: Store):
    vector = save(store, "v0", make_vector())
    for n in range(40):
        save(store, f"gone{n}", vector * (n + 2))
    save(store, "left", make_vector(seed=3))
    assert len(near(store, limit=100)) == 41
    for n in range(40):
        store.delete(f"gone{n}@1")
    assert [name for name, _ in near(store, limit=1)] == ["left@1"]


def test_a_library_that_was_rebuilt_without_events_is_looked_through_anew(store: Store):
    vectors = fill(store, range(3))
    assert near(store) == expected(vectors)
    vectors["v3"] = save(store, "v3", make_vector(seed=3))
    with store.database.write() as session:
        session.execute(delete(EventRow))
        session.execute(update(NamespaceRow).values(event_seq=0, event_hash=""))
    assert near(store) == expected(vectors)
    vectors["v4"] = save(store, "v4", make_vector(seed=4))
    assert near(store) == expected(vectors)


def test_a_library_that_was_restored_from_a_backup_is_looked_through_anew(store: Store):
    fill(store, range(2))
    with store.database.read() as session:
        backup = session.query(NamespaceRow.event_seq, NamespaceRow.event_hash).one()
    fill(store, range(2, 5))
    assert len(near(store)) == 4
    for n in range(2, 5):
        store.delete(f"v{n}@1")
    with store.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.seq > backup.event_seq))
        session.execute(update(NamespaceRow).values(event_seq=backup.event_seq, event_hash=backup.event_hash))
    assert [name for name, _ in near(store)] == ["v1@1"]
    others = {name: save(store, name, make_vector(seed=n)) for n, name in enumerate(("a", "b", "c", "d"), 10)}
    assert {name for name, _ in near(store)} == {"v1@1", *(f"{name}@1" for name in others)}


def test_missing_and_damaged_blobs_are_left_out_with_a_note_until_they_are_back(store: Store, blobs_folder: Path):
    vectors = fill(store, range(5))
    missing, short, wrong = (blob_path(store, blobs_folder, name) for name in ("v1", "v2", "v3"))
    kept = {path: path.read_bytes() for path in (missing, short, wrong)}
    for path in kept:
        path.chmod(0o644)
    missing.unlink()
    short.write_bytes(kept[short][:-5])
    wrong.write_bytes(b"\xff" * len(kept[wrong]))
    for _ in range(2):
        found = similar(store, "v0")
        assert found.notes == ("3 blobs are missing or damaged and left out; for which ones, see: steer fsck",)
        assert [n.version.reference for n in found.places[0].neighbours] == ["v4@1"]
    for path in (missing, short):
        path.write_bytes(kept[path])
    assert similar(store, "v0").notes[0].startswith("1 blob is missing or damaged")
    store.delete("v3@1")
    del vectors["v3"]
    assert near(store) == expected(vectors)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + 3] ^= 0x40
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rows cut": ("*.rows", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "rows empty": ("*.rows", lambda path: path.write_bytes(b"")),
    "rows gone": ("*.rows", lambda path: path.unlink()),
    "rows altered": ("*.rows", flip),
    "rows zero": ("*.rows", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "rows not numbers": ("*.rows", lambda path: path.write_bytes(b"\xff" * path.stat().st_size)),
    "index cut": ("index", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "index empty": ("index", lambda path: path.write_bytes(b"")),
    "index altered": ("index", flip),
    "index of something else": ("index", lambda path: path.write_bytes(b"{}\n" * 9)),
    "index gone": ("index", lambda path: path.unlink()),
    "all gone": ("index", lambda path: [other.unlink() for other in path.parent.iterdir()]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_again(store: Store, cache: Path, damage: str):
    vectors = fill(store, range(6))
    assert near(store) == expected(vectors)
    pattern, spoil = DAMAGE[damage]
    (path,) = files(cache, pattern)
    spoil(path)
    assert near(store) == expected(vectors)
    vectors |= fill(store, range(6, 8))
    assert near(store) == expected(vectors)
    assert len(files(cache, "*.rows")) == 1


def test_rows_that_a_killed_program_left_do_not_count(store: Store, cache: Path):
    vectors = fill(store, range(4))
    assert near(store) == expected(vectors)
    (path,) = files(cache, "index")
    folder = DirectionsFolder(path.parent, 8)
    index, rows = folder.read()
    folder.append(index, ["sha256:" + "0" * 64], rows[:1])
    with files(cache, "*.rows")[0].open("ab") as file:
        file.write(b"half")
    (path.parent / "index.new").write_bytes(b"half")
    assert near(store) == expected(vectors)
    vectors |= fill(store, range(4, 6))
    assert near(store) == expected(vectors)


@pytest.mark.parametrize("filled", [False, True])
def test_a_cache_that_cannot_be_written_is_done_without(store: Store, cache: Path, *, filled: bool):
    vectors = fill(store, range(4))
    if filled:
        assert near(store) == expected(vectors)
        (lock,) = files(cache, "lock")
        lock.unlink()
        lock.mkdir()
        vectors |= fill(store, range(4, 6))
    else:
        cache.write_text("a file, where a folder should be")
    for _ in range(2):
        found = similar(store, "v0")
        (note,) = found.notes
        assert note.startswith(f"nothing can be kept in {cache} (")
        cosines = [(n.version.reference, round(n.cosine, 6)) for n in found.places[0].neighbours]
        assert cosines == expected(vectors)


def test_libraries_do_not_share_a_cache(store: Store, cache: Path, tmp_path: Path):
    vectors = fill(store, range(3))
    assert near(store) == expected(vectors)
    with Store.open(f"sqlite:///{tmp_path}/other.db", blobs=str(tmp_path / "other")) as other:
        theirs = fill(other, (0, 7, 8))
        assert near(other) == expected(theirs)
    assert near(store) == expected(vectors)
    assert len(files(cache, "index")) == 2


def test_programs_that_search_and_save_at_once_all_get_right_answers(
    store: Store, library_url: str, blobs_folder: Path
):
    fill(store, range(30))
    program = """
import json, sys
from tests.store.test_similar import near, save
from tests.builders import make_vector
from vectorstore.store import Store
from vectorstore.store.nearest import survey
survey.BATCH = 96
number = int(sys.argv[3])
sys.stdin.readline()
with Store.open(sys.argv[1], blobs=sys.argv[2]) as store:
    for n in range(3):
        save(store, f"w{number}{n}", make_vector(seed=100 + 10 * number + n))
        found = near(store, limit=1000)
        assert len(found) >= 30 + n, found
        assert f"w{number}{n}@1" in dict(found)
print(json.dumps(found))
"""
    command = [sys.executable, "-c", program, library_url, str(blobs_folder)]
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen([*command, str(number)], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    vectors = {f"v{n}": make_vector(seed=n) for n in range(30)}
    vectors |= {f"w{k}{n}": make_vector(seed=100 + 10 * k + n) for k in range(3) for n in range(3)}
    assert near(store, limit=1000) == expected(vectors)
    for answer in found:
        assert set(map(tuple, answer)) <= set(expected(vectors))
