"""The settings of a run: one frozen object, read once from TOML and then from `MEDVIZ_*`."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medviz.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a site may set. Each has a sentence in docs/settings.md."""

    home: Path
    models: Path
    seed: int = 1
    threads: int = 2
    language_threads: int = 1
    profile: str = "surgical-planning"
    segmenter: str = "head"
    narrator: str = "embedded"
    voice: str = "hibari"
    frames_per_second: int = 24
    captions_burnt_in: bool = True
    most_unpacked_gb: float = 20.0
    guests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.threads < 1 or self.language_threads < 1:
            raise BadInput("threads must be at least 1.", reason="SETTING_INVALID")
        if not 12 <= self.frames_per_second <= 60:
            raise BadInput("frames_per_second must lie between 12 and 60.", reason="SETTING_INVALID")


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings: defaults, then the TOML file named by `MEDVIZ_SETTINGS`, then `MEDVIZ_*`.

    Raises
    ------
    BadInput
        If a setting is unknown or has the wrong type.
    """
    env = os.environ if environment is None else environment
    home = Path(env.get("MEDVIZ_HOME", "~/.local/share/medviz")).expanduser()
    values: dict[str, object] = {"home": home, "models": home / "models"}
    values |= _from_file(Path(env["MEDVIZ_SETTINGS"]) if "MEDVIZ_SETTINGS" in env else home / "settings.toml")
    values |= _from_environment(env)
    return Settings(**{name: _typed(name, value) for name, value in values.items()})  # type: ignore[arg-type]


def _fields() -> dict[str, str]:
    return {field.name: str(field.type) for field in dataclasses.fields(Settings)}


def _from_file(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"The settings file is not valid TOML: {error}.", reason="SETTING_INVALID") from None
    unknown = sorted(set(values) - set(_fields()))
    if unknown:
        raise BadInput(
            f"Unknown setting: {', '.join(unknown)}.",
            reason="SETTING_UNKNOWN",
            mend="See docs/settings.md for the names.",
        )
    return values


def _from_environment(env: Mapping[str, str]) -> dict[str, object]:
    return {name: env[key] for name in _fields() if (key := f"MEDVIZ_{name.upper()}") in env}


def _typed(name: str, value: object) -> object:
    kind = _fields()[name]
    try:
        if kind == "Path":
            return Path(str(value)).expanduser()
        if kind == "int":
            return int(str(value))
        if kind == "float":
            return float(str(value))
        if kind == "bool":
            return str(value).lower() in ("1", "true", "yes", "on")
    except ValueError:
        raise BadInput(f"Setting {name} needs a number.", reason="SETTING_INVALID") from None
    if kind.startswith("tuple"):
        return tuple(value) if isinstance(value, list) else tuple(str(value).split())
    return str(value)
