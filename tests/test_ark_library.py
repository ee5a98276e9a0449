"""kaldiio and omniio behind one door: the same bytes, the same numbers; which is taken."""

from __future__ import annotations

import ast
import importlib.util
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import ark, ark_library

ROOT = Path(__file__).parent.parent
NAMES = ("kaldiio", "omniio")
METHODS = {"CM": 2, "CM2": 3, "CM3": 5}  # Kaldi's numbers: as speech, two bytes, one byte a value


def require(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    require(request.param)
    return str(request.param)


@pytest.fixture
def no_cache() -> Iterator[None]:
    """What is imported is looked up again, before and after the test."""
    ark_library.functions_of.cache_clear()
    yield
    ark_library.functions_of.cache_clear()


def objects() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "float": rng.normal(3, 4, (30, 8)).astype(np.float32),
        "double": rng.normal(3, 4, (7, 5)),
        "float_vector": rng.normal(size=6).astype(np.float32),
        "double_vector": rng.normal(size=6),
        "integers": np.array([0, -5, 2**31 - 1, -(2**31)], np.int32),
        "no_rows": np.zeros((0, 5), np.float32),
    }


def written(name: str, value: np.ndarray, method: int | None = None) -> bytes:
    stream = io.BytesIO()
    ark_library.functions_of(name).write(stream, value, method)
    return stream.getvalue()


def read(name: str, content: bytes) -> np.ndarray:
    """The object by one library; it must leave the stream where the object ends."""
    stream = io.BytesIO(content + b"next ")
    found = ark_library.functions_of(name).read(stream)
    assert stream.tell() == len(content)
    return found


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


# --- each by itself, against what went in


@pytest.mark.parametrize("kind", objects())
def test_written_is_read_to_the_bit(name: str, kind: str) -> None:
    value = objects()[kind]
    assert_same(read(name, written(name, value)), value)


@pytest.mark.parametrize("kind", METHODS)
def test_compressed_is_read_within_half_a_step(name: str, kind: str) -> None:
    value = objects()["float"]
    content = written(name, value, METHODS[kind])
    assert content.startswith(f"\0B{kind} ".encode())
    span = float(np.ptp(value))
    steps = {"CM": 64, "CM2": 65535, "CM3": 255}[kind]
    np.testing.assert_allclose(read(name, content), value, rtol=0, atol=0.51 * span / steps)


def test_text_is_read(name: str) -> None:
    matrix = read(name, b" [\n  1 2.5 \n  -3e-1 4 ]\n")
    assert_same(matrix, np.array([[1, 2.5], [-0.3, 4]], np.float32))
    assert_same(read(name, b" [ 3 4 -1 ]\n"), np.array([3, 4, -1], np.int32))


# --- both against each other


@pytest.mark.parametrize("kind", objects())
def test_both_write_the_same_bytes(kind: str) -> None:
    require(*NAMES)
    value = objects()[kind]
    assert written("kaldiio", value) == written("omniio", value)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("value", [
    pytest.param(objects()["float"], id="noise"),
    pytest.param(np.full((20, 3), 2.0, np.float32), id="constant"),
    pytest.param(np.arange(45, dtype=np.float32).reshape(5, 9) ** 3, id="five rows"),
    pytest.param(np.float32(1e30) * objects()["float"], id="huge"),
])  # fmt: skip
def test_both_compress_to_the_same_bytes_and_read_the_same_numbers(
    kind: str, value: np.ndarray
) -> None:
    require(*NAMES)
    content = written("kaldiio", value, METHODS[kind])
    assert written("omniio", value, METHODS[kind]) == content
    assert_same(read("omniio", content), read("kaldiio", content))


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_each_reads_what_the_other_compressed_of_less_than_five_rows(rows: int) -> None:
    """Their bytes differ here: there are not enough values for four quantiles of a column."""
    require(*NAMES)
    value = objects()["float"][:rows]
    for content in (written(name, value, METHODS["CM"]) for name in NAMES):
        found = read("omniio", content)
        assert_same(found, read("kaldiio", content))
        np.testing.assert_allclose(found, value, rtol=0, atol=0.51 * np.ptp(value) / 64)


@pytest.mark.parametrize("compress", [False, True])
def test_arks_and_scps_are_the_same_whichever_library_wrote_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool
) -> None:
    require(*NAMES)
    found = {}
    for name in NAMES:
        monkeypatch.setenv(ark_library.VARIABLE, name)
        with ark.Writer(tmp_path / "a.ark", tmp_path / "a.scp", compress=compress) as write:
            for key, value in objects().items():
                if key != "integers":
                    write(key, value)
        found[name] = (tmp_path / "a.ark").read_bytes(), (tmp_path / "a.scp").read_bytes()
    assert found["kaldiio"] == found["omniio"]
    matrices = {}
    for name in NAMES:
        monkeypatch.setenv(ark_library.VARIABLE, name)
        matrices[name] = [ark.read(where, key) for key, where in write.specifiers.items()]
    for one, other, key in zip(*matrices.values(), write.specifiers):
        assert_same(one, other)
        if not (compress and one.ndim == 2 and len(one)):
            assert_same(one, objects()[key])


def test_both_read_the_same_of_arks_of_real_kaldi(data_root: Path) -> None:
    require(*NAMES)
    folder = data_root / "kaldi_truth/arks"
    key = b"AMI_ES2011a_H00_FEE041_0003427_0003714 "
    for file in ("feats.ark", "feats_ascii.ark", "feats_compressed.ark", "ali.ark"):
        content = (folder / file).read_bytes()
        start = content.index(b" ") + 1 if file == "ali.ark" else content.index(key) + len(key)
        functions = map(ark_library.functions_of, NAMES)
        one, other = (each.read(io.BytesIO(content[start:])) for each in functions)
        assert len(one) > 100
        assert_same(one, other)


# --- which is taken


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these packages look as if they were not installed."""
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_cache")
def test_omniio_is_taken_where_kaldiio_is_missing_and_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require("omniio")
    from omniio import kaldi

    hide(monkeypatch, "kaldiio")
    assert ark_library.functions_of("").read is kaldi.read_object
    ark.write_matrix(tmp_path / "cmvn.ark", objects()["double_vector"])
    assert_same(ark.read(tmp_path / "cmvn.ark"), objects()["double_vector"])
    monkeypatch.setenv(ark_library.VARIABLE, "kaldiio")
    with pytest.raises(InputError, match="ATAT_ARK_LIBRARY=kaldiio needs the extra `kaldi`"):
        ark.read(tmp_path / "cmvn.ark")


@pytest.mark.usefixtures("no_cache")
def test_kaldiio_is_taken_by_itself_and_omniio_when_asked_for_is_not_replaced_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require("kaldiio")
    from kaldiio import matio

    assert ark_library.functions_of("").read is matio.read_kaldi
    hide(monkeypatch, "omniio")
    monkeypatch.setenv(ark_library.VARIABLE, "omniio")
    with pytest.raises(InputError, match="omniio needs the extra `kaldi-mit`.*'atat.kaldi-mit.'"):
        ark.write_matrix(tmp_path / "cmvn.ark", objects()["double"])
    assert not (tmp_path / "cmvn.ark").exists()


@pytest.mark.usefixtures("no_cache")
def test_without_a_library_features_are_read_and_the_rest_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require("kaldiio")
    with ark.Writer(tmp_path / "a.ark", compress=True) as write:
        write("u", objects()["float"])
    for kind in ("double", "float_vector"):
        ark.write_matrix(tmp_path / kind, objects()[kind])
    hide(monkeypatch, *NAMES)
    ark_library.functions_of.cache_clear()
    assert_same(ark.read(tmp_path / "double"), objects()["double"])
    assert ark.read(write.specifiers["u"]).shape == (30, 8)
    with pytest.raises(InputError, match="need kaldiio or omniio.*'atat.kaldi.'.*kaldi-mit"):
        ark.read(tmp_path / "float_vector")


def test_an_unknown_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ark_library.VARIABLE, "kaldi_io")
    with pytest.raises(InputError, match="ATAT_ARK_LIBRARY=kaldi_io: .*expected kaldiio or omniio"):
        ark.write_matrix(tmp_path / "cmvn.ark", objects()["double"])


def test_nothing_else_imports_either() -> None:
    found = set()
    for path in (ROOT / "atat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            if any(name.split(".")[0] in NAMES for name in names):
                found.add(path.stem)
    assert found == {"ark_library"}
