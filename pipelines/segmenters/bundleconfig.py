"""A MONAI bundle read as data: its configuration may name MONAI's parts, and can run no code.

A bundle's `inference.json` is a small programming language: strings that start with ``$`` are evaluated as
Python. A bundle is carried in from outside, so only what inference needs is read (network,
preprocessing, inferer), only MONAI's own classes may be named, and an expression may hold constants,
references, arithmetic and choices, but neither calls nor attributes.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medviz.core.errors import BadInput, WeightsMissing

SECTIONS = ("network_def", "preprocessing", "inferer")
_DEVICE_KEYS = ("device", "sw_device")
_REFERENCE = re.compile(r"@(?:#|::|\w)+")
_ALLOWED_NODES = (
    ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Name, ast.Load, ast.IfExp, ast.Compare,
    ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Subscript, ast.Slice,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
# read by this runner itself, instead of by MONAI's file readers and resamplers
_PLACING = (
    "LoadImage",
    "EnsureChannelFirst",
    "AddChannel",
    "EnsureType",
    "ToTensor",
    "Orientation",
    "Spacing",
)
_FILE_WRITERS = ("SaveImage", "WriteFile", "Lambda", "RandLambda")


@dataclass(frozen=True, slots=True, eq=False)
class BundleConfig:
    """What inference needs of a bundle.

    Parameters
    ----------
    name, version : str
        As `metadata.json` says.
    weights : Path
        The checkpoint.
    weights_sha256 : str
        The pinned hash; empty when the bundle pins none.
    channels : tuple of str
        What each output channel is.
    temperature : float
        Logits are divided by it before softmax (Guo et al., ICML 2017); 1 when the bundle states none.
    codes : str
        Orientation of the network's axes, such as ``RAS``.
    spacing_mm : tuple of float
        Spacing along those axes.
    config : mapping
        The checked part of the configuration, for MONAI's parser.
    address : str
        Where the weights can be had.
    """

    name: str
    version: str
    weights: Path
    weights_sha256: str
    channels: tuple[str, ...]
    temperature: float
    codes: str
    spacing_mm: tuple[float, float, float]
    config: Mapping[str, Any]
    address: str


def find_bundle(name: str, models: Path | None) -> Path:
    """Return the folder of a bundle: the one in the box, else the one in the models folder.

    Raises
    ------
    WeightsMissing
        If neither is there.
    """
    places = [Path(__file__).parent / "bundles" / name]
    if models is not None:
        places.append(models / name)
    for place in places:
        if (place / "configs" / "metadata.json").is_file():
            return place
    raise WeightsMissing(
        f"The bundle {name} is not on this machine.",
        mend=f"Carry its folder in with `medviz models import {name} PATH`.",
    )


def read_bundle(folder: Path, *, overrides: Mapping[str, object] | None = None) -> BundleConfig:
    """Return what inference needs of the bundle in `folder`.

    Parameters
    ----------
    overrides : mapping, optional
        Values put into the configuration first, such as ``{"displayable_configs#highres": False}``.

    Raises
    ------
    WeightsMissing
        If the bundle has no configuration (``BUNDLE_MISSING``).
    BadInput
        If the configuration would run code, names a class that is not MONAI's, or lacks a section.
    """
    metadata = _json(folder / "configs" / "metadata.json")
    whole = _json(folder / "configs" / "inference.json")
    for key, value in (overrides or {}).items():
        _set(whole, key, value)
    reduced = _needed(whole)
    _check(reduced)
    codes, spacing = _placing(reduced)
    reduced["preprocessing"] = _without_placing(reduced["preprocessing"])
    weights = metadata.get("weights") or {}
    path = str(weights.get("path", "models/model.pt"))
    return BundleConfig(
        name=str(metadata.get("name", folder.name)),
        version=str(metadata.get("version", "")),
        weights=_inside(folder, path),
        weights_sha256=str(
            weights.get("sha256") or metadata.get("weights_sha256") or _sidecar(folder / path)
        ),
        channels=_channels(metadata, reduced),
        temperature=float((metadata.get("calibration") or {}).get("temperature", 1.0)),
        codes=codes,
        spacing_mm=spacing,
        config=reduced,
        address=str(weights.get("address", "")),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsMissing(
            f"The bundle has no {path.name}.", reason="BUNDLE_MISSING", mend="Import the whole bundle folder."
        ) from None
    except ValueError:
        raise _refused(f"{path.name} is not valid JSON") from None
    if not isinstance(value, dict):
        raise _refused(f"{path.name} is not a JSON object")
    return value


def _refused(why: str) -> BadInput:
    return BadInput(
        f"The bundle cannot be used: {why}.",
        reason="BUNDLE_REFUSED",
        mend="Only bundles made of MONAI's own networks, transforms and inferers are run.",
    )


def _set(config: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split("#")
    for parent in parents:
        config = config[parent]
    config[last] = value


def _needed(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the sections for inference and whatever they refer to, without devices."""
    wanted, reduced = list(SECTIONS), {}
    while wanted:
        key = wanted.pop()
        if key in reduced:
            continue
        if key not in whole:
            raise _refused(f"its configuration has no {key}")
        reduced[key] = _plain(whole[key])
        for text in _texts(reduced[key]):
            wanted += [reference[1:].split("#")[0].split("::")[0] for reference in _REFERENCE.findall(text)]
    return reduced


def _plain(value: Any) -> Any:
    """Return a copy without what this runner decides itself: devices, dtypes, loading, and notes."""
    if isinstance(value, dict):
        if str(value.get("_target_", "")).split(".")[-1].rstrip("d") in (
            "EnsureType",
            "ToTensor",
            "LoadImage",
        ):
            return {"_target_": value["_target_"]}
        return {key: _plain(item) for key, item in value.items() if key not in _DEVICE_KEYS}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _check(value: Any) -> None:
    """Refuse whatever could run code."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "_target_":
                _check_target(item)
            elif key.startswith("_") and key != "_disabled_":
                raise _refused(f"it uses {key}")
            _check(item)
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, str) and value.startswith("$"):
        _check_expression(value[1:])
    elif isinstance(value, str) and "%" in value:
        raise _refused("it includes another file")


def _check_target(target: object) -> None:
    name = str(target)
    base = name.split(".")[-1].removesuffix("Dict").rstrip("dD")
    if "." in name and not name.startswith(("monai.networks.nets.", "monai.transforms.", "monai.inferers.")):
        raise _refused(f"it names {name}, which is not MONAI's")
    if base in _FILE_WRITERS:
        raise _refused(f"it uses {name} before inference")


def _check_expression(text: str) -> None:
    try:
        tree = ast.parse(_REFERENCE.sub("reference", text), mode="eval")
    except SyntaxError:
        raise _refused("it holds an expression that is not one") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED_NODES):
            raise _refused(f"it would run code ({type(node).__name__.lower()})")
        if isinstance(node, ast.Name) and node.id not in ("reference", "True", "False", "None"):
            raise _refused(f"it would read {node.id}")


def _transforms(preprocessing: Any) -> list[dict[str, Any]]:
    if not isinstance(preprocessing, dict) or not isinstance(preprocessing.get("transforms"), list):
        raise _refused("its preprocessing is not a Compose of transforms")
    return list(preprocessing["transforms"])


def _base(transform: dict[str, Any]) -> str:
    return str(transform.get("_target_", "")).split(".")[-1].removesuffix("Dict").rstrip("dD")


def _placing(reduced: dict[str, Any]) -> tuple[str, tuple[float, float, float]]:
    """Return axis codes and spacing that the preprocessing asks for."""
    found = {_base(transform): index for index, transform in enumerate(_transforms(reduced["preprocessing"]))}
    if "Spacing" not in found:
        raise _refused("its preprocessing sets no spacing")
    parsed = _resolved(reduced)
    codes = "RAS"
    if "Orientation" in found:
        codes = str(parsed(f"preprocessing#transforms#{found['Orientation']}#axcodes"))
    pixdim = parsed(f"preprocessing#transforms#{found['Spacing']}#pixdim")
    if not isinstance(pixdim, (list, tuple)) or len(pixdim) != 3 or min(pixdim) <= 0:
        raise _refused("its spacing is not three lengths above zero")
    return codes, (float(pixdim[0]), float(pixdim[1]), float(pixdim[2]))


def _resolved(reduced: dict[str, Any]) -> Any:
    """Return a function from an id of the checked configuration to its value."""
    from monai.bundle.config_parser import ConfigParser

    return ConfigParser(json.loads(json.dumps(reduced))).get_parsed_content


def _without_placing(preprocessing: Any) -> dict[str, Any]:
    kept = [transform for transform in _transforms(preprocessing) if _base(transform) not in _PLACING]
    return {**preprocessing, "transforms": kept}


def _channels(metadata: dict[str, Any], reduced: dict[str, Any]) -> tuple[str, ...]:
    outputs = (metadata.get("network_data_format") or {}).get("outputs") or {}
    names = (outputs.get("pred") or {}).get("channel_def") or {}
    count = _resolved(reduced)("network_def#out_channels")
    if not isinstance(count, int):
        raise _refused("its network_def states no out_channels")
    if sorted(names) != sorted(str(number) for number in range(count)):
        raise _refused(f"its metadata names {len(names)} channels and its network has {count}")
    return tuple(str(names[str(number)]) for number in range(count))


def _inside(folder: Path, relative: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise _refused("its weights lie outside its folder")
    return path


def _sidecar(weights: Path) -> str:
    """Return the hash that `NAME.sha256` beside the weights pins; empty when there is none."""
    beside = weights.with_name(f"{weights.name}.sha256")
    return beside.read_text(encoding="ascii").split()[0].lower() if beside.is_file() else ""
