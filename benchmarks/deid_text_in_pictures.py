"""Prints how much text burned into pictures is covered, by size and contrast, and how often clean ones hit.

Run ``python -m benchmarks.deid_text_in_pictures [FRAMES] [SEED]``. The pictures are made here: 1024 x 768
ultrasound fans with gamma speckle, lines of Latin and Chinese text from 8 to 36 px high and 30 to 255 grey
levels above what lies around them, some on tissue, some turned by 90 degrees, some dark on a bright field.
A line counts as covered when more than 70 % of its own box lies inside what was filled. The clean pictures
are CT-like, MR-like, ultrasound without text, and a colour Doppler box with its colour bar. Beside ours:
rapidocr once over the picture, and tesseract where its program is installed. Seeds below 1000 were used for
tuning; the default of 5000 was not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

ROWS, COLUMNS = 768, 1024
SIZES_PX = (8, 10, 12, 14, 18, 24, 36)
CONTRASTS = (30, 60, 90, 130, 180, 255)
_FONTS = Path("/usr/share/fonts/truetype")
_LATIN = (
    "liberation/LiberationSans-Regular.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "liberation/LiberationMono-Regular.ttf",
    "dejavu/DejaVuSans.ttf",
    "dejavu/DejaVuSansMono.ttf",
)
_CHINESE = "wqy/wqy-microhei.ttc"
_FAMILIES = (
    "Rumpelstein Zwirbelbart Quastenhausen Okonkwo Featherby Muller Hashimoto Delacroix Petrov Lindqvist"
)
_GIVEN = "Gundula Anselm Ottilie Chidi Marguerite Olaf Keiko Bertrand Svetlana Ingrid"
_HAN_NAMES = ("欧阳修远", "司马光华", "张伟明", "王秀英", "李建国", "陈思雨", "赵子龙飞", "周慧敏")
_HAN_PLACES = ("人民医院", "中心医院", "协和医院超声科", "第一附属医院")


class Line(NamedTuple):
    """One line of text in a picture: its box, its words, its letters' size and contrast, and its place."""

    top: int
    bottom: int
    left: int
    right: int
    text: str
    size_px: int
    contrast: int
    place: str


class Scene(NamedTuple):
    """A picture, shape (768, 1024, 3), and the text in it."""

    picture: Picture
    lines: tuple[Line, ...]


def fan(random: np.random.Generator, *, depth: float = 0.9) -> tuple[NDArray[np.float64], Mask]:
    """Return an ultrasound picture as grey values, shape (768, 1024), and where its tissue is."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS].astype(np.float64)
    down, across = rows - 30, columns - COLUMNS / 2
    radius, angle = np.hypot(down, across), np.arctan2(across, down)
    tissue = (radius > 60) & (radius < depth * ROWS) & (np.abs(angle) < 0.72)
    speckle = ndimage.gaussian_filter(random.gamma(1.6, 1.0, (ROWS, COLUMNS)), (0.8, 1.6))
    anatomy = ndimage.gaussian_filter(random.normal(size=(ROWS, COLUMNS)), 28)
    anatomy = 55 + 30 * anatomy / anatomy.std()
    for _ in range(3):
        row, column = random.integers(200, 600), random.integers(350, 680)
        radii = random.integers(20, 70, 2)
        vessel = ((rows - row) / radii[0]) ** 2 + ((columns - column) / radii[1]) ** 2 < 1
        anatomy[vessel] *= 0.15
    return np.where(tissue, np.clip(anatomy, 4, 190) * speckle / 1.6, 6.0), tissue


def with_furniture(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the picture with what every scanner draws: a grey bar, depth marks, a focus arrow."""
    grey = grey.copy()
    grey[120:380, 984:996] = np.linspace(255, 0, 260)[:, None]
    for step in range(15):
        row = 60 + step * 46
        grey[row : row + 2, 940 : 950 if step % 5 else 956] = 200
    for step in range(9):
        grey[405 + step - 4 : 405 - step + 5, 960 + step] = 220
    return grey


def text_of(random: np.random.Generator, *, is_chinese: bool) -> str:
    """Return a line as scanners print it: a name, a number, a date, a place, or some of them."""
    number, day = str(random.integers(10**5, 10**8)), f"{random.integers(1, 29):02d}"
    date = f"{random.integers(1930, 2024)}-{random.integers(1, 13):02d}-{day}"
    if is_chinese:
        name, place = random.choice(_HAN_NAMES), random.choice(_HAN_PLACES)
        return str(random.choice([name, place, f"姓名 {name}", f"{place} {date}", f"住院号 {number}"]))
    family, given = random.choice(_FAMILIES.split()), random.choice(_GIVEN.split())
    lines = (
        *(f"{family}, {given}", f"{family.upper()} {given.upper()}", f"ID: {number}", f"DOB {date}"),
        *(f"{given} {family} {number}", f"Klinikum {family}", date, f"{family}^{given}", f"Dr. {family}"),
    )
    return str(random.choice(lines))


def scene(seed: int, *, lines: int = 8) -> Scene:
    """Return an ultrasound picture with some lines of text that identify; the same seed, the same scene."""
    random = np.random.default_rng(seed)
    grey, tissue = fan(random)
    grey = with_furniture(grey)
    taken = np.zeros(grey.shape, dtype=np.bool_)
    found: list[Line] = []
    for index in range(lines):
        place = ("edge", "edge", "tissue", "edge", "turned", "bright", "edge", "tissue")[index % 8]
        drawn = _drawn(grey, tissue, taken, random, place)
        found += [drawn] if drawn else []
    shade = np.clip(grey, 0, 255).astype(np.uint8)
    return Scene(np.repeat(shade[..., None], 3, axis=2), tuple(found))


def _drawn(
    grey: NDArray[np.float64], tissue: Mask, taken: Mask, random: np.random.Generator, place: str
) -> Line | None:
    """Draw a line where there is room for it, and return it."""
    size, contrast = int(random.choice(SIZES_PX)), int(random.choice(CONTRASTS))
    is_chinese = bool(random.random() < 0.25)
    text = text_of(random, is_chinese=is_chinese)
    letters = _letters(text, size, _CHINESE if is_chinese else str(random.choice(_LATIN)))
    if place == "turned":
        letters = np.rot90(letters, random.choice([1, 3]))
    rows, columns = letters.shape
    if rows > ROWS - 16 or columns > COLUMNS - 16:
        return None
    for _ in range(400):
        top, left = random.integers(4, ROWS - rows - 4), random.integers(4, COLUMNS - columns - 4)
        spot = np.s_[top - 4 : top + rows + 4, left - 4 : left + columns + 4]
        share = tissue[spot].mean()
        fits = share > 0.98 if place == "tissue" else share == 0
        if fits and not taken[spot].any() and (place == "tissue" or grey[spot].max() < 20):
            taken[spot] = True
            _paint(grey, letters, int(top), int(left), contrast, place)
            name = "chinese " + place if is_chinese else place
            return Line(int(top), int(top) + rows, int(left), int(left) + columns, text, size, contrast, name)
    return None


def _paint(
    grey: NDArray[np.float64],
    letters: NDArray[np.float64],
    top: int,
    left: int,
    contrast: int,
    place: str,
) -> None:
    rows, columns = letters.shape
    spot = grey[top : top + rows, left : left + columns]
    if place == "bright":
        field = grey[top - 3 : top + rows + 3, left - 3 : left + columns + 3]
        field[:] = min(255, contrast + 10)
    level = float(np.median(spot)) + (-contrast if place == "bright" else contrast)
    spot[:] = spot * (1 - letters) + np.clip(level, 0, 255) * letters


def _letters(text: str, size: int, font: str) -> NDArray[np.float64]:
    """Return the letters' coverage, 0 to 1; capitals are about `size` pixels high."""
    face = ImageFont.truetype(str(_FONTS / font), round(size * (1.0 if "wqy" in font else 1.38)))
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text))
    image = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=face)
    return np.asarray(image, dtype=np.float64) / 255


def clean_pictures(count: int, seed: int) -> Iterator[tuple[str, Picture]]:
    """Give pictures without text, with their kinds."""
    for index in range(count):
        random = np.random.default_rng(seed + 77_000 + index)
        yield "ultrasound", _rgb(with_furniture(fan(random, depth=random.uniform(0.7, 0.95))[0]))
        yield "ct", _rgb(ct_like(random))
        yield "mr", _rgb(mr_like(random))
        yield "doppler", doppler(random)


def ct_like(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a head in CT: skull, brain, ventricles, sinuses, a headrest, noise; 512 x 512."""
    rows, columns = np.mgrid[:512, :512].astype(np.float64)
    distance = np.hypot((rows - 250) / 210, (columns - 256) / 165)
    grey = np.where(distance < 1.06, 60.0, 2.0)
    grey[(distance < 1.0) & (distance > 0.91)] = 250
    grey[distance <= 0.91] = 110
    for side in (-1, 1):
        horn = np.hypot((rows - 240) / 60, (columns - 256 - side * 28) / 13) < 1
        grey[horn & (distance < 0.9)] = 80
        grey[np.hypot((rows - 90) / 16, (columns - 256 - side * 30) / 22) < 1] = 4
    rest = np.abs(np.hypot((rows - 190) / 300, (columns - 256) / 260) - 1) < 0.008
    grey[rest & (rows > 330)] = 130
    teeth = random.random((6, 16)) > 0.4
    grey[60:72, 200:312] = np.maximum(grey[60:72, 200:312], np.kron(teeth, np.ones((2, 7))) * 255)
    return ndimage.gaussian_filter(grey, 0.7) + random.normal(0, 7, grey.shape)


def mr_like(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a brain in MR: folds, scalp, a ghost, Rician noise; 512 x 512."""
    rows, columns = np.mgrid[:512, :512].astype(np.float64)
    distance = np.hypot((rows - 256) / 215, (columns - 256) / 170)
    folds = ndimage.gaussian_filter(random.normal(size=(512, 512)), 6)
    grey = np.where(distance < 0.88, 120 + 45 * np.sign(folds), 12.0)
    grey[(distance > 0.93) & (distance < 1)] = 220
    grey = ndimage.gaussian_filter(grey, 1.0) + 0.06 * np.roll(grey, 160, axis=0)
    return np.hypot(grey + random.normal(0, 6, grey.shape), random.normal(0, 6, grey.shape))


def doppler(random: np.random.Generator) -> Picture:
    """Return an ultrasound picture with a coloured box of flow and its colour bar."""
    picture = _rgb(with_furniture(fan(random)[0])).astype(np.float64)
    flow = ndimage.gaussian_filter(random.normal(size=(180, 220)), 9)
    flow /= np.abs(flow).max()
    box = picture[300:480, 400:620]
    for channel, part in ((0, np.clip(flow, 0, 1)), (2, np.clip(-flow, 0, 1))):
        box[..., channel] = np.where(part > 0.25, 80 + 175 * part, box[..., channel])
    picture[298:300, 398:622] = picture[480:482, 398:622] = (230, 230, 40)
    picture[298:482, 398:400] = picture[298:482, 620:622] = (230, 230, 40)
    bar = np.linspace(1, -1, 240)
    picture[440:680, 984:998, 0] = (255 * np.clip(bar, 0, 1))[:, None]
    picture[440:680, 984:998, 2] = (255 * np.clip(-bar, 0, 1))[:, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _rgb(grey: NDArray[np.float64]) -> Picture:
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


Method = Callable[[Picture], Mask]


def ours() -> Method:
    """Return our way: everything that the product fills."""
    from anonymize.denylist import DenyList
    from anonymize.ocr import text_finder
    from anonymize.pixels import filled_mask

    finder = text_finder()
    if finder is None:
        raise SystemExit("rapidocr is not installed")
    deny = DenyList()
    for family in (*_FAMILIES.split(), *_GIVEN.split(), *_HAN_NAMES):
        deny.add_name(family)
    return lambda picture: filled_mask(picture, finder, deny)


def plain_rapidocr() -> Method:
    """Return rapidocr with its own settings, once over the picture."""
    from rapidocr import RapidOCR

    engine: Any = RapidOCR(
        params={"Global.log_level": "critical", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
    )

    def read(picture: Picture) -> Mask:
        mask = np.zeros(picture.shape[:2], dtype=np.bool_)
        result = engine(np.ascontiguousarray(picture[..., ::-1]))
        for corners in result.boxes if result.boxes is not None else ():
            columns, rows = np.asarray(corners).T.astype(int)
            mask[max(rows.min(), 0) : rows.max() + 1, max(columns.min(), 0) : columns.max() + 1] = True
        return mask

    return read


def tesseract() -> Method:
    """Return tesseract with its English model, once over the picture."""

    def read(picture: Picture) -> Mask:
        mask = np.zeros(picture.shape[:2], dtype=np.bool_)
        head = f"P5 {picture.shape[1]} {picture.shape[0]} 255\n".encode()
        command = ["tesseract", "stdin", "stdout", "--psm", "11", "tsv"]
        told = subprocess.run(
            command, input=head + picture[..., 0].tobytes(), capture_output=True, check=True
        )
        for line in told.stdout.decode().splitlines()[1:]:
            fields = line.split("\t")
            if fields[0] == "5" and fields[11].strip():
                left, top, width, height = (int(field) for field in fields[6:10])
                mask[top : top + height, left : left + width] = True
        return mask

    return read


def covered(mask: Mask, line: Line) -> bool:
    """Return whether more than 70 % of a line's box was filled."""
    return bool(mask[line.top : line.bottom, line.left : line.right].mean() > 0.7)


def measure(name: str, method: Method, frames: int, seed: int, *, clean: int) -> None:
    """Print coverage by size and contrast, by place, false boxes and time of one method."""
    by_size: dict[tuple[int, int], list[bool]] = defaultdict(list)
    by_place: dict[str, list[bool]] = defaultdict(list)
    goal: list[bool] = []
    start = _cpu_s()
    for index in range(frames):
        drawn = scene(seed + index)
        mask = method(drawn.picture)
        for line in drawn.lines:
            hit = covered(mask, line)
            by_size[line.size_px, line.contrast].append(hit)
            by_place[line.place].append(hit)
            goal += [hit] if line.size_px >= 10 and line.contrast >= 60 else []
    spent = (_cpu_s() - start) / frames
    hits = [hit for found in by_size.values() for hit in found]
    print(f"\n{name}: {_share(hits)} of {len(hits)} lines covered; {_share(goal)} of {len(goal)} at")
    print(f"10 px and 60 or more; {spent:.2f} CPU s a frame")
    print("size px   " + "".join(f"{contrast:>9}" for contrast in CONTRASTS) + "  contrast")
    for size in SIZES_PX:
        cells = [by_size[size, contrast] for contrast in CONTRASTS]
        print(f"{size:>7}   " + "".join(f"{_cell(cell):>9}" for cell in cells))
    print("by place: " + ", ".join(f"{place} {_share(found)}" for place, found in sorted(by_place.items())))
    boxes: dict[str, int] = defaultdict(int)
    for kind, picture in clean_pictures(clean, seed):
        boxes[kind] += int(ndimage.label(method(picture))[1])
    print(f"false boxes on {clean} clean pictures each: " + ", ".join(f"{k} {n}" for k, n in boxes.items()))


def _share(found: Sequence[bool]) -> str:
    return f"{100 * sum(found) / len(found):.1f} %" if found else "-"


def _cell(found: Sequence[bool]) -> str:
    return f"{sum(found)}/{len(found)}" if found else "-"


def _cpu_s() -> float:
    """Return CPU seconds of this process; a child's time comes by the clock."""
    return time.process_time() if not shutil.which("tesseract") else time.process_time() + _children_s()


def _children_s() -> float:
    import os

    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Measure every method on the same pictures."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    methods: dict[str, Callable[[], Method]] = {"ours": ours, "rapidocr": plain_rapidocr}
    if shutil.which("tesseract"):
        methods["tesseract"] = tesseract
    for name, make in methods.items():
        if len(sys.argv) < 4 or name in sys.argv[3:]:
            measure(name, make(), frames, seed, clean=max(2, frames // 8))


if __name__ == "__main__":
    main()
