"""Budgets: errors that list what takes the most."""

from __future__ import annotations

import os

import pytest

import symgraph as sg
from symgraph.aot import BudgetError
from symgraph.cli import main
from symgraph.errors import TargetError

from .models import convolution


def export(folder, **changes):
    y, params = convolution()
    return sg.export(y, folder / "net", params=params, **changes)


def test_within_the_budget(tmp_path):
    artifact = export(
        tmp_path, ranges={"N": (1, 4)}, budgets={"workspace": 10**6, "text": 10**6, "flops": 10**8}
    )
    workspace = int(sg.kernel.dims.evaluate(artifact.signature.needed, {sg.DimVar("N"): 4}))
    export(tmp_path / "b", ranges={"N": (1, 4)}, budgets={"workspace": workspace})
    with pytest.raises(BudgetError, match=f"workspace is {workspace:,} bytes at N=4"):
        export(tmp_path / "c", ranges={"N": (1, 4)}, budgets={"workspace": workspace - 1})
    assert not (tmp_path / "c").exists()


def test_the_largest_contributors_are_listed(tmp_path):
    with pytest.raises(BudgetError) as caught:
        export(tmp_path, ranges={"N": (1, 4)}, budgets={"flops": 1000})
    lines = str(caught.value).splitlines()
    assert "flops is" in lines[0] and "the limit is 1,000" in lines[0]
    assert lines[1].endswith("conv1")
    sizes = [int(line.split()[0].replace(",", "")) for line in lines[1:-1]]
    assert sizes == sorted(sizes, reverse=True)
    with pytest.raises(BudgetError, match=r"(?s)text is .* the limit is 100\..*k_conv"):
        export(tmp_path, budgets={"text": 100})
    assert os.listdir(tmp_path) == []


def test_open_extents_need_a_limit(tmp_path):
    with pytest.raises(BudgetError, match="grows with the extent N, which has no limit"):
        export(tmp_path, budgets={"workspace": 10**6})


def test_mistakes(tmp_path):
    with pytest.raises(TargetError, match="unknown 'ram'; known are workspace, text, stack, flops"):
        export(tmp_path, budgets={"ram": 1})
    with pytest.raises(TargetError, match="workspace must be >= 0, got -1"):
        export(tmp_path, budgets={"workspace": -1})


def test_on_the_command_line(tmp_path, capsys):
    common = ["compile", "lenet5", "-o", str(tmp_path), "--dim", "N=1"]
    assert main([*common, "--max-workspace", "2M", "--max-text", "100K"]) == 0
    assert main([*common, "--max-flops", "1K"]) == 2
    assert "budgets: flops is" in capsys.readouterr().err
    assert main([*common, "--max-text", "lots"]) == 2
    assert "--max-text: need a number such as 4096 or 256K" in capsys.readouterr().err
