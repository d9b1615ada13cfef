"""An evaluation as one page that needs nothing else: confusion, recall, reliability, groups; pictures if allowed."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from contract.errors import BadOutput
from train.data.faceset import FaceSet
from train.data.labels import labels_of
from train.measure.evaluate import Rows, crops
from train.measure.judge import PROTOCOLS, Answers, shared
from train.metrics import softmax

STYLE = """
:root{color-scheme:light dark;--ink:#1d2329;--soft:#5c6670;--line:#d9dee3;--paper:#fff;--bar:#2f6f9f;--over:#d55e00}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ad;--line:#3a424a;--paper:#15191d;--bar:#6aaede;--over:#ff9c4a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin:1.2rem 0 .4rem}
.soft{color:var(--soft)}.row{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25rem .6rem;text-align:right}
th{font-weight:600}th.name{text-align:left}.matrix td{min-width:2.6rem;text-align:center;border:1px solid var(--line)}
.matrix th.up{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left}
.tiles{gap:1rem;margin-bottom:1rem}.big{font-size:1.6rem;font-weight:600}
.tile{border:1px solid var(--line);border-radius:8px;padding:.6rem 1rem}
svg text{fill:var(--ink);font-size:12px}figure{margin:0}figcaption{font-size:.8rem;max-width:112px}
"""
EXAMPLES = 16


def write_report(
    folder: Path, document: dict[str, Any], answers: Sequence[Answers], faces: FaceSet, rows: Rows, pictures: bool
) -> Path:
    """Write index.html and return its path. `pictures` shows the surest mistakes: only where the data's terms allow.

    Raises:
        BadOutput: the folder cannot be written.
    """
    parts = [f"<h1>Evaluation on {escape(document['data'])}, {escape(document['split'])}</h1>"]
    parts.append(f"<p class=soft>set {document['data_sha256'][:12]}</p>")
    judged = [*document["nets"], *([document["ensemble"]] if "ensemble" in document else [])]
    parts += [_summary(judged)] if len(judged) > 1 else []
    for place, one in enumerate(judged):
        parts.append(f"<h2>{escape(one['name'])}</h2>")
        parts.append(_units(one) if "units" in one else _classes(one))
        if pictures and "protocols" in one and place < len(answers):
            parts.append(_mistakes(answers[place], faces, rows))
    parts += [_agreement(document["agreement"])] if document.get("agreement") else []
    page = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    page += f"<title>Evaluation · {escape(document['data'])}</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadOutput(f"{folder}: cannot be written ({error.strerror})") from error
    return folder / "index.html"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th{' class=name' if not place else ''}>{escape(name)}</th>" for place, name in enumerate(head))
    lines = "".join(
        f"<tr><th class=name>{escape(first)}</th>" + "".join(f"<td>{escape(each)}</td>" for each in rest) + "</tr>"
        for first, *rest in body
    )
    return f"<table><tr>{top}</tr>{lines}</table>"


def _summary(judged: Sequence[dict[str, Any]]) -> str:
    if "units" in judged[0]:
        body = [[one["name"], _percent(one["mean_f1"]), _percent(one["mean_auc"])] for one in judged]
        return "<h2>Side by side</h2>" + _table(["net", "mean F1 %", "mean AUC %"], body)
    names = list(judged[0]["protocols"])
    head = ["net", *(f"{name} %" for name in names), "macro recall %", "calibration error %"]
    body = []
    for one in judged:
        shares = [_percent(one["protocols"][name]["accuracy"], 2) for name in names]
        recall = one["protocols"][names[0]]["macro_recall"]
        body.append([one["name"], *shares, _percent(recall), _percent(one["calibration"]["ece"])])
    return "<h2>Side by side</h2>" + _table(head, body)


def _classes(one: dict[str, Any]) -> str:
    tiles = []
    for name, each in one["protocols"].items():
        low, high = each["accuracy_95"]
        words = f"{name}, {each['faces']:,} faces · 95 %: {_percent(low)} to {_percent(high)}"
        tiles.append(_tile(_percent(each["accuracy"], 2) + " %", words))
    first = next(iter(one["protocols"].values()))
    tiles.append(_tile(_percent(first["macro_recall"]) + " %", "mean recall over classes"))
    tiles.append(_tile(_percent(one["calibration"]["ece"]) + " %", "expected calibration error"))
    parts = ["<div class='row tiles'>", *tiles, "</div><div class=row>"]
    parts += ["<div><h3>Confusion</h3>", _matrix(one["labels"], first["confusion"]), "</div>"]
    parts += ["<div><h3>Recall by class</h3>", _bars(first), "</div></div><div class=row>"]
    parts += ["<div><h3>How sure, how right</h3>", _reliability(one["calibration"]), "</div>"]
    parts += ["<div>", _groups("By size of the face", "px across the crop", one["by_face_px"], 0)]
    parts += [_groups("By sharpness", "0 to 1", one["by_sharpness"], 2), "</div></div>"]
    return "".join(parts)


def _tile(number: str, words: str) -> str:
    return f"<div class=tile><div class=big>{number}</div><div class=soft>{escape(words)}</div></div>"


def _matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    head = "".join(f"<th class=up>{escape(name)}</th>" for name in names)
    lines = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f"<td style='background:color-mix(in srgb,var(--bar) {100 * count / total:.0f}%,var(--paper))"
            f"{';color:var(--paper)' if count / total > 0.55 else ''}'>{count or ''}</td>"
            for count in row
        )
        lines.append(f"<tr><th class=name>{escape(name)}</th>{cells}</tr>")
    return (
        f"<table class=matrix><tr><th></th>{head}</tr>{''.join(lines)}</table>"
        "<p class=soft>Rows: what the taggers say; columns: what the net says. Shade: share of the row.</p>"
    )


def _bars(protocol: dict[str, Any]) -> str:
    names = list(protocol["recall"])
    lines = []
    for place, name in enumerate(names):
        value, y = protocol["recall"][name] or 0.0, 26 * place
        count = sum(protocol["confusion"][place])
        lines.append(
            f"<text x=88 y={y + 17} text-anchor=end>{escape(name)}</text>"
            f"<rect x=96 y={y + 4} width={150 * value:.1f} height=18 rx=2 fill='var(--bar)'/>"
            f"<text x={100 + 150 * value:.1f} y={y + 17}>{_percent(value)} "
            f"<tspan opacity=.6>of {count:,}</tspan></text>"
        )
    return f"<svg width=330 height={26 * len(names)} role=img>{''.join(lines)}</svg>"


def _reliability(calibration: dict[str, Any]) -> str:
    bins, side, left, top = calibration["bins"], 260, 44, 8
    width, most = side / len(bins["count"]), max(1, *bins["count"])
    shapes = [f"<rect x={left} y={top} width={side} height={side} fill=none stroke='var(--line)'/>"]
    for place, (right, count) in enumerate(zip(bins["accuracy"], bins["count"], strict=True)):
        x, high = left + place * width, side * (right or 0)
        shapes.append(
            f"<rect x={x + 1:.1f} y={top + side - high:.1f} width={width - 2:.1f} height={high:.1f} fill='var(--bar)' "
            f"opacity={0.25 + 0.75 * (count / most) ** 0.5:.2f}><title>{count:,} faces</title></rect>"
        )
    shapes.append(
        f"<path d='M{left} {top + side}L{left + side} {top}' stroke='var(--over)' stroke-dasharray='5 4' fill=none />"
    )
    for tick in (0, 0.5, 1):
        shapes.append(f"<text x={left + side * tick} y={top + side + 16} text-anchor=middle>{100 * tick:.0f}</text>")
        shapes.append(f"<text x={left - 6} y={top + side * (1 - tick) + 4} text-anchor=end>{100 * tick:.0f}</text>")
    shapes.append(f"<text x={left + side / 2} y={top + side + 32} text-anchor=middle>confidence, %</text>")
    middle = top + side / 2
    shapes.append(f"<text x=12 y={middle} text-anchor=middle transform='rotate(-90 12 {middle})'>right, %</text>")
    fitted, other = calibration["fitted_temperature"], calibration["ece_fitted_on_the_other_half"]
    words = f"Temperature {calibration['temperature']:.2f}; fitted here it would be {fitted:.2f} "
    words += f"(error {_percent(other)} %, fitted on one half and measured on the other). "
    words += "Darker bars hold more faces; on the dashed line, sureness is earned."
    return (
        f"<svg width={left + side + 12} height={top + side + 40} role=img>{''.join(shapes)}</svg>"
        f"<p class=soft style='max-width:320px'>{escape(words)}</p>"
    )


def _groups(title: str, unit: str, groups: Sequence[dict[str, Any]], digits: int) -> str:
    if not groups:
        return ""
    body = [
        [f"{g['from']:.{digits}f} to {g['to']:.{digits}f}", f"{g['faces']:,}", _percent(g["accuracy"])] for g in groups
    ]
    return f"<h3>{title}</h3>" + _table([unit, "faces", "right %"], body)


def _units(one: dict[str, Any]) -> str:
    body = [
        [
            name,
            _percent(u["f1"]),
            _percent(u["auc"]),
            f"{u['threshold']:.2f}",
            f"{u['positives']:,}",
            f"{u['labelled']:,}",
        ]
        for name, u in one["units"].items()
    ]
    tiles = [_tile(_percent(one["mean_f1"]) + " %", "mean F1"), _tile(_percent(one["mean_auc"]) + " %", "mean AUC")]
    table = _table(["unit", "F1 %", "AUC %", "threshold", "present", "labelled"], body)
    return f"<div class='row tiles'>{''.join(tiles)}</div>{table}"


def _agreement(pairs: Sequence[dict[str, Any]]) -> str:
    body = [[" and ".join(each["nets"]), _percent(each["agreement"]), f"{each['kappa']:.3f}"] for each in pairs]
    return "<h2>Agreement</h2>" + _table(["nets", "same answer %", "Cohen's κ"], body)


def _mistakes(answers: Answers, faces: FaceSet, rows: Rows) -> str:
    """The surest wrong answers, as pictures."""
    common, logits, truth = shared(answers, labels_of(faces, PROTOCOLS[faces.kind][0]), rows)
    chances = softmax(logits, answers.temperature)
    wrong = np.flatnonzero((truth >= 0) & (chances.argmax(1) != truth))
    surest = wrong[np.argsort(-chances[wrong].max(1))][:EXAMPLES]
    figures = []
    for at, crop in zip(surest, crops(faces, rows[surest], 112) if len(surest) else (), strict=True):
        _, jpeg = cv2.imencode(".jpg", crop[..., ::-1])
        said, true = common[int(chances[at].argmax())], common[int(truth[at])]
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
        words = f"{said} {_percent(float(chances[at].max()), 0)} %; tagged {true}"
        figures.append(
            f"<figure><img src='{source}' width=112 height=112 alt=''><figcaption>{words}</figcaption></figure>"
        )
    return f"<h3>Surest mistakes</h3><div class=row style='gap:1rem'>{''.join(figures)}</div>"
