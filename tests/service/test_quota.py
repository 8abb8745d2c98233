"""A namespace's quota of bytes, nearly used up, while many send to it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from tests.service.conftest import Made, Person, Service, made_elsewhere
from tests.service.processes import Process
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace, set_namespace
from vectorstore.canonical import digest
from vectorstore.store import Store

TOGETHER = 12


def kept(store: Store) -> int:
    """Count what the library keeps for the namespace: its versions' blobs and what it was sent, each digest once."""
    saved = "SELECT DISTINCT b.digest, b.size FROM version_blobs b JOIN versions v ON v.id = b.version_id"
    with store.database.look() as connection:
        sizes = dict(connection.execute(text(saved)).all()) | dict(
            connection.execute(text("SELECT digest, size FROM uploads WHERE finished")).all()
        )
        parts = connection.scalar(text("SELECT sum(size) FROM uploads WHERE NOT finished")) or 0
    return sum(sizes.values()) + int(parts)


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same moment, and return the answers."""
    ready = Barrier(len(work))

    def one(do: Callable[[], Any]) -> Any:
        ready.wait()
        return do()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


def left(answer: Any) -> int:
    """Return what a refusal says is left."""
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text
    said = re.search(r"team has (\d+) of its (\d+) bytes left", answer.json()["detail"])
    assert said, answer.text
    return int(said[1])


@pytest.fixture
def wendy(service: Service) -> Person:
    service.namespace("team")
    return service.person("wendy", team="writer")


def limit(service: Service, most: int | None) -> None:
    assert service.admin.ask("PATCH", "/v1/namespaces/team", json={"max_bytes": most}).status_code == 200


def sent(person: Person, seed: int, *, whole: bool = True) -> Any:
    data = bytes([seed]) * 1000
    content: Any = data if whole else iter([data])  # without a length, nobody knows beforehand how much comes
    return person.put(f"/v1/team/blobs/{digest(data)}", content=content)


@pytest.mark.parametrize("whole", [True, False])
def test_of_many_who_send_at_once_only_so_many_do_as_there_is_room_for(service: Service, wendy: Person, *, whole: bool):
    limit(service, 3500)
    answers = at_once(*(lambda seed=seed: sent(wendy, seed, whole=whole) for seed in range(TOGETHER)))
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == TOGETHER - 3
    assert {left(answer) for answer in refused} <= {500, 1500, 2500}
    assert kept(service.store) == 3000


def test_of_many_who_begin_an_upload_at_once_only_so_many_do_as_there_is_room_for(service: Service, wendy: Person):
    limit(service, 3500)
    wanted = [{"digest": digest(bytes([seed])), "size": 1000} for seed in range(TOGETHER)]
    answers = at_once(*(lambda each=each: wendy.post("/v1/team/uploads", json=each) for each in wanted))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * (TOGETHER - 3)
    assert kept(service.store) == 3000


def test_the_same_bytes_again_need_no_room_and_parts_of_known_bytes_do(service: Service, wendy: Person):
    limit(service, 1500)
    assert [sent(wendy, 1).status_code for _ in range(3)] == [201] * 3
    assert left(sent(wendy, 2)) == 500
    known = digest(bytes([1]) * 1000)  # its parts would be kept beside it until they are joined
    assert left(wendy.post("/v1/team/uploads", json={"digest": known, "size": 1000})) == 500


def test_a_blob_that_another_version_has_needs_no_room(service: Service, wendy: Person, tmp_path: Path):
    made = made_elsewhere(tmp_path)
    other = made_elsewhere(tmp_path, description="the same vector under another manifest")
    assert made.digest != other.digest
    assert set(made.blobs) == set(other.blobs)
    limit(service, sum(map(len, made.blobs.values())))
    for each in (made, other):
        assert whole(wendy, each, "love").status_code == 201


def whole(person: Person, made: Made, name: str) -> Any:
    """Send a manifest with its blobs after it."""
    body = made.manifest + b"".join(made.blobs.values())
    headers = {"Manifest-Size": str(len(made.manifest))}
    return person.put(f"/v1/team/vectors/{name}/versions/{made.digest}", content=body, headers=headers)


def test_what_comes_whole_has_room_only_beside_what_was_sent(service: Service, wendy: Person, tmp_path: Path):
    every = [made_elsewhere(tmp_path, seed=seed) for seed in range(TOGETHER)]
    size = sum(map(len, every[0].blobs.values()))
    limit(service, 3 * size + 1000)
    assert sent(wendy, 1).status_code == 201
    work = [lambda made=made, at=at: whole(wendy, made, f"love-{at}") for at, made in enumerate(every)]
    answers = at_once(*work)
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * (TOGETHER - 3)
    assert {left(answer) for answer in answers if answer.status_code == 409} == {0}
    assert kept(service.store) == 3 * size + 1000


@pytest.fixture
def two_processes(library_url: str, blobs_folder: Path, tmp_path: Path) -> Iterator[tuple[Store, list[Process], str]]:
    settings = {"STEER_DATABASE_URL": library_url, "STEER_BLOBS_URL": str(blobs_folder)}
    with Store.open(library_url, blobs=str(blobs_folder)) as store:
        token = make_admin(store)
        add_namespace(store, "team", owner="admin")
        with Process(tmp_path / "one", **settings) as one, Process(tmp_path / "two", **settings) as two:
            yield store, [one, two], str(token)


def test_two_processes_together_keep_no_more_than_the_quota_allows(
    two_processes: tuple[Store, list[Process], str], tmp_path: Path
):
    """Half of the work sends blobs and then manifests, and half sends whole versions; nobody gets another answer."""
    store, processes, token = two_processes
    every = [made_elsewhere(tmp_path, seed=seed) for seed in range(TOGETHER)]
    size = sum(map(len, every[0].blobs.values()))
    most = 4 * size + size // 2
    set_namespace(store, "team", {"max_bytes": most})
    headers = {"Authorization": f"Bearer {token}"}

    def work(at: int) -> list[Any]:
        url, made = processes[at // 2 % 2].url, every[at]
        with httpx2.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            person = Person(client, None)  # type: ignore[arg-type] - it asks as the test's client does
            if at % 2:
                return [whole(person, made, f"love-{at}")]
            answers = [person.put(f"/v1/team/blobs/{name}", content=data) for name, data in made.blobs.items()]
            path = f"/v1/team/vectors/love-{at}/versions/{made.digest}"
            return [*answers, person.put(path, content=made.manifest)]

    answers = list(chain(*at_once(*(lambda at=at: work(at) for at in range(TOGETHER)))))
    assert {answer.status_code for answer in answers} == {201, 409}
    assert kept(store) == 4 * size
    assert len(store.list("team").versions) == 4
    for answer in answers:
        if answer.status_code == 409 and "was not sent" not in answer.text:  # the manifest of refused bytes
            assert left(answer) < most
