"""The plan on paper: one HTML page that needs nothing else, with planes, facts, limits and unknowns."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from medviz import notice
from medviz.core.anatomy import STRUCTURES, structure
from medviz.core.facts import Fact, FactLedger
from medviz.core.plan import PlannedOperation, Trajectory
from medviz.core.segmentation import Segmentation
from medviz.core.volume import Volume
from pipelines.planning.sections import Section, sections

_WINDOW_HU = (-60.0, 140.0)
_OUTLINED = ("ventricles", "deep_grey", "brainstem", "cerebellum", "tumour")
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1c2430;background:#fff}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:2px solid #dfe4ea}
.notice{background:#fff3cd;border:1px solid #e0b84c;padding:.5rem .8rem;border-radius:4px;font-weight:600}
table{border-collapse:collapse;min-width:55%}
th,td{text-align:left;padding:.3rem .55rem;border-bottom:1px solid #e6eaef;vertical-align:top}
th{background:#f4f6f8;font-weight:600}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.unknown td{background:#fdeeee}
figure{margin:0 .4% 0 0;display:inline-block;width:32%;min-width:16rem}
figure img{width:100%;background:#000}
figcaption{font-size:.85rem;color:#4a5563}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
code{overflow-wrap:anywhere}
@media print{body{margin:0}h2{break-after:avoid}tr{break-inside:avoid}}
"""


def plan_report_html(
    operation: PlannedOperation,
    ledger: FactLedger,
    volume: Volume,
    segmentation: Segmentation,
    *,
    case_id: str = "",
    notes: str = "",
) -> str:
    """Return the plan as one HTML page without any external resource, and without patient data.

    Three planes through the needle show the scan with the outlines of the structures; then come facts with
    interval, method and grade, the trajectories, what the search refused, and what is unknown.
    `notes` are the surgeon's own words, without what may identify a person.
    """
    parts = [
        f"<h1>{_escaped(_title(operation, case_id))}</h1>",
        f'<p class="notice">{notice(shows_face=volume.shows_face)}</p>',
        _notes(notes),
        _planes(operation, volume, segmentation),
        _unknowns(operation),
        _trajectories(operation),
        _search(operation),
        _facts(ledger),
        _asked(operation),
    ]
    head = f'<meta charset="utf-8"><title>Plan {_escaped(case_id)}</title><style>{_STYLE}</style>'
    body = "\n".join(part for part in parts if part)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _notes(notes: str) -> str:
    lines = "".join(f"<p>{_escaped(line)}</p>" for line in notes.splitlines() if line)
    return f"<h2>The surgeon's notes</h2>{lines}" if lines else ""


def _title(operation: PlannedOperation, case_id: str) -> str:
    target = structure(operation.target_structure).title
    case = f"Case {case_id}: needle" if case_id else "Needle"
    return f"{case} to the {target}, entry on the patient's {operation.side}"


def _escaped(text: object) -> str:
    return html.escape(str(text))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return an HTML table; `numbers` are the columns set right. Cells are escaped here."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in heads)
    lines = []
    for row in rows:
        cells = [
            f'<td class="n">{_escaped(cell)}</td>' if index in numbers else f"<td>{_escaped(cell)}</td>"
            for index, cell in enumerate(row)
        ]
        mark = ' class="unknown"' if "unknown" in row else ""
        lines.append(f"<tr{mark}>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _unknowns(operation: PlannedOperation) -> str:
    items = "".join(f"<li>{_escaped(item.sentence)}</li>" for item in operation.unknowns)
    return f"<h2>What this study cannot show</h2><ul>{items}</ul>"


def _trajectories(operation: PlannedOperation) -> str:
    names = ["planned", *[f"alternative {n + 1}" for n in range(len(operation.alternatives))]]
    risks = [item.structure for item in operation.trajectory.clearances]
    heads = ["path", "entry (LPS mm)", "tip (LPS mm)", "length mm", "skull deg", "skin deg"]
    heads += [f"to {structure(name).title}, mm" for name in risks] + ["score"]
    rows = [
        _trajectory_row(name, item, risks)
        for name, item in zip(names, (operation.trajectory, *operation.alternatives), strict=True)
    ]
    numbers = range(3, len(heads))
    return f"<h2>Paths</h2>{_table(heads, rows, numbers=numbers)}{_crossings(operation.trajectory)}"


def _trajectory_row(name: str, item: Trajectory, risks: Sequence[str]) -> list[str]:
    near = {clearance.structure: clearance for clearance in item.clearances}
    distances = [f"{near[risk].distance_mm:.1f}" if risk in near else "-" for risk in risks]
    return [
        name,
        ", ".join(f"{value:.1f}" for value in item.entry_mm),
        ", ".join(f"{value:.1f}" for value in item.target_mm),
        f"{item.length_mm:.1f}",
        f"{item.angle_to_skull_deg:.0f}",
        f"{item.angle_to_skin_deg:.0f}",
        *distances,
        f"{item.score:.0f}",
    ]


def _crossings(trajectory: Trajectory) -> str:
    rows = [
        [structure(run.structure).title, f"{run.from_mm:.1f}", f"{run.to_mm:.1f}"]
        for run in trajectory.crossings
    ]
    return f"<h2>On the way</h2>{_table(['structure', 'from mm', 'to mm'], rows, numbers=(1, 2))}"


def _search(operation: PlannedOperation) -> str:
    found = operation.search
    if found is None:
        return "<h2>Search</h2><p>Entry and target were given, so no search was made.</p>"
    rows = [[name, str(count)] for name, count in found.refused.items()]
    rows += [["kept every limit", str(found.feasible)], ["all candidates", str(found.candidates)]]
    remark = "Each candidate counts once, under the first limit that refused it."
    return f"<h2>Search</h2><p>{remark}</p>{_table(['refused by', 'candidates'], rows, numbers=(1,))}"


def _facts(ledger: FactLedger) -> str:
    heads = ["about", "quantity", "value", "interval", "how it is known", "method"]
    rows = [
        [fact.subject, fact.quantity, fact.literal, _interval(fact), fact.grade.value, fact.method]
        for fact in ledger
    ]
    return f"<h2>Facts</h2>{_table(heads, rows, numbers=(3,))}"


def _interval(fact: Fact) -> str:
    if fact.interval is None:
        return ""
    low, high = fact.interval
    return f"{low:.{fact.decimals}f} to {high:.{fact.decimals}f}"


def _asked(operation: PlannedOperation) -> str:
    rows = []
    for table, keys in operation.document.values.items():
        if isinstance(keys, Mapping):
            rows += [
                [f"{table}.{name}", str(value), _origin(operation, f"{table}.{name}")]
                for name, value in keys.items()
            ]
    digest = _escaped(operation.document.sha256)
    table = _table(["key", "value", "from"], rows)
    return f"<h2>Asked</h2>{table}<p>SHA-256 of the plan: <code>{digest}</code></p>"


def _origin(operation: PlannedOperation, key: str) -> str:
    line = operation.document.lines.get(key)
    return f"line {line}" if line else "default"


def _planes(operation: PlannedOperation, volume: Volume, segmentation: Segmentation) -> str:
    figures = []
    for section in sections(operation, volume, segmentation):
        picture = base64.b64encode(_drawn(section)).decode("ascii")
        alt = _escaped(section.title)
        source = f"data:image/png;base64,{picture}"
        figures.append(f'<figure><img alt="{alt}" src="{source}"><figcaption>{alt}</figcaption></figure>')
    used = [name for name in _OUTLINED if name in segmentation.names()]
    key = "".join(
        f'<span style="background:{_css(name)}"></span>{_escaped(structure(name).title)}' for name in used
    )
    return f'<h2>Planes through the needle</h2>{"".join(figures)}<p class="key">{key}</p>'


def _css(name: str) -> str:
    red, green, blue = (round(255 * part) for part in STRUCTURES[name].colour)
    return f"rgb({red},{green},{blue})"


def _drawn(section: Section) -> bytes:
    """Return a section as PNG bytes: window, outlines, needle, edge letters."""
    low, high = _WINDOW_HU if section.is_hu else (float(section.level.min()), float(section.level.max() + 1))
    grey = np.clip((section.level - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    rgb = np.stack([grey] * 3, axis=2)
    for name in _OUTLINED:
        mask = section.labels == STRUCTURES[name].label
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        rgb[mask & ~inner] = [round(255 * part) for part in STRUCTURES[name].colour]
    picture = Image.fromarray(rgb)
    pen = ImageDraw.Draw(picture)
    pen.line([section.entry_px, section.target_px], fill=(255, 214, 90), width=2)
    x, y = section.target_px
    pen.ellipse([x - 3, y - 3, x + 3, y + 3], outline=(255, 214, 90))
    width, height = picture.size
    left, right, top, bottom = section.letters
    for text, place in ((left, (4, height / 2)), (right, (width - 10, height / 2)),
                        (top, (width / 2, 3)), (bottom, (width / 2, height - 14))):  # fmt: skip
        pen.text(place, text, fill=(240, 240, 240))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
