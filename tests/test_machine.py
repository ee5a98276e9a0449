"""What is asked of the machine: faster, but never less exact."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from atat.base import machine, processor
from atat.base.errors import InputError
from atat.engine import assembly, model_folder
from atat.engine.settings import RunSettings, SourceSettings

MANY = 7  # threads, of which the tests use one


@pytest.fixture(autouse=True)
def precision_put_back() -> Iterator[None]:
    products = torch.backends.mkldnn.matmul
    before, products.fp32_precision = products.fp32_precision, "none"
    yield
    products.fp32_precision = before


def test_products_stay_exact_on_this_machine() -> None:
    machine.choose_products()
    a, b = torch.randn(300, 200), torch.randn(200, 100)
    exact = a.double() @ b.double()
    assert (a @ b - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize(
    ("vendor", "exact", "chosen"),
    [
        ("AuthenticAMD", True, "bf16"),
        ("AuthenticAMD", False, "none"),  # where oneDNN would round to bf16
        ("GenuineIntel", True, "none"),
    ],
)
def test_onednn_is_chosen_where_it_is_faster_and_exact(
    monkeypatch: pytest.MonkeyPatch, vendor: str, exact: bool, chosen: str
) -> None:
    monkeypatch.setattr(machine, "processor_facts", lambda: {"vendor_id": vendor})
    monkeypatch.setattr(machine, "_products_are_exact", lambda: exact)
    machine.choose_products()
    assert torch.backends.mkldnn.matmul.fp32_precision == chosen
    assert torch.backends.cuda.matmul.fp32_precision == "none"  # a GPU's products stay as they are


def test_a_gpus_float32_is_no_tf32_in_training_and_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cudnn = torch.backends.cudnn
    settings = RunSettings(train=(SourceSettings("nowhere", "t"),), steps=1)

    def refuse(settings: RunSettings) -> None:
        raise InputError("what follows is not of this test")

    refused: Any = types.SimpleNamespace(build=refuse)
    for use in (
        machine.keep_float32,
        lambda: assembly.build(refused, settings, tmp_path, "cpu"),
        lambda: model_folder.load(tmp_path),
    ):
        monkeypatch.setattr(cudnn, "allow_tf32", True)
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "tf32")
        with warnings.catch_warnings(), suppress(InputError):
            warnings.simplefilter("error")
            use()
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("none", "none")
        assert not cudnn.allow_tf32  # can be read, as `torch.export` does


def test_the_processor_is_told_where_linux_says_it() -> None:
    facts = processor.processor_facts()
    assert not facts or "vendor_id" in facts or "CPU implementer" in facts


def test_threads_are_those_of_one_thread_of_the_program_and_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as other:
        others = other.submit(torch.get_num_threads).result()
        with machine.threads(MANY):
            assert torch.get_num_threads() == MANY
            assert other.submit(torch.get_num_threads).result() == others
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), machine.threads(MANY):
        _ = 1 / 0
    assert torch.get_num_threads() == before
