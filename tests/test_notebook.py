"""The notebook of the documentation runs in Jupyter's kernel."""

from __future__ import annotations

import shutil

import pytest
from conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="no nbformat")
nbclient = pytest.importorskip("nbclient", reason="no nbclient")
pytest.importorskip("ipykernel", reason="no ipykernel")


def test_notebook_runs_and_shows_tables_and_pictures(tmp_path, monkeypatch):
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    shutil.copytree(ROOT / "data" / "example", tmp_path / "data" / "example")
    (tmp_path / "docs").mkdir()
    notebook = nbformat.read(ROOT / "docs" / "example.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path / "docs"}}
    )
    client.execute()
    batch, faces, timeline, summary, face, portrait, seconds = (
        {kind: text for each in cell.outputs for kind, text in each.get("data", {}).items()}
        for cell in notebook.cells
        if cell.cell_type == "code"
    )
    assert batch["text/plain"].startswith("<BatchResult in ../results: photos 1")
    assert batch["text/html"].count("data:image/jpeg;base64,") == 2
    assert "image/png" in timeline
    assert "image/png" in portrait
    assert face["text/plain"].startswith("<Face happy ")
    assert "data:image/png;base64," in face["text/html"]
    assert "clip.mp4" in summary["text/html"]
    assert "<table" in faces["text/html"]
    assert "<table" in seconds["text/html"]
