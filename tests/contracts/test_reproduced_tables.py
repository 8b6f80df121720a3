"""What `reproduce` writes of the applications' real tables: LaTeX that compiles, pages that open without a network."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import trimesh

from finer_core.reproduction import Study, reproduce
from finer_core.reproduction.table import merged
from finer_nerf import builtin_scene, write_scene

APPLICATIONS = ("image", "sdf", "nerf", "ntk")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.src)), true);
addEventListener("load", () => {
  const images = [...document.images];
  const found = {
    images: images.length,
    visible: images.filter(i => i.complete && i.naturalWidth > 8 && i.getBoundingClientRect().width > 8).length,
    loaded: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
    errors,
  };
  document.title = JSON.stringify(found);
});
</script>"""


def study_of(application: str):
    return import_module(f"finer_{application}.reproducing").STUDY


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_table_compiles_as_latex(application, tmp_path):
    study = dataclasses.replace(study_of(application), find_inputs=lambda table, paths: [])
    tables = [reproduce(study, name, run=False, steps=2).render("tex") for name in study.tables]
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
    body = "\n".join(f"{table}\n\\clearpage" for table in tables)
    (tmp_path / "page.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout[-2000:]
    pages = re.search(r"Output written on page.pdf \((\d+) page", result.stdout)
    assert pages and int(pages[1]) >= len(tables)


def with_small_networks(study: Study, name: str) -> Study:
    """Return the study with one table, whose rows have networks that are fitted in a moment."""
    sizes = {"network": {"hidden_features": 16}}
    table = study.tables[name]
    rows = [dataclasses.replace(row, settings=merged(row.settings, sizes)) for row in table.rows]
    return dataclasses.replace(study, tables={name: dataclasses.replace(table, rows=rows)})


def small_input(application: str, folder: Path) -> list[str]:
    """Write something that is fitted and judged in a moment, where the built-in input is larger; return its paths."""
    if application == "sdf":
        trimesh.creation.icosphere(subdivisions=2).export(folder / "ball.ply")
        return [str(folder / "ball.ply")]
    if application == "nerf":
        write_scene(builtin_scene(size=16), folder / "scene")
        return [str(folder / "scene")]
    return []


def scaled_run(application: str, folder: Path) -> str:
    """Run two rows of a table of the application, as small as they go; return the page."""
    table, settings = {
        "image": ("finerpp-notebook", {"methods": ["finer", "siren"], "steps": 200, "size": 32}),
        "sdf": ("sasnet-sdf", {"methods": ["finer", "siren"], "steps": 40, "size": 16, "preset": "fast"}),
        "nerf": ("finer-nerf", {"methods": ["finer", "siren"], "steps": 2, "preset": "fast"}),
        "ntk": ("finer-kernels", {"methods": ["FINER, k 1", "WIRE"], "size": 32}),
    }[application]
    study = study_of(application)
    if application != "ntk":
        study = with_small_networks(study, table)
    found = reproduce(study, table, small_input(application, folder), out=folder / "out", **settings)
    assert len(found.records) == len(found.pictures) == 2
    return (folder / "out" / f"{table}.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("coarse_overlap")
@pytest.mark.skipif(BROWSER is None, reason="no Chromium to open the page with")
@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_page_opens_offline_with_its_pictures_and_says_what_they_show(application, tmp_path, monkeypatch):
    monkeypatch.setattr("finer_sdf.presets.FAST_SAMPLES", 10_000)
    monkeypatch.setattr("finer_sdf.reproducing._PICTURE", 64)
    page = scaled_run(application, tmp_path)
    assert study_of(application).pictures in page
    (tmp_path / "page.html").write_text(page.replace("<head>", f"<head>{PROBE}", 1))
    flags = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-extensions --virtual-time-budget=10000"
    command = [str(BROWSER), *flags.split(), "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "page.html").as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    title = re.search(r"<title>(\{.*?\})</title>", result.stdout)
    assert title is not None, result.stdout[:500]
    found = json.loads(html.unescape(title[1]))
    assert found["images"] == found["visible"] == 3, "two pictures, and the curves"
    assert found["loaded"] == [] and found["errors"] == []
    assert "CONSOLE" not in result.stderr
