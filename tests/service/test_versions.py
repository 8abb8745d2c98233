"""Saving, showing, listing and changing versions over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.builders import make_card, make_vector
from tests.service.conftest import Made, Service, made_elsewhere, push, serving
from vectorstore.compose.pins import pin
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check


def test_a_pushed_version_is_shown_with_its_digest_and_its_bytes_come_back(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, reader = service.person("wendy", team="writer"), service.person("rita", team="reader")
    made = made_elsewhere(tmp_path, labels={"topic": "weddings"})
    saved = push(writer, made, "team/vectors/love")
    assert saved.status_code == 201
    assert (saved.json()["digest"], saved.json()["reference"]) == (made.digest, "team/love@1")
    shown = reader.get("/v1/team/vectors/love/versions/1")
    assert shown.json()["labels"] == {"topic": "weddings"}
    assert shown.json()["pins"] == []
    manifest = reader.get(f"/v1/team/vectors/love/versions/{made.digest}/manifest")
    assert manifest.content == made.manifest
    assert manifest.headers["content-type"] == MANIFEST_TYPE
    assert manifest.headers["etag"] == f'"{made.digest}"'
    for name, data in made.blobs.items():
        assert reader.get(f"/v1/team/blobs/{name}").content == data


def test_pushing_the_same_version_again_finds_it_there(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    assert push(writer, made, "team/vectors/love").status_code == 201
    again = push(writer, made, "team/vectors/love")
    assert again.status_code == 200
    assert again.json()["number"] == 1


def test_the_store_says_who_did_it_and_with_which_token(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    push(writer, made_elsewhere(tmp_path), "team/vectors/love")
    event = writer.get("/v1/team/events").json()["events"][-1]
    assert (event["action"], event["actor"], event["subject"]) == ("version.save", "wendy", "team/love@1")
    assert writer.token is not None
    assert event["token"] == writer.token.split("_")[1]
    assert writer.token not in str(event)


def test_a_version_whose_blobs_were_not_sent_is_refused(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    refused = writer.put(f"/v1/team/vectors/love/versions/{made.digest}", content=made.manifest)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert next(iter(made.blobs)) in refused.json()["detail"]
    assert service.admin.get("/v1/team/vectors").json() == {"versions": [], "cursor": None}


def at_once(made: Made, **spoilt: bytes) -> dict[str, object]:
    """Return the request that saves a version with its blobs in one body."""
    body = made.manifest + b"".join(made.blobs.values()) + spoilt.get("more", b"")
    return {"content": spoilt.get("body", body), "headers": {"Manifest-Size": str(len(made.manifest))}}


def test_a_small_version_comes_with_its_blobs_in_one_body(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    path = f"/v1/team/vectors/love/versions/{made.digest}"
    saved = writer.put(path, **at_once(made))
    assert (saved.status_code, saved.json()["digest"]) == (201, made.digest)
    assert service.store.read("team/love")[0] == make_vector(seed=0)
    assert check(service.store, full=True).ok
    assert writer.put(path, **at_once(made)).status_code == 200


def test_bytes_that_follow_a_manifest_are_those_that_it_names_or_nothing_is_kept(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    path = f"/v1/team/vectors/love/versions/{made.digest}"
    whole = made.manifest + b"".join(made.blobs.values())
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for spoilt in ({"more": b"x"}, {"body": whole[:-1]}, {"body": flipped}):
        refused = writer.put(path, **at_once(made, **spoilt))
        assert (refused.status_code, refused.json()["code"]) == (422, "integrity"), spoilt
    assert writer.get("/v1/team/vectors").json()["versions"] == []
    assert not any(service.store.blobs.exists(name) for name in made.blobs)


def test_what_has_to_be_sent_is_told_for_many_blobs_at_once(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    (here,), other = made.blobs, f"sha256:{'0' * 64}"
    asked = {"digests": [here, other]}
    assert writer.post("/v1/team/absent", json=asked).json() == {"absent": [here, other]}
    assert push(writer, made, "team/vectors/love").status_code == 201
    assert writer.post("/v1/team/absent", json=asked).json() == {"absent": [other]}
    service.namespace("elsewhere")
    stranger = service.person("sue", elsewhere="writer")
    assert stranger.post("/v1/elsewhere/absent", json=asked).json() == {"absent": [here, other]}


def test_bytes_that_were_acknowledged_and_are_gone_are_asked_for_again(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    for name, data in made.blobs.items():
        assert writer.put(f"/v1/team/blobs/{name}", content=data).status_code == 201
        service.store.blobs.delete(name)
    path = f"/v1/team/vectors/love/versions/{made.digest}"
    assert writer.put(path, content=made.manifest).status_code == 409
    assert push(writer, made, "team/vectors/love").status_code == 201


def test_blobs_of_a_namespace_that_is_hidden_cannot_be_had_by_naming_them(service: Service, tmp_path: Path):
    service.namespace("hidden")
    service.namespace("team")
    made = made_elsewhere(tmp_path)
    push(service.person("sue", hidden="writer"), made, "hidden/vectors/love")
    thief = service.person("theo", team="writer")
    (blob,) = made.blobs
    for asked in (thief.get(f"/v1/hidden/blobs/{blob}"), thief.get(f"/v1/team/blobs/{blob}")):
        assert asked.status_code == 404
    stolen = thief.put(f"/v1/team/vectors/mine/versions/{made.digest}", content=made.manifest)
    assert stolen.status_code == 409  # as for bytes that nobody has
    assert push(thief, made, "team/vectors/mine").status_code == 201  # who has the bytes may save them


def test_a_recipe_cannot_pin_what_its_author_may_not_see(service: Service, tmp_path: Path):
    service.namespace("hidden")
    service.namespace("team")
    push(service.person("sue", hidden="writer"), made_elsewhere(tmp_path), "hidden/vectors/love")
    with Store.open(f"sqlite:///{tmp_path}/own.db", blobs=str(tmp_path / "own")) as own:
        vector = make_vector(seed=0)
        own.save("love", vector, make_card(vector))
        version = own.save_recipe("mood", pin(own, "2*love")).version
        (entry,) = version.blobs
        manifest, body = own.read_manifest(version), bytes(own.blobs.open(entry.digest, entry.size))
    thief = service.person("theo", team="writer")
    assert thief.put(f"/v1/team/blobs/{entry.digest}", content=body).status_code == 201
    refused = thief.put(f"/v1/team/recipes/mood/versions/{version.digest}", content=manifest)
    assert refused.status_code == 404
    assert "is not in this library" in refused.json()["detail"]


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data + b" ", lambda _data: b"{}"])
def test_a_manifest_that_is_not_what_was_announced_is_refused(service: Service, tmp_path: Path, spoil):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    push(writer, made, "team/vectors/other")
    refused = writer.put(f"/v1/team/vectors/love/versions/{made.digest}", content=spoil(made.manifest))
    assert (refused.status_code, refused.json()["code"]) == (422, "integrity")


def test_labels_presets_and_description_change_together_or_not_at_all(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    path = "/v1/team/vectors/love/versions/1"
    push(writer, made_elsewhere(tmp_path, labels={"topic": "weddings"}), "team/vectors/love")
    wanted = {"labels": {"topic": None, "tone": "warm"}, "presets": {"strong": "0.15r"}, "description": "Warm."}
    changed = writer.ask("PATCH", path, json=wanted).json()
    assert (changed["labels"], changed["description"]) == ({"tone": "warm"}, "Warm.")
    assert changed["presets"]["strong"]["coefficient"] == "0.15r"
    refused = writer.ask("PATCH", path, json={"description": "Cold.", "labels": {"nothing": None}})
    assert refused.status_code == 404
    assert writer.get(path).json()["description"] == "Warm."


def test_who_changes_what_somebody_else_changed_meanwhile_is_told(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    path = "/v1/team/vectors/love/versions/1"
    push(writer, made_elsewhere(tmp_path), "team/vectors/love")
    seen = writer.get(path).headers["etag"]
    changed = writer.ask("PATCH", path, json={"description": "First."}, headers={"If-Match": seen})
    assert changed.status_code == 200
    late = writer.ask("PATCH", path, json={"description": "Second."}, headers={"If-Match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition")
    assert writer.get(path, headers={"If-None-Match": changed.headers["etag"]}).status_code == 304
    assert writer.get(path, headers={"If-None-Match": seen}).json()["description"] == "First."


def test_yank_and_deprecation_say_why_to_those_who_look(service: Service, tmp_path: Path):
    service.namespace("team")
    keeper, reader = service.person("max", team="maintainer"), service.person("rita", team="reader")
    push(keeper, made_elsewhere(tmp_path), "team/vectors/love")
    path = "/v1/team/vectors/love/versions/1"
    assert keeper.post(f"{path}/deprecate", json={"reason": "use love@2"}).json()["deprecation"] == "use love@2"
    assert keeper.post(f"{path}/yank", json={"reason": "wrong layer"}).json()["yank_reason"] == "wrong layer"
    shown = reader.get(path).json()
    assert (shown["yanked"], shown["yank_reason"], shown["deprecation"]) == (True, "wrong layer", "use love@2")
    assert reader.get("/v1/team/vectors/love").status_code == 404
    assert keeper.post(f"{path}/restore").json()["yank_reason"] == ""
    assert keeper.post(f"{path}/undeprecate").json()["deprecation"] is None
    assert reader.get("/v1/team/vectors/love").json()["number"] == 1


def test_aliases_move_only_for_those_who_saw_where_they_were(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    for seed in (0, 1):
        push(writer, made_elsewhere(tmp_path, seed=seed), "team/vectors/love")
    path = "/v1/team/vectors/love/aliases/prod"
    first = writer.put(path, json={"version": "1"}, headers={"If-None-Match": "*"})
    assert (first.status_code, first.json()["number"]) == (200, 1)
    assert writer.put(path, json={"version": "2"}, headers={"If-None-Match": "*"}).status_code == 412
    assert writer.put(path, json={"version": "2"}, headers={"If-Match": '"other"'}).status_code == 412
    moved = writer.put(path, json={"version": "2"}, headers={"If-Match": first.headers["etag"]})
    assert moved.json()["number"] == 2
    assert writer.get("/v1/team/vectors/love/versions/prod").json()["number"] == 2
    assert writer.get("/v1/team/vectors/love/aliases").json()["aliases"][0]["alias"] == "prod"
    assert writer.ask("DELETE", path, headers={"If-Match": first.headers["etag"]}).status_code == 412
    assert writer.ask("DELETE", path).status_code == 204
    assert writer.get(path).status_code == 404


def test_lists_are_narrowed_sorted_and_paged(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    for seed, name in enumerate(("love", "calm", "joy")):
        push(writer, made_elsewhere(tmp_path, name, seed, labels={"n": str(seed)}), f"team/vectors/{name}")
    first = writer.get("/v1/team/vectors?sort=name&limit=2").json()
    assert [version["name"] for version in first["versions"]] == ["calm", "joy"]
    rest = writer.get(f"/v1/team/vectors?sort=name&limit=2&after={first['cursor']}").json()
    assert ([version["name"] for version in rest["versions"]], rest["cursor"]) == (["love"], None)
    assert [each["name"] for each in writer.get("/v1/team/vectors?label=n=1").json()["versions"]] == ["calm"]
    assert writer.get("/v1/team/recipes").json()["versions"] == []
    assert writer.get("/v1/team/recipes/love").status_code == 404
    assert writer.get("/v1/team/vectors?limit=0").json()["code"] == "invalid"


def test_references_are_looked_up_many_at_once_and_hidden_ones_are_not_there(service: Service, tmp_path: Path):
    service.namespace("team")
    service.namespace("hidden")
    push(service.person("sue", hidden="writer"), made_elsewhere(tmp_path), "hidden/vectors/love")
    writer = service.person("wendy", team="writer")
    push(writer, made_elsewhere(tmp_path), "team/vectors/love")
    asked = ["team/love", "hidden/love", "nowhere/love", "team/love@2", "2*team/love"]
    answers = writer.post("/v1/resolve", json={"references": asked}).json()["answers"]
    assert answers[0]["version"]["reference"] == "team/love@1"
    codes = [answer["problem"]["code"] for answer in answers[1:]]
    assert codes == ["not-found", "not-found", "not-found", "expression"]
    hidden, unknown = (answer["problem"]["detail"] for answer in answers[1:3])
    assert hidden.replace("hidden", "X") == unknown.replace("nowhere", "X")


def test_quotas_are_kept(service: Service, tmp_path: Path):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    assert service.admin.ask("PATCH", "/v1/namespaces/team", json={"max_versions": 1}).status_code == 200
    assert push(writer, made_elsewhere(tmp_path), "team/vectors/love").status_code == 201
    assert push(writer, made_elsewhere(tmp_path), "team/vectors/love").status_code == 200
    full = push(writer, made_elsewhere(tmp_path, seed=1), "team/vectors/love")
    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    service.admin.ask("PATCH", "/v1/namespaces/team", json={"max_versions": None, "max_bytes": 100})
    ((name, data),) = made_elsewhere(tmp_path, seed=2).blobs.items()
    assert writer.put(f"/v1/team/blobs/{name}", content=data).status_code == 409
    wanted = {"digest": name, "size": len(data)}
    assert writer.post("/v1/team/uploads", json=wanted).status_code == 409


@pytest.mark.parametrize("quota", ["max_versions", "max_bytes"])
def test_of_many_who_save_at_once_only_so_many_do_as_a_quota_has_room_for(service: Service, tmp_path: Path, quota: str):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    every = [made_elsewhere(tmp_path, seed=seed) for seed in range(8)]
    for made in every:
        for name, data in made.blobs.items():
            assert writer.put(f"/v1/team/blobs/{name}", content=data).status_code == 201
    size = sum(map(len, every[0].blobs.values()))
    most = {"max_versions": 2, "max_bytes": 2 * size}[quota]
    assert service.admin.ask("PATCH", "/v1/namespaces/team", json={quota: most}).status_code == 200
    ready = Barrier(len(every))

    def save(at: int) -> int:
        ready.wait()
        path = f"/v1/team/vectors/love-{at}/versions/{every[at].digest}"
        return int(writer.put(path, content=every[at].manifest).status_code)

    with ThreadPoolExecutor(len(every)) as pool:
        codes = sorted(pool.map(save, range(len(every))))
    assert codes == [201] * 2 + [409] * 6
    assert len(service.store.list("team").versions) == 2


def test_a_conflict_names_only_versions_that_one_may_see(service: Service, tmp_path: Path):
    for namespace in ("team", "hidden"):
        service.namespace(namespace)
    keeper = service.person("max", team="maintainer")
    push(keeper, made_elsewhere(tmp_path), "team/vectors/love")
    path = "/v1/team/vectors/love/versions/1"
    service.store.save_recipe("hidden/secret", pin(service.store, "2*team/love@1"))
    assert keeper.ask("DELETE", path).json()["detail"] == "team/love@1 is needed by 1 that you cannot see"
    service.store.save_recipe("team/mix", pin(service.store, "3*team/love@1"))
    service.store.save_recipe("hidden/other", pin(service.store, "4*team/love@1"))
    refused = keeper.ask("DELETE", path)
    assert refused.status_code == 409
    assert refused.json()["detail"] == "team/love@1 is needed by team/mix@1, 2 more that you cannot see"
    assert "hidden/secret@1" in service.admin.ask("DELETE", path).json()["detail"]


def test_no_request_takes_a_second_connection_to_the_database(library_url: str, blobs_folder: Path, tmp_path: Path):
    with Store.open(library_url, blobs=str(blobs_folder), connections=1) as store, serving(store) as service:
        service.namespace("team")
        keeper = service.person("max", team="maintainer")
        assert push(keeper, made_elsewhere(tmp_path), "team/vectors/love").status_code == 201
        asked = keeper.post("/v1/resolve", json={"references": ["team/love", "team/love@1", "team/none"]})
        assert [answer.get("version", {}).get("reference") for answer in asked.json()["answers"]] == [
            "team/love@1",
            "team/love@1",
            None,
        ]
        path = "/v1/team/vectors/love"
        for shown in (
            path,
            f"{path}/versions",
            f"{path}/versions/1",
            "/v1/team/events",
            "/v1/namespaces",
            "/v1/tokens",
        ):
            assert keeper.get(shown).status_code == 200, shown
        assert keeper.put(f"{path}/aliases/prod", json={"version": "1"}).status_code == 200
        assert keeper.ask("DELETE", f"{path}/versions/1").status_code == 204


def test_a_deleted_version_is_gone_and_its_number_is_not_used_again(service: Service, tmp_path: Path):
    service.namespace("team")
    keeper = service.person("max", team="maintainer")
    made = made_elsewhere(tmp_path)
    push(keeper, made, "team/vectors/love")
    deleted = keeper.ask("DELETE", "/v1/team/vectors/love/versions/1", headers={"X-Reason": "leaked"})
    assert deleted.status_code == 204
    assert "deleted" in keeper.get("/v1/team/vectors/love/versions/1").json()["detail"]
    assert push(keeper, made_elsewhere(tmp_path, seed=1), "team/vectors/love").json()["number"] == 2
    (blob,) = made.blobs
    assert keeper.get(f"/v1/team/blobs/{blob}").status_code == 404


def test_a_child_is_no_way_to_learn_of_hidden_parents_or_to_keep_them(service: Service, tmp_path: Path):
    service.namespace("hidden")
    service.namespace("open", "public")
    service.namespace("team")
    owner, eve = service.person("sue", hidden="maintainer"), service.person("eve", team="writer")
    parent = made_elsewhere(tmp_path)
    push(owner, parent, "hidden/vectors/unheard")
    push(service.admin, parent, "open/vectors/love")
    with Store.open(f"sqlite:///{tmp_path}/eves.db", blobs=str(tmp_path / "eves")) as own:
        for seed, name, parents in ((0, "love", []), (1, "child", [parent.digest])):
            vector = make_vector(seed=seed)
            version = own.save(name, vector, make_card(vector), parents=parents).version
        child = Made(
            own.read_manifest(version),
            {blob.digest: bytes(own.blobs.open(blob.digest, blob.size)) for blob in version.blobs},
        )
    saved = push(eve, child, "team/vectors/child").json()
    assert saved["parents"] == [{"namespace": "open", "name": "love", "number": 1, "digest": parent.digest}]
    assert owner.ask("DELETE", "/v1/hidden/vectors/unheard/versions/1").status_code == 204
