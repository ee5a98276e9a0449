"""What is asked of the machine: faster, but never less exact."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from atat.base import machine, processor

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
